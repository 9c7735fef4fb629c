from __future__ import annotations

import pytest

from tests.cli.shell import Shell


def test_list_and_show(klient1: Shell) -> None:
    klient1("VE-popbox add klient1.pl o'hara --type maildir")
    klient1("VE-passwd luser@klient1.pl x")
    assert klient1("VE-popbox list klient1.pl").out == "luser@klient1.pl\no'hara@klient1.pl  (no password)\n"
    path = f"{klient1.folder}/SERVERS/klient1.pl"
    shown = klient1("VE-popbox show klient1.pl LUser").out
    assert shown == (f"Address:  luser@klient1.pl\nMaildrop: {path}/luser\nFormat:   bsd\nPassword: set\n")
    assert f"Maildrop: {path}/o'hara/\nFormat:   maildir\n" in klient1("VE-popbox show klient1.pl o'hara").out


@pytest.mark.parametrize(
    "name",
    ["", "a/b", "a\0b", "a\nb", "../x", "a b", "x" * 65, "a@b", "_default_", "\x1b[2J", "a\udcff", "luser"],
)
def test_a_name_that_cannot_be_added(klient1: Shell, name: str) -> None:
    klient1.refuses("VE-popbox add klient1.pl", name)


def test_old_mail_is_handed_over_only_on_request(klient1: Shell) -> None:
    file = klient1.folder / "SERVERS/klient1.pl/luser"
    file.write_text("From x\n")
    outcome = klient1("VE-popbox del klient1.pl luser --yes")
    assert outcome.out == (
        f"Deleted box 'luser@klient1.pl'\nMail stays in '{file}'; remove it by hand\nDone\n"
    )
    assert "--adopt" in klient1.refuses("VE-popbox add klient1.pl luser --type bsd")
    assert klient1("VE-popbox add klient1.pl luser --type bsd --adopt").code == 0
    assert file.read_text() == "From x\n"


def test_a_forwarder_of_the_same_name_is_mentioned(klient1: Shell) -> None:
    klient1("VE-forwarder add klient1.pl info luser")
    outcome = klient1("VE-popbox add klient1.pl info")
    assert outcome.out.splitlines()[1:] == [
        "Note: a forwarder 'info@klient1.pl' exists and takes the mail",
        "Done",
    ]
