from __future__ import annotations

import pytest

from tests.cli.shell import Shell


def test_add_list_and_delete(klient1: Shell) -> None:
    assert klient1("VE-forwarder add klient1.pl info luser@klient1.pl Other@X.pl").out == (
        "Forwarding 'info@klient1.pl' to 'luser@klient1.pl'\n"
        "Forwarding 'info@klient1.pl' to 'Other@x.pl'\nDone\n"
    )
    assert klient1("VE-forwarder add klient1.pl _default_ luser").code == 0
    both = "_default_@klient1.pl: luser@klient1.pl\ninfo@klient1.pl: Other@x.pl, luser@klient1.pl\n"
    assert klient1("VE-forwarder list klient1.pl").out == both
    assert klient1("VE-forwarder list klient1.pl info").out == both.splitlines(keepends=True)[1]
    assert klient1("VE-forwarder del klient1.pl info luser").out == (
        "No longer forwarding 'info@klient1.pl' to 'luser@klient1.pl'\nDone\n"
    )
    assert klient1("VE-forwarder delete klient1.pl info").code == 0
    assert klient1("VE-forwarder list klient1.pl").out == both.splitlines(keepends=True)[0]


def test_a_box_that_gets_no_copy_is_mentioned(klient1: Shell) -> None:
    outcome = klient1("VE-forwarder add klient1.pl luser a@przyklad.pl")
    assert "Note: box 'luser@klient1.pl' gets no copy" in outcome.out
    assert "Note" not in klient1("VE-forwarder add klient1.pl luser luser").out


@pytest.mark.parametrize(
    "target",
    [
        "|/bin/sh",
        "/etc/passwd",
        ":include:/x",
        ":fail:",
        '"|x"@y.pl',
        "#x@y.pl",
        "a b@c.pl",
        "a@b\n",
        "",
        "_default_",
    ],
)
def test_only_addresses_are_targets(klient1: Shell, target: str) -> None:
    klient1.refuses("VE-forwarder add klient1.pl info luser", target)


def test_loops_and_duplicates_are_refused(klient1: Shell) -> None:
    klient1("VE-forwarder add klient1.pl a b")
    assert "leads back" in klient1.refuses("VE-forwarder add klient1.pl b a")
    assert "no such box" in klient1.refuses("VE-forwarder add klient1.pl c c")
    assert "already" in klient1.refuses("VE-forwarder add klient1.pl a b@KLIENT1.pl")
    assert "does not exist" in klient1.refuses("VE-forwarder del klient1.pl nobody")
