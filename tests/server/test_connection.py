"""A connection with no socket: what it reads, when, and how long a wrong login takes."""

from __future__ import annotations

import select
from collections.abc import Sequence

import pytest

from tpop3d_py.contracts import Challenge, Peer, Reason, Refusal
from tpop3d_py.log import Log
from tpop3d_py.pop3 import Profile
from tpop3d_py.server.connection import Connection, Next
from tpop3d_py.server.habits import Habits
from tpop3d_py.server.patience import Timeouts
from tpop3d_py.server.transport import Transport

PEER = Peer("192.0.2.1", 4000, "192.0.2.2", 110, "klient1.pl")
HABITS = Habits(Timeouts(600, 60), Log("test", to_stderr=False))


class FakeTransport:
    """Reads what it is given; takes as many octets at a time as `room` says, then all."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self.blocked_on = int(select.EPOLLIN)
        self.secure = False
        self.passes = True
        self.pieces = list(pieces)
        self.room: list[int] = []
        self.sent = b""
        self.secured = 0

    def receive(self) -> bytes | None:
        return self.pieces.pop(0) if self.pieces else None

    def send(self, data: bytes | memoryview) -> int:
        count = min(self.room.pop(0), len(data)) if self.room else len(data)
        self.sent += bytes(data[:count])
        return count

    def has_more(self) -> bool:
        return bool(self.pieces)

    def unread(self) -> int:
        return 0

    def with_tls(self) -> Transport:
        self.secured += 1
        self.secure = True
        return self

    def cut(self) -> None:
        pass

    def leave(self) -> None:
        pass

    def close(self) -> None:
        pass


def connect(transport: FakeTransport, **profile: object) -> Connection:
    conn = Connection(7, transport, PEER, b"0" * 32, Profile(**profile), HABITS)  # type: ignore[arg-type]
    conn.greet()
    transport.sent = b""
    return conn


def run(conn: Connection) -> Next:
    while (waits := conn.run()) is Next.TURN:
        pass
    return waits


def said(conn: Connection) -> int:
    """Count the messages of SCRAM that are to be checked; 0 if nothing is."""
    return len(conn.wanted.exchange) if conn.wanted is not None else 0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize("checked_for", [0.0, 0.03, 2.9])
def test_a_wrong_login_takes_as_long_however_it_was_checked(clock: list[float], checked_for: float) -> None:
    """An unknown user, a wrong password of a slow hash and one of a fast hash are answered at one moment."""
    transport = FakeTransport([b"USER jan\r\nPASS x\r\n"])
    conn = connect(transport)
    assert run(conn) is Next.LOGIN
    clock[0] += checked_for
    assert conn.finish_login(Refusal(Reason.CREDENTIALS)) is Next.DELAY
    assert conn.resume_at == 1003.0
    assert b"AUTH" not in transport.sent
    assert run(conn) is Next.SOCKET
    assert transport.sent.endswith(b"-ERR [AUTH] Lies! Try again!\r\n")


def test_tls_begins_when_the_last_octet_of_the_answer_has_gone(clock: list[float]) -> None:
    transport = FakeTransport([b"STLS\r\nUSER jan\r\n"])
    conn = connect(transport, stls=True)
    transport.room = [10, 0]
    assert run(conn) is Next.SOCKET
    assert (transport.secured, transport.sent) == (0, b"+OK Begin ")
    transport.pieces = [b"PASS x\r\n"]
    assert run(conn) is Next.SOCKET
    assert transport.secured == 1
    assert transport.sent == b"+OK Begin TLS negotiation\r\n-ERR What's your name?\r\n"
    assert conn.session.user == ""


def test_a_login_that_is_granted_waits_for_the_client(clock: list[float]) -> None:
    first = b"AUTH SCRAM-SHA-256 biwsbj11c2VyLHI9YWJj\r\n"
    transport = FakeTransport([first])
    conn = connect(transport, mechanisms=(b"SCRAM-SHA-256",))
    assert run(conn) is Next.LOGIN
    assert said(conn) == 1
    assert conn.finish_login(Challenge(b"r=abcdef,s=c2FsdA==,i=4096")) is Next.SOCKET
    assert said(conn) == 0
    transport.pieces = [b"Yz1iaXdzLHI9YWJjZGVmLHA9QUFBQQ==\r\n"]
    assert run(conn) is Next.LOGIN
    assert said(conn) == 3
    assert conn.finish_login(Challenge(b"v=")) is Next.SOCKET
    assert not conn.confirmed
    transport.pieces = [b"\r\n"]
    assert run(conn) is Next.LOGIN
    assert conn.confirmed


def test_nothing_is_read_while_a_login_is_checked(clock: list[float]) -> None:
    transport = FakeTransport([b"USER jan\r\nPASS x\r\nUSER ola\r\n", b"PASS y\r\n"])
    conn = connect(transport)
    assert run(conn) is Next.LOGIN
    assert transport.pieces == [b"PASS y\r\n"]
    assert conn.wanted is not None
    assert conn.wanted.user == "jan"


def test_a_login_is_checked_even_while_earlier_replies_wait_for_the_client() -> None:
    transport = FakeTransport([b"USER a\r\nPASS b\r\nQUIT\r\n"])
    conn = connect(transport)
    transport.room = [10, 0, 0]
    assert conn.run() is Next.LOGIN
    assert conn.finish_login(Refusal(Reason.UNAVAILABLE)) is Next.SOCKET
    assert conn.run() is Next.CLOSE
    assert [line[:4] for line in transport.sent.splitlines()] == [b"+OK ", b"-ERR", b"+OK "]


@pytest.mark.parametrize("piece", [b"x" * 4096, b"USER x\r\n" * 500, b"AUTH PLAIN =\r\n" * 290])
def test_nobody_may_talk_without_end_before_a_login(piece: bytes, clock: list[float]) -> None:
    transport = FakeTransport([piece] * 1000)
    conn = connect(transport, command_errors=10**9)
    began = clock[0]
    while (waits := run(conn)) is not Next.CLOSE:
        if waits is Next.DELAY:
            clock[0] = conn.resume_at
    assert conn.received <= 65_536 + len(piece)
    assert clock[0] - began > 2, "and what it sends is read slowly"


def test_the_longest_logins_are_short_enough(clock: list[float]) -> None:
    transport = FakeTransport([b"AUTH PLAIN\r\n", b"x" * 8000 + b"\r\n"] * 6 + [b"NOOP\r\n"])
    conn = connect(transport)
    while (waits := run(conn)) is Next.DELAY:
        clock[0] = conn.resume_at
    assert waits is Next.SOCKET
    assert not transport.pieces
