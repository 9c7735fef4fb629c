from __future__ import annotations

import dataclasses

import pytest

from tpop3d_py.pop3.profile import Profile
from tpop3d_py.pop3.texts import CLASSIC, LONGEST_TEXT


@pytest.mark.parametrize(
    "text", [b"", b"two\r\nlines", b"nul\0", b"x" * (LONGEST_TEXT + 1), b"[AUTH] forged", b"\xff"]
)
def test_a_text_that_could_break_a_status_line_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"done|utf-8"):
        dataclasses.replace(CLASSIC, done=text)


@pytest.mark.parametrize("text", [b"no number", b"%d and %d", b"%d %s", b"%s"])
def test_the_welcome_must_count(text: bytes) -> None:
    with pytest.raises(ValueError, match="welcome"):
        dataclasses.replace(CLASSIC, welcome=text)


def test_other_languages_may_be_utf8() -> None:
    polish = dataclasses.replace(CLASSIC, done="Zrobione, żółwiu.".encode())
    assert Profile(texts=polish).texts.done.decode() == "Zrobione, żółwiu."


def test_bad_profiles_are_refused() -> None:
    for words in ("two words", "x" * 201, "line\n", "\x7f", "é"):
        with pytest.raises(ValueError, match="implementation"):
            Profile(implementation=words)
    with pytest.raises(ValueError, match="login_attempts"):
        Profile(login_attempts=0)
    with pytest.raises(ValueError, match="command_errors"):
        Profile(command_errors=0)
    for delay in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="failed_login_delay"):
            Profile(failed_login_delay=delay)
