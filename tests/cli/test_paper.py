"""The session of the paper (reference section 7.2), word for word."""

from __future__ import annotations

import sqlite3

import pytest

from tests.cli.shell import Shell
from tpop3d_py.auth.passwords import verify
from tpop3d_py.cli import ve_passwd


@pytest.mark.parametrize("mailbox_type", ["maildir", "bsd"])
def test_the_commands_say_what_the_paper_shows(
    shell: Shell, mailbox_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tpop3d_py.auth.passwords import make_hash

    monkeypatch.setattr(ve_passwd, "make_hash", make_hash)
    with (shell.folder / "vmail.conf").open("a") as file:
        file.write(f"default-mailbox-type: {mailbox_type}\n")
    session = [
        (
            "VE-domain add klient1.pl",
            f"Will add domain 'klient1.pl' using Unix user {shell.owner}\n"
            f"Used directory '{shell.folder}/SERVERS/klient1.pl'\n"
            "Done\n",
        ),
        ("VE-domain popboxes klient1.pl max 50", "Done.\n"),
        ("VE-passwd klient1.pl haslo_domeny", "Done.\n"),
        (
            "VE-popbox add klient1.pl luser",
            "Will add POP3 maildrop for 'luser@klient1.pl' with maildrop 'luser'\nDone\n",
        ),
        ("VE-passwd luser@klient1.pl haslo_lusera", "Done\n"),
    ]
    for line, expected in session:
        outcome = shell(line)
        assert (outcome.code, outcome.out, outcome.err) == (0, expected, "")
    database = sqlite3.connect(shell.folder / "vmail.db")
    (of_domain,) = database.execute("SELECT password_hash FROM domain").fetchone()
    of_box, mbox_name = database.execute("SELECT password_hash, mbox_name FROM popbox").fetchone()
    assert of_domain.startswith("{ARGON2ID}$argon2id$")
    assert verify(of_domain, b"haslo_domeny")
    assert verify(of_box, b"haslo_lusera")
    assert not verify(of_box, b"haslo_domeny")
    assert mbox_name == ("luser/" if mailbox_type == "maildir" else "luser")
    assert database.execute("SELECT max_popbox FROM domain").fetchone() == (50,)
