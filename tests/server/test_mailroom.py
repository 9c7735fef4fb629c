"""A mail process, its steps taken one by one: tickets in, words out, connections in."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Sequence

import pytest

from tpop3d_py.contracts import (
    Credentials,
    Decision,
    Identity,
    MaildropError,
    Mechanism,
    Peer,
    Reason,
    Refusal,
    Verdict,
)
from tpop3d_py.log import Log
from tpop3d_py.pop3.handover import Carried
from tpop3d_py.pop3.profile import Profile
from tpop3d_py.server import handover, mailroom, tickets
from tpop3d_py.server.admission import Admission
from tpop3d_py.server.authlink import AuthLink, Request
from tpop3d_py.server.bounds import LimitSettings
from tpop3d_py.server.habits import Habits
from tpop3d_py.server.handover import Luggage, pack_luggage
from tpop3d_py.server.limits import Shared
from tpop3d_py.server.mailroom import MailPlan, MailWorker
from tpop3d_py.server.patience import Timeouts
from tpop3d_py.server.sessionlog import SessionLog
from tpop3d_py.server.slots import Slots
from tpop3d_py.server.tickets import LIFE, Opened, Opening, Word
from tpop3d_py.server.worker import WorkerPlan

PEER = Peer("127.0.0.1", 1, "127.0.0.1", 110, "klient1.pl")


class Drop:
    """An empty maildrop that counts how often it was closed."""

    sizes: Sequence[int] = ()
    uids: Sequence[bytes] = ()

    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


class Room:
    """A mail process in the test's hand, which is also the worker and the authentication process."""

    def __init__(self, *, stands_ready: bool = True) -> None:
        self.link = AuthLink(2)
        self.tickets_out, tickets_in = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.drops: list[Drop] = []
        self.trouble: MaildropError | None = None
        log, shared, slot = Log("test", to_stderr=False), Shared.for_rows(4), Slots().take()
        shared.open(slot.number)
        limits, habits = LimitSettings().limits(1024), Habits(Timeouts(600, 60), log)
        admission = Admission(self.open, log)  # type: ignore[arg-type]
        plan = WorkerPlan((), admission, shared, limits, habits, 1, log, SessionLog(log))
        mail = MailPlan(tickets_in, self.link, lambda carried: Profile(), stands_ready)
        self.worker = MailWorker(slot, mail, plan)
        self.board, self.row = shared.board, slot.number

    def open(self, identity: Identity) -> Drop:
        if self.trouble is not None:
            raise self.trouble
        self.drops.append(Drop())
        return self.drops[-1]

    def ask(self, worker: int = 1, strange: str = "") -> tuple[Word | None, socket.socket | None]:
        """Send a ticket; return the word to the worker that is waiting, and the way for its connection."""
        uid, gid = os.geteuid() + (strange == "uid"), os.getegid() + (strange == "gid")
        identity = Identity("luser@klient1.pl", "test", uid, gid)
        credentials = Credentials(Mechanism.PASSWORD, "luser", b"", b"", PEER)
        request = Request(77, worker, 0, credentials)
        ticket = tickets.make_ticket(request, Decision(Verdict.GRANTED, identity), identity)
        self.tickets_out.send(tickets.pack_ticket(ticket))
        self.worker._pass_answers()
        return self.word()

    def word(self) -> tuple[Word | None, socket.socket | None]:
        try:
            packet, descriptor = handover.receive(self.link.answers_in[1])
        except BlockingIOError:
            return None, None
        number, word = tickets.unpack_word(packet)
        assert number == 77
        return word, None if descriptor is None else socket.socket(fileno=descriptor)

    def come(self, way: socket.socket, ticket: bytes, worker: int = 1) -> socket.socket:
        """Come with a ticket; return the client's end."""
        ours, theirs = socket.socketpair()
        carried = Carried(0, False, True, False, 0, False, 3, 0)
        now = int(time.monotonic() * 1000)
        luggage = Luggage(ticket, worker, True, 40, 80, now, now, carried, b"STAT\r\n", b"+OK before\r\n")
        with theirs:
            handover.send(way, pack_luggage(luggage), theirs.fileno())
        self.worker._receive_connection()
        ours.settimeout(5)
        return ours

    @property
    def closed(self) -> int:
        """How often maildrops have been closed."""
        return sum(drop.closed for drop in self.drops)

    def ends(self) -> bool:
        """Whether the process is about to end."""
        return self.worker._stopping

    def end(self) -> None:
        """End it, as at the end of `run`."""
        self.worker._reactor.start()
        self.worker._shut_down()


@pytest.fixture
def room() -> Iterator[Room]:
    made = Room()
    yield made
    made.end()


def opened(room: Room) -> tuple[bytes, socket.socket]:
    word, way = room.ask()
    assert isinstance(word, Opened)
    assert way is not None
    return word.ticket, way


def test_a_connection_goes_on_where_it_was(room: Room) -> None:
    ticket, way = opened(room)
    client = room.come(way, ticket)
    assert (
        client.recv(1000) == b"+OK before\r\n+OK Welcome aboard! You have no messages at all.\r\n+OK 0 0\r\n"
    )
    assert (room.board.connections(), room.board.sessions()) == (1, 1)
    (conn,) = room.worker._pressure.everybody()
    assert (conn.received, conn.session.user, conn.session.counters.commands) == (40, "luser", 4)
    assert conn.transport.secure
    client.close()
    room.worker._attend(conn.fd)
    assert (room.board.connections(), room.board.sessions(), room.closed) == (0, 0, 1)


