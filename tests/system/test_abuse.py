"""Many clients that mean no good, and one that does: nobody honest fails, memory stays small, the log too.

The sizes here are small; scripts/abuse does the same with thousands and takes the times.
"""

from __future__ import annotations

import os
import poplib
import pwd
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.support.crowd import (
    allow_descriptors,
    ask,
    busily,
    clients,
    connect,
    line,
    log_in,
    memory,
    named,
)
from tests.system.support.processes import wait_for
from tests.system.support.small import SmallSite

BIG = 8 << 20
IDLE = 600
ONE = "127.0.1.1"
OTHER = "127.0.1.2"
EXEMPT = "127.0.1.3"


def stock(site: SmallSite, owner: pwd.struct_passwd) -> None:
    """Put a message of 8 MiB into the box that has one, and a small one into the other."""
    for box, octets in (("big", b"0123456789abcde\n" * (BIG // 16)), ("luser", b"hello\n")):
        path = site.path(box) / "new" / "1000000000.M1P1.host"
        path.write_bytes(b"Subject: x\n\n" + octets)
        os.chown(path, owner.pw_uid, owner.pw_gid)


@pytest.fixture(scope="module")
def site(area: Path, vmail: pwd.struct_passwd) -> Iterator[SmallSite]:
    """A server with the default settings."""
    allow_descriptors(4 * IDLE)
    site = SmallSite(area / "abuse", vmail, {"luser": "maildir", "big": "maildir"})
    stock(site, vmail)
    yield site
    site.stop()


@pytest.fixture(scope="module")
def strict(area: Path, vmail: pwd.struct_passwd) -> Iterator[SmallSite]:
    """A server with small limits."""
    more = (
        "max-children: 6\nmax-connections: 40\nmax-sessions-per-address: 3\nmax-waiting-per-address: 30\n"
        f"limit-exempt-networks: {EXEMPT}\nworker-processes: 2\nstressed-login-timeout-seconds: 1\n"
    )
    site = SmallSite(area / "strict", vmail, {"luser": "maildir"}, more)
    yield site
    site.stop()


def honest(site: SmallSite, times: int = 15) -> None:
    """Log in again and again; every session must succeed."""
    for _ in range(times):
        client = poplib.POP3("127.0.0.1", site.port, timeout=20)
        client.user(site.user("luser"))
        client.pass_(site.password("luser"))
        assert client.stat()[0] == 1
        client.quit()


def log_of(site: SmallSite) -> str:
    return site.pop3d.log.read_text()


def workers(site: SmallSite) -> list[int]:
    return named(site.pop3d.child.pid, "worker")


def test_idle_connections_cost_little(site: SmallSite) -> None:
    honest(site)
    before = memory(workers(site))
    with clients(site.port, IDLE, lambda number: f"127.0.1.{1 + number % 50}") as crowd:
        grown = memory(workers(site)) - before
        honest(site)
        assert all(ask(sock, "NOOP") for sock in crowd[::40]), "nobody was closed"
    assert grown / IDLE < 24 * 1024


def test_an_octet_now_and_then(site: SmallSite) -> None:
    with clients(site.port, 50, lambda number: f"127.0.1.{1 + number}") as crowd:

        def drip() -> None:
            for sock in crowd:
                sock.send(b"U")

        with busily(drip):
            honest(site)


def test_lines_without_an_end(site: SmallSite) -> None:
    ends: list[int] = []

    def talk() -> None:
        with connect(site.port, ONE) as sock:
            sock.sendall(b"x" * (1 << 20))
            while sock.recv(4096):
                pass
        ends.append(1)

    with busily(*[talk] * 8):
        honest(site)
    assert "too many octets before a login" in log_of(site)


def test_connections_that_come_and_go(site: SmallSite) -> None:
    def visit() -> None:
        with connect(site.port, OTHER) as sock:
            assert line(sock).startswith(b"+OK <")

    with busily(*[visit] * 6):
        honest(site, 30)


def test_readers_that_stop(site: SmallSite) -> None:
    """What they have not read stays on the disk: neither we nor the kernel hold eight messages of 8 MiB."""
    count = 8
    before, kernel = memory(workers(site)), _unsent(site.port)
    with clients(site.port, count, lambda number: f"127.0.1.{1 + number}") as crowd:
        for sock in crowd:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            ask(sock, f"USER {site.user('big')}")
            assert ask(sock, f"PASS {site.password('big')}").startswith(b"+OK")
            assert ask(sock, "RETR 1").startswith(b"+OK")
        honest(site)
        held = memory(workers(site)) - before + _unsent(site.port) - kernel
    assert held < count * (1 << 20)


def _unsent(port: int) -> int:
    """Octets that the kernel holds for the clients of a port."""
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(int(row[4].split(":")[0], 16) for row in rows if row[1].endswith(f":{port:04X}"))


def test_guessers(site: SmallSite) -> None:
    answers: list[bytes] = []

    def guess() -> None:
        with connect(site.port, ONE) as sock:
            answers.append(log_in(sock, site.user("luser"), "wrong"))

    with busily(*[guess] * 8):
        honest(site)
    assert len(answers) >= 8
    assert all(answer.startswith(b"-ERR [AUTH]") for answer in answers)


def test_newcomers_are_let_in_and_the_busiest_has_to_go(strict: SmallSite) -> None:
    with clients(strict.port, 2, lambda _: OTHER) as quiet:
        with clients(strict.port, 100, lambda _: ONE):
            for _ in range(5):
                with connect(strict.port, EXEMPT) as sock:
                    assert line(sock).startswith(b"+OK <")
            assert all(ask(sock, "NOOP") for sock in quiet), "only the busy one's connections were closed"
        assert log_of(strict).count("owing to high load: max-waiting-per-address is reached (30)") == 1
    with clients(strict.port, 60, lambda number: f"127.0.2.{number + 1}") as crowd:
        assert ask(crowd[-1], "NOOP")
        wait_for(lambda: "high load: 70% of all connections" in log_of(strict), "a line about stress")
    text = log_of(strict)
    assert text.count("owing to high load: max-connections is reached (40)") == 1


def test_who_is_closed_for_lack_of_room_is_told_so(strict: SmallSite) -> None:
    with clients(strict.port, 45, lambda _: EXEMPT) as crowd:
        told = [sock for sock in crowd[:5] if line(sock).startswith(b"-ERR [SYS/TEMP]")]
    assert told


def test_sessions_of_one_address_and_of_all(strict: SmallSite) -> None:
    def come(source: str) -> bytes:
        socks.append(connect(strict.port, source))
        return log_in(socks[-1], strict.user("luser"), strict.password("luser"))

    socks: list[socket.socket] = []
    try:
        assert all(come(ONE).startswith(b"+OK") for _ in range(3))
        assert come(ONE).startswith(b"-ERR [SYS/TEMP]")
        assert come(ONE).startswith(b"-ERR [SYS/TEMP]")
        assert all(come(EXEMPT).startswith(b"+OK") for _ in range(3))
        assert come(EXEMPT).startswith(b"-ERR [SYS/TEMP]")
        assert come(OTHER).startswith(b"-ERR [SYS/TEMP]")
        assert ask(socks[0], "QUIT").startswith(b"+OK")
        assert line(socks[0]) == b"", "it is over when the server has closed"
        assert come(ONE).startswith(b"+OK")
    finally:
        for sock in socks:
            sock.close()
    text = log_of(strict)
    high = "rejected login owing to high load"
    assert text.count(f"{high}: max-sessions-per-address is reached (3 sessions) by {ONE}") == 1
    assert text.count(f"{high}: max-children is reached (6 sessions)") == 1
