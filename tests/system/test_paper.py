"""The paper's own session, word for word: accounts by command, mail in through Exim, out through pypop3d.

Only what differs between machines is replaced: the address 10.0.0.1, ports, the mail root, the database's
server, and the version.
"""

from __future__ import annotations

import grp
import pwd
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.system.support.exim import Exim
from tests.system.support.mariadb import PASSWORD, USER, Mariadb
from tests.system.support.pop3d import Pop3d, Shell, Telnet, new_directory
from tests.system.support.processes import free_port, wait_for
from tests.system.support.site import StartExim
from tpop3d_py import __version__

# Section 3.4 of the paper.
CONFIGURATION = """\
# global
listen-address: {address}(klient1.pl)
max-children: 30
append-domain: yes
timeout-seconds: 30
mailbox: /var/spool/mail/$(user)

# PAM
auth-pam-enable: yes
auth-pam-facility: tpop3d
auth-pam-mail-group: mail

# MySQL
auth-mysql-enable: yes
auth-mysql-mail-group: mail
auth-mysql-hostname: {server}
auth-mysql-database: virtualemail
auth-mysql-username: vmail
auth-mysql-password: {password}
"""


@dataclass
class Isp:
    """What the administrator of the paper has."""

    shell: Shell
    exim: Exim
    pop3d: Pop3d
    root: Path


@pytest.fixture(scope="module")
def isp(area: Path, mariadb: Mariadb, exim: StartExim, vmail: pwd.struct_passwd) -> Iterator[Isp]:
    folder = area / "paper"
    shell = new_directory(
        folder, mariadb, "virtualemail", "default-unix-user: vmail\ndefault-mailbox-type: bsd\n"
    )
    server = exim(
        lambda port: shell.run(f"vmail-gen-exim --standalone --port {port} --hostname mx.przyklad.pl")
    )
    config, port = folder / "klient1.pl", free_port()
    config.write_text(
        CONFIGURATION.format(
            address=f"127.0.0.1:{port}", server=f"127.0.0.1:{mariadb.port}", password=PASSWORD
        )
    )
    config.chmod(0o600)
    assert USER == "vmail"
    pop3d = Pop3d(config, port)
    yield Isp(shell, server, pop3d, folder / "SERVERS")
    pop3d.stop()


@pytest.fixture(scope="module")
def accounts(isp: Isp) -> Isp:
    """The session of section 4 of the paper."""
    session = [
        (
            "VE-domain add klient1.pl",
            "Will add domain 'klient1.pl' using Unix user vmail\n"
            f"Used directory '{isp.root}/klient1.pl'\nDone\n",
        ),
        ("VE-domain popboxes klient1.pl max 50", "Done.\n"),
        ("VE-passwd klient1.pl haslo_domeny", "Done.\n"),
        (
            "VE-popbox add klient1.pl luser",
            "Will add POP3 maildrop for 'luser@klient1.pl' with maildrop 'luser'\nDone\n",
        ),
        ("VE-passwd luser@klient1.pl haslo_lusera", "Done\n"),
    ]
    for command, output in session:
        assert isp.shell.run(command) == output
    return isp


def deliver(isp: Isp, body: str = "test\r\n") -> Path:
    """Do the paper's test 1 and return the mailbox."""
    box = isp.root / "klient1.pl" / "luser"
    before = box.stat().st_size if box.exists() else 0
    isp.exim.send(["luser@klient1.pl"], body)
    wait_for(lambda: box.exists() and box.stat().st_size > before, "the delivery")
    wait_for(lambda: not Path(f"{box}.lock").exists(), "the end of the delivery")
    return box


def log_in(isp: Isp, name: str) -> Telnet:
    client = Telnet(isp.pop3d.port)
    assert re.fullmatch(r"\+OK <[0-9a-f]{32}@klient1\.pl>", client.read())
    assert client.type(f"user {name}") == "+OK Tell me your password."
    return client


def test_start_up_says_what_the_paper_shows(isp: Isp) -> None:
    lines = isp.pop3d.log.read_text().splitlines()
    start = [
        f"listening on address 127.0.0.1, port {isp.pop3d.port}, domain klient1.pl",
        "auth-pam-facility: there is no /etc/pam.d/tpop3d: PAM does what /etc/pam.d/other says, which as a "
        "rule lets nobody in",
        "2 authentication drivers successfully loaded",
        f"net_loop: pypop3d version {__version__} successfully started",
    ]
    assert lines[:4] == start


def test_1_does_smtp_work(accounts: Isp) -> None:
    info = deliver(accounts).stat()
    assert stat.filemode(info.st_mode) == "-rw-rw----"
    assert (pwd.getpwuid(info.st_uid).pw_name, grp.getgrgid(info.st_gid).gr_name) == ("vmail", "nogroup")


