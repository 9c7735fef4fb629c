from __future__ import annotations

import dataclasses
import re

import pytest

from tpop3d_py.pop3 import CLASSIC, POLISH, POLITE, Profile, Texts
from tpop3d_py.pop3.texts import LONGEST_TEXT, Counted, in_ascii


def octets_of(texts: Texts) -> dict[str, bytes]:
    """All texts of a catalog; of those about numbers, all forms in one."""
    values = {field.name: getattr(texts, field.name) for field in dataclasses.fields(texts)}
    return {
        name: b" ".join(value.forms) if isinstance(value, Counted) else value
        for name, value in values.items()
    }


@pytest.mark.parametrize(
    "text", [b"", b"two\r\nlines", b"nul\0", b"x" * (LONGEST_TEXT + 1), b"[AUTH] forged", b"\xff"]
)
def test_a_text_that_could_break_a_status_line_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"done|utf-8"):
        dataclasses.replace(CLASSIC, done=text)


@pytest.mark.parametrize("text", [b"no number", b"%d and %d", b"%d %s", b"%s", b"%d\r\n", b"[%d]"])
def test_the_welcome_must_count(text: bytes) -> None:
    with pytest.raises(ValueError, match="welcome"):
        dataclasses.replace(CLASSIC, welcome=Counted((b"%d", text), lambda _: 0))


def test_the_classic_words_never_change() -> None:
    assert CLASSIC.welcome.of(1) == b"Welcome aboard! You have 1 messages."
    assert CLASSIC.wrong_login == b"Lies! Try again!"
    assert CLASSIC.goodbye == b"Done"
    assert CLASSIC.done == b"Done."


def test_polite_words_count_to_one() -> None:
    assert [POLITE.welcome.of(n) for n in (1, 2)] == [
        b"Welcome. You have 1 message.",
        b"Welcome. You have 2 messages.",
    ]


def test_nobody_is_teased_politely() -> None:
    polite = b" ".join(octets_of(POLITE).values())
    for word in (b"bunny", b"Lies", b"ridiculous", b"nonsense", b"Clueless", b"Suit yourself"):
        assert word not in polite


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (1, "jest 1 wiadomo\u015b\u0107."),
        (2, "s\u0105 2 wiadomo\u015bci."),
        (4, "s\u0105 4 wiadomo\u015bci."),
        (5, "jest 5 wiadomo\u015bci."),
        (11, "jest 11 wiadomo\u015bci."),
        (12, "jest 12 wiadomo\u015bci."),
        (14, "jest 14 wiadomo\u015bci."),
        (21, "jest 21 wiadomo\u015bci."),
        (22, "s\u0105 22 wiadomo\u015bci."),
        (25, "jest 25 wiadomo\u015bci."),
        (101, "jest 101 wiadomo\u015bci."),
        (102, "s\u0105 102 wiadomo\u015bci."),
        (112, "jest 112 wiadomo\u015bci."),
        (1_000_003, "s\u0105 1000003 wiadomo\u015bci."),
    ],
)
def test_polish_plurals(count: int, words: str) -> None:
    assert POLISH.welcome.of(count).decode().endswith(words)


def test_polish_without_its_marks_is_ascii_and_says_the_same() -> None:
    plain = octets_of(in_ascii(POLISH))
    for name, text in octets_of(POLISH).items():
        assert plain[name].isascii()
        assert len(plain[name]) == len(text.decode())
    assert plain["wrong_login"] == b"Nieprawidlowa nazwa uzytkownika lub haslo."
    assert in_ascii(POLISH).welcome.of(2) == b"Witamy! W skrzynce sa 2 wiadomosci."
    assert octets_of(in_ascii(CLASSIC)) == octets_of(CLASSIC)


def test_every_polish_text_is_polish() -> None:
    english = set(octets_of(CLASSIC).values()) | set(octets_of(POLITE).values())
    assert not english & set(octets_of(POLISH).values())
    letters = set(re.findall(r"[^ -~]", b"".join(octets_of(POLISH).values()).decode()))
    assert letters <= set("\u0105\u0107\u0119\u0142\u0144\u00f3\u015b\u017a\u017c")


def test_bad_profiles_are_refused() -> None:
    for words in ("two words", "x" * 201, "line\n", "\x7f", "\xe9"):
        with pytest.raises(ValueError, match="implementation"):
            Profile(implementation=words)
    with pytest.raises(ValueError, match="login_attempts"):
        Profile(login_attempts=0)
    with pytest.raises(ValueError, match="command_errors"):
        Profile(command_errors=0)
    for delay in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="failed_login_delay"):
            Profile(failed_login_delay=delay)
