"""From directives to what each listener's sessions obey."""

from __future__ import annotations

from pathlib import Path

import pytest

from tpop3d_py import assemble
from tpop3d_py.assemble.doors import profile_of
from tpop3d_py.config import load
from tpop3d_py.pop3 import CLASSIC, POLISH, POLITE, Profile
from tpop3d_py.server.settings import ServerSettings

GROUPS = (*assemble.POP3_GROUPS, *assemble.DIRECTORY_GROUPS)


def profiles(folder: Path, text: str) -> list[Profile]:
    config = folder / "tpop3d.conf"
    config.write_text(text)
    conf = load(str(config), GROUPS)
    return [profile_of(listener, conf, b"") for listener in conf.get(ServerSettings).listen_address]


def test_nothing_said(tmp_path: Path) -> None:
    (profile,) = profiles(tmp_path, "listen-address: 127.0.0.1\n")
    assert profile == Profile()
    assert profile.texts is CLASSIC
    assert profile.mechanisms == (b"PLAIN", b"LOGIN")
    assert profile.commit_on_early_close


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("apop-only: yes", "apop_only", True),
        ("password-tls-only: yes", "password_tls_only", True),
        ("sasl-mechanisms: SCRAM-SHA-256", "mechanisms", (b"SCRAM-SHA-256",)),
        ("permit-empty-password: yes", "permit_empty_password", True),
        ("permit-empty-passwords: yes", "permit_empty_password", True),
        ("no-commit-on-early-close: yes", "commit_on_early_close", False),
        ("auth-token-check: a.b:C", "token_check", True),
        ("texts: polite", "texts", POLITE),
    ],
)
def test_each_directive_reaches_the_sessions(tmp_path: Path, line: str, field: str, value: object) -> None:
    (profile,) = profiles(tmp_path, f"listen-address: 127.0.0.1\n{line}\n")
    assert getattr(profile, field) == value


def test_a_listeners_own_words_and_tls(tmp_path: Path) -> None:
    pem = tmp_path / "c.pem"
    pem.write_text("")
    text = f"listen-address: 127.0.0.1;texts=polish 127.0.0.1;tls=stls,{pem} 127.0.0.1;tls=immediate,{pem}\n"
    polish, stls, immediate = profiles(tmp_path, text + "texts: polite\n")
    assert (polish.texts, stls.texts, immediate.texts) == (POLISH, POLITE, POLITE)
    assert (polish.stls, stls.stls, immediate.stls) == (False, True, False)
