"""Mass hosting by reverse DNS: a real resolver, a DNS that answers, and one that hangs."""

from __future__ import annotations

import os
import pwd
import select
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.system.support.nameserver import ADDRESS, Nameserver
from tests.system.support.pop3d import BIN, Shell
from tests.system.support.processes import Child, free_port, listens, program

KNOWN, UNKNOWN, HANGS, ALSO_HANGS = (f"127.0.0.{n}" for n in (2, 3, 4, 5))
NAMES = {KNOWN: "mail.Klient1.pl", HANGS: None, ALSO_HANGS: None}


@dataclass
class Site:
    """A server whose resolver asks our DNS."""

    nameserver: Nameserver
    regex: int
    plain: int


@pytest.fixture(scope="module")
def site(area: Path, vmail: pwd.struct_passwd) -> Iterator[Site]:
    folder = area / "reverse"
    folder.mkdir()
    (folder / "resolv.conf").write_text(f"nameserver {ADDRESS}\noptions timeout:20 attempts:1\n")
    (folder / "vmail.conf").write_text(
        f"database-url: sqlite:///{folder}/vmail.db\nmail-root: {folder}\ndefault-unix-user: vmail\n"
    )
    Shell(folder / "vmail.conf").run("vmail db init")
    for path in (folder, *folder.glob("vmail.db*")):
        os.chown(path, vmail.pw_uid, vmail.pw_gid)
    regex, plain = free_port(), free_port()
    config = folder / "tpop3d.conf"
    config.write_text(
        f"include: vmail.conf\nauth-directory-enable: yes\nrun-as: vmail\nworker-processes: 1\n"
        rf"listen-address: 0.0.0.0:{regex}/^mail\.(.*)$/ 127.0.0.1:{plain}(klient1.pl)"
        "\nreverse-dns-timeout-seconds: 3\n"
    )
    nameserver = Nameserver(NAMES)
    # In a mount namespace of its own the server has our resolv.conf, and nobody else has.
    start = f"mount --bind {folder}/resolv.conf /etc/resolv.conf && exec {BIN}/pypop3d -f {config} -v -d"
    child = Child([program("unshare"), "--mount", "sh", "-c", start], folder / "tpop3d.log")
    try:
        child.wait_until(lambda: listens(plain), "pypop3d")
        yield Site(nameserver, regex, plain)
    finally:
        child.stop()
        nameserver.stop()


def greeting(host: str, port: int) -> bytes:
    with socket.create_connection((host, port), 20) as sock:
        return sock.makefile("rb").readline()


def test_the_domain_comes_out_of_the_name(site: Site) -> None:
    assert greeting(KNOWN, site.regex).endswith(b"@klient1.pl>\r\n")
    assert greeting(UNKNOWN, site.regex).endswith(f"@{UNKNOWN}>\r\n".encode())


def test_an_address_is_asked_for_once(site: Site) -> None:
    greeting(KNOWN, site.regex)
    before = list(site.nameserver.asked)
    for _ in range(20):
        assert greeting(KNOWN, site.regex).endswith(b"@klient1.pl>\r\n")
    assert site.nameserver.asked == before


def test_a_dns_that_hangs_holds_up_nobody_else(site: Site) -> None:
    """More connections wait than there are threads, of sessions or of the resolver."""
    waiting = [socket.create_connection((HANGS, site.regex), 20) for _ in range(20)]
    waiting.append(socket.create_connection((ALSO_HANGS, site.regex), 20))
    try:
        assert greeting("127.0.0.1", site.plain).endswith(b"@klient1.pl>\r\n")
        assert greeting(KNOWN, site.regex).endswith(b"@klient1.pl>\r\n")
        assert select.select(waiting, [], [], 0)[0] == []
        # Then they get what an address without a name gets.
        for sock in waiting:
            host = sock.getpeername()[0]
            assert sock.makefile("rb").readline().endswith(f"@{host}>\r\n".encode())
        # And whoever comes now does not wait for a question that was put so long ago.
        assert greeting(HANGS, site.regex).endswith(f"@{HANGS}>\r\n".encode())
        assert site.nameserver.asked.count(HANGS) == 1
    finally:
        for sock in waiting:
            sock.close()