def test_a_ticket_is_good_once(room: Room) -> None:
    ticket, way = opened(room)
    first = room.come(way, ticket)
    second = room.come(way, ticket)
    assert second.recv(1000).startswith(b"-ERR [SYS/TEMP]")
    assert second.recv(1000) == b""
    assert room.board.sessions() == 1
    assert room.closed == 0
    first.close()


@pytest.mark.parametrize("worker", [0, 2, 511])
def test_a_ticket_is_good_for_one_worker(room: Room, worker: int) -> None:
    ticket, way = opened(room)
    assert room.come(way, ticket, worker).recv(1000).startswith(b"-ERR [SYS/TEMP]")
    assert room.closed == 1
    assert room.come(way, ticket).recv(1000).startswith(b"-ERR [SYS/TEMP]")


def test_a_ticket_is_good_for_some_seconds(room: Room) -> None:
    ticket, way = opened(room)
    room.worker._held[ticket].until = time.monotonic() - 0.1
    assert room.come(way, ticket).recv(1000).startswith(b"-ERR [SYS/TEMP]")
    assert room.closed == 1


def test_a_maildrop_that_nobody_comes_for(room: Room) -> None:
    opened(room)
    room.worker._keep_time(time.monotonic() + LIFE)
    assert room.closed == 0
    room.worker._keep_time(time.monotonic() + LIFE + 2)
    assert room.closed == 1


def test_a_ticket_that_is_given_back(room: Room) -> None:
    ticket, way = opened(room)
    handover.send(way, os.urandom(16))
    handover.send(way, ticket)
    for _ in range(3):  # one more than there are
        room.worker._receive_connection()
    assert room.closed == 1


def test_a_maildrop_that_cannot_be_opened(room: Room) -> None:
    room.trouble = MaildropError(Reason.LOCKED, "somebody reads it")
    assert room.ask() == (Refusal(Reason.LOCKED, "somebody reads it"), None)


@pytest.mark.parametrize("other", ["uid", "gid"])
def test_the_mail_of_somebody_else(room: Room, other: str) -> None:
    word, way = room.ask(strange=other)
    assert isinstance(word, Refusal)
    assert (word.reason, way, room.drops) == (Reason.FORBIDDEN, None, [])


@pytest.mark.parametrize("worker", [2, 511, -1])
def test_a_worker_that_does_not_exist(room: Room, worker: int) -> None:
    room.ask(worker)
    assert all(drop.closed for drop in room.drops)
    assert not room.worker._held


def test_tickets_that_are_old_or_damaged(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailroom, "_STALE", 0.0)
    assert room.ask() == (None, None)
    room.tickets_out.send(b"x" * 100)
    room.worker._pass_answers()
    room.worker._pass_answers()  # there is none
    assert room.drops == []


def test_damaged_connections(room: Room) -> None:
    ticket, way = opened(room)
    before = len(os.listdir("/proc/self/fd"))
    reading, writing = os.pipe()
    handover.send(way, b"rubbish", reading)
    handover.send(way, b"", writing)
    for _ in range(2):
        room.worker._receive_connection()
    for fd in (reading, writing):
        os.close(fd)
    assert len(os.listdir("/proc/self/fd")) == before
    client = room.come(way, ticket)  # which has not suffered
    assert b"Welcome" in client.recv(1000)


def test_a_worker_that_closes_the_way_closes_it_for_nobody_else(room: Room) -> None:
    _, way = opened(room)
    way.shutdown(socket.SHUT_WR)
    for _ in range(2):
        room.worker._attend(room.worker._attach_fd)
    ticket, way = opened(room)
    assert room.come(way, ticket).recv(1000).endswith(b"+OK 0 0\r\n")


def test_who_waits_for_long_is_told_to_go_on(room: Room) -> None:
    ticket, _ = opened(room)
    held = room.worker._held[ticket]
    now = time.monotonic()
    room.worker._under_way[ticket] = held.ticket, now
    room.worker._keep_time(now + 0.5)
    assert room.word() == (None, None)
    for tick in (1.5, 1.7, 2.6):
        room.worker._keep_time(now + tick)
    del room.worker._under_way[ticket]
    assert [room.word()[0] for _ in range(3)] == [Opening(), Opening(), None]


def test_a_process_that_nobody_needs_ends_without_losing_a_ticket() -> None:
    room = Room(stands_ready=False)
    now = time.monotonic()
    room.worker._keep_time(now + mailroom.IDLE - 1)
    room.worker._keep_time(now + mailroom.IDLE + 1)
    assert not room.ends()
    with pytest.raises(BrokenPipeError):
        room.tickets_out.send(b"late")
    room.worker._keep_time(now + mailroom.IDLE + 2)
    assert room.ends()
    room.end()


def test_a_process_with_something_to_do_stays() -> None:
    room = Room(stands_ready=False)
    opened(room)
    now = time.monotonic()
    room.worker._held[next(iter(room.worker._held))].until = now + 1000
    for later in (0, mailroom.IDLE + 1, 2 * mailroom.IDLE + 2):
        room.worker._keep_time(now + later)
    assert not room.ends()
    room.end()
    assert room.closed == 1
