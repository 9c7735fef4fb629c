from __future__ import annotations

from dataclasses import replace

import pytest

from tests.maildrop.kit import identity
from tpop3d_py.contracts import MaildropError, Reason
from tpop3d_py.maildrop.patterns import Pattern, check_path

LUSER = identity(local_part="luser", domain="klient1.pl", home="/home/luser")


@pytest.mark.parametrize(
    ("word", "kind", "path"),
    [
        ("/var/mail/$(local_part)", "", "/var/mail/luser"),
        ("bsd:/var/mail/$(domain)/$(local_part)", "bsd", "/var/mail/klient1.pl/luser"),
        ("maildir:$(home)/Maildir/", "maildir", "/home/luser/Maildir/"),
        ("/m/$(local_part[0])/$(local_part[-1])/$(user)", "", "/m/l/r/luser@klient1.pl"),
        ("/var/mail/a:b", "", "/var/mail/a:b"),
        ("empty:", "empty", ""),
    ],
)
def test_expansion(word: str, kind: str, path: str) -> None:
    pattern = Pattern.parse(word)
    assert pattern.kind == kind
    assert pattern.expand(LUSER) == path
    assert str(pattern) == word


@pytest.mark.parametrize(
    ("word", "complaint"),
    [
        ("mbx:/var/mail/x", "unknown mailbox driver mbx"),
        ("/var/mail/$(name)", r"unknown variable \$\(name\)"),
        ("/var/mail/$(user[x])", "not a position"),
        ("/var/mail/$(user", "unfinished"),
        ("/var/mail/$(user[0)", "unfinished"),
        ("mail/$(user)", "absolute"),
        ("$(user)/mail", "absolute"),
        ("/var/mail/../$(user)", r"\.\."),
        ("", "absolute"),
    ],
)
def test_mistakes(word: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Pattern.parse(word)


@pytest.mark.parametrize(
    "value",
    ["", ".", "..", ".hidden", "a/b", "a..b", "a\0", "a\nb", "\x7f", "a\x01", "/etc/passwd"],
)
def test_dangerous_values(value: str) -> None:
    with pytest.raises(MaildropError) as caught:
        Pattern.parse("/var/mail/$(local_part)").expand(replace(LUSER, local_part=value))
    assert caught.value.reason is Reason.MAILBOX


@pytest.mark.parametrize("home", ["", "relative", "/home/../etc", "/home/a\nb"])
def test_dangerous_homes(home: str) -> None:
    with pytest.raises(MaildropError):
        Pattern.parse("$(home)/Maildir").expand(replace(LUSER, home=home))


def test_values_are_not_expanded_again() -> None:
    who = replace(LUSER, local_part="$(home)%s{0}")
    assert Pattern.parse("/m/$(local_part)").expand(who) == "/m/$(home)%s{0}"


def test_position_outside_the_value() -> None:
    with pytest.raises(MaildropError, match="does not exist"):
        Pattern.parse("/m/$(local_part[9])").expand(LUSER)


@pytest.mark.parametrize("path", ["", "var/mail/x", "/var/../x", "/var/\0x", ".."])
def test_paths_from_drivers(path: str) -> None:
    with pytest.raises(MaildropError):
        check_path(path)
