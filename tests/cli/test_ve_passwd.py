from __future__ import annotations

import sqlite3
import sys

import pytest

from tests.cli.shell import Shell
from tpop3d_py.auth import passwords
from tpop3d_py.cli import common, ve_passwd


def _stored(shell: Shell) -> str | None:
    (value,) = (
        sqlite3.connect(shell.folder / "vmail.db").execute("SELECT password_hash FROM popbox").fetchone()
    )
    return None if value is None else str(value)


@pytest.mark.parametrize("words", [["-"], []])
@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\nsecond line\n"])
def test_a_password_is_the_first_line_of_standard_input(klient1: Shell, words: list[str], end: bytes) -> None:
    outcome = klient1("VE-passwd luser@klient1.pl", *words, stdin=" zażółć # ".encode() + end)
    assert (outcome.code, outcome.out, outcome.err) == (0, "Done\n", "")
    assert _stored(klient1) == "{argon2id} zażółć # "


def test_a_prompt_asks_twice(klient1: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common, "has_terminal", lambda: True)
    answers = ["one", "two", "one", "one"]
    monkeypatch.setattr("getpass.getpass", lambda _prompt: answers.pop(0))
    assert "differ" in klient1.refuses("VE-passwd luser@klient1.pl")
    assert klient1("VE-passwd luser@klient1.pl").out == "Done\n"
    assert _stored(klient1) == "{argon2id}one"
    assert answers == []


def test_end_of_input_at_the_prompt_changes_nothing(klient1: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr(common, "has_terminal", lambda: True)
    monkeypatch.setattr("getpass.getpass", gone)
    outcome = klient1("VE-passwd luser@klient1.pl")
    assert (outcome.code, outcome.out) == (1, "")
    assert _stored(klient1) is None


def test_a_password_on_the_command_line_earns_a_word_on_a_terminal(
    klient1: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    outcome = klient1("VE-passwd klient1.pl haslo_domeny")
    assert outcome.out == "Done.\n"
    assert "ps" in outcome.err
    assert "haslo" not in outcome.err


@pytest.mark.parametrize("password", ["", "a\nb", "a\0b", "a\r", "x" * 249, "a\udcff"])
def test_an_unusable_password_is_refused_and_not_shown(klient1: Shell, password: str) -> None:
    for name in ("luser@klient1.pl", "klient1.pl"):
        error = klient1.refuses(f"VE-passwd {name}", password)
        assert "password" in error
        assert "xxx" not in error


@pytest.mark.parametrize("octets", [b"", b"\n", b"a\0b\n", b"\xff\n", b"a" * 5000])
def test_unusable_input_is_refused(klient1: Shell, octets: bytes) -> None:
    klient1.refuses("VE-passwd luser@klient1.pl -", stdin=octets)


@pytest.mark.parametrize(
    "name", ["nobody@klient1.pl", "luser@klient2.pl", "@klient1.pl", "luser@", "a@b@klient1.pl", "x.pl"]
)
def test_an_unknown_name_is_refused(klient1: Shell, name: str) -> None:
    klient1.refuses("VE-passwd", name, "secret")


def _domain_stored(shell: Shell) -> str:
    [(value,)] = sqlite3.connect(shell.folder / "vmail.db").execute("SELECT password_hash FROM domain")
    return str(value)


def test_the_scheme_is_the_directorys_unless_the_command_says_otherwise(klient1: Shell) -> None:
    with (klient1.folder / "vmail.conf").open("a") as file:
        file.write("password-scheme: scram-sha-256\n")
    assert klient1("VE-passwd luser@klient1.pl one").code == 0
    assert _stored(klient1) == "{scram-sha-256}one"
    assert klient1("VE-passwd --scheme plaintext luser@klient1.pl two").code == 0
    assert _stored(klient1) == "{plaintext}two"
    assert klient1("VE-passwd --scheme rot13 luser@klient1.pl two").code == 2


def test_no_mail_program_needs_a_domains_password(klient1: Shell) -> None:
    with (klient1.folder / "vmail.conf").open("a") as file:
        file.write("password-scheme: plaintext\n")
    klient1("VE-passwd klient1.pl one")
    assert _domain_stored(klient1) == "{argon2id}one"
    klient1("VE-passwd --scheme blf-crypt klient1.pl two")
    assert _domain_stored(klient1) == "{blf-crypt}two"


def test_a_password_that_the_scheme_cannot_hold(klient1: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ve_passwd, "make_hash", passwords.make_hash)
    told = klient1.refuses(f"VE-passwd --scheme blf-crypt luser@klient1.pl {'x' * 80}")
    assert "at most 72 octets" in told
    assert _stored(klient1) is None