def test_2_does_pop3_work(accounts: Isp) -> None:
    client = log_in(accounts, "luser@klient1.pl")
    assert client.type("pass haslo_lusera") == "+OK Welcome aboard! You have 1 messages."
    assert client.type("quit") == "+OK Done"
    assert client.read() == ""


def test_a_stranger_is_called_a_liar(accounts: Isp) -> None:
    client = log_in(accounts, "wanted")
    assert client.type("pass blabla") == "-ERR [AUTH] Lies! Try again!"
    client.close()


@pytest.mark.parametrize("name", ["luser@klient1.pl", "luser!klient1.pl", "luser", "LUSER@Klient1.PL"])
def test_all_the_names_of_one_box(accounts: Isp, name: str) -> None:
    client = log_in(accounts, name)
    assert client.type("pass haslo_lusera").startswith("+OK Welcome aboard!")
    assert client.type("quit") == "+OK Done"


def test_the_whole_dialogue(accounts: Isp) -> None:
    deliver(accounts, "linia pierwsza\r\n..kropka na poczatku\r\nostatnia linia\r\n")
    client = log_in(accounts, "luser")
    assert client.type("pass haslo_lusera") == "+OK Welcome aboard! You have 2 messages."
    count, octets = client.type("stat").removeprefix("+OK ").split()
    assert count == "2"
    assert client.type("list") == "+OK Scan list follows:"
    sizes = [int(line.split()[1]) for line in client.lines()]
    assert sum(sizes) == int(octets)
    assert client.type("list 2") == f"+OK 2 {sizes[1]}"
    assert client.type("uidl") == "+OK ID list follows:"
    ids = [line.split()[1] for line in client.lines()]
    assert client.type("uidl 2") == f"+OK 2 {ids[1]}"
    assert client.type("retr 2") == "+OK Message follows"
    lines = client.lines()
    assert lines[-3:] == ["linia pierwsza", "...kropka na poczatku", "ostatnia linia"]
    unstuffed = [line.removeprefix(".") for line in lines]
    assert sum(len(line) + 2 for line in unstuffed) == sizes[1]
    assert client.type("top 2 1") == "+OK Message follows"
    assert client.lines() == lines[:-2]
    assert client.type("dele 2") == "+OK Done."
    assert client.type("stat") == f"+OK 1 {sizes[0]}"
    assert client.type("rset") == "+OK Done."
    assert client.type("noop") == "+OK I'm still here."
    assert client.type("capa") == "+OK Capability list follows"
    assert {"TOP", "UIDL", "USER", "PIPELINING", "RESP-CODES"} <= set(client.lines())
    assert client.type("dele 1") == "+OK Done."
    assert client.type("quit") == "+OK Done"
    left = log_in(accounts, "luser")
    assert left.type("pass haslo_lusera") == "+OK Welcome aboard! You have 1 messages."
    assert left.type("uidl 1") == f"+OK 1 {ids[1]}"
    left.type("quit")


def test_mail_that_comes_during_a_session_is_there_afterwards(accounts: Isp) -> None:
    client = log_in(accounts, "luser")
    client.type("pass haslo_lusera")
    count = int(client.type("stat").split()[1])
    second = log_in(accounts, "luser")
    assert second.type("pass haslo_lusera").startswith("-ERR [IN-USE] Unable to open mailbox;")
    box = deliver(accounts, "came meanwhile\r\n")
    for number in range(1, count + 1):
        client.type(f"dele {number}")
    inode = box.stat().st_ino
    assert client.type("quit") == "+OK Done"
    assert box.stat().st_ino == inode
    later = log_in(accounts, "luser")
    assert later.type("pass haslo_lusera") == "+OK Welcome aboard! You have 1 messages."
    later.type("retr 1")
    assert later.lines()[-1] == "came meanwhile"
    later.type("quit")


def test_a_forwarder_and_the_catch_all_lead_to_the_box(accounts: Isp) -> None:
    accounts.shell.run("VE-forwarder add klient1.pl biuro luser@klient1.pl")
    accounts.shell.run("VE-forwarder add klient1.pl _default_ luser@klient1.pl")
    box = accounts.root / "klient1.pl" / "luser"
    sizes = {box.stat().st_size}
    for address in ("biuro@klient1.pl", "ktokolwiek@klient1.pl"):
        accounts.exim.send([address])
        wait_for(lambda: box.stat().st_size not in sizes, "the delivery")
        sizes.add(box.stat().st_size)
    accounts.shell.run("VE-forwarder del klient1.pl _default_ luser@klient1.pl")
    assert accounts.exim.answer("ktokolwiek@klient1.pl").startswith("550 ")


def test_no_password_stands_in_the_clear(accounts: Isp) -> None:
    assert "haslo_lusera" not in accounts.pop3d.log.read_text()
    assert PASSWORD not in accounts.pop3d.log.read_text()
