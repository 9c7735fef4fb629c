"""Questions about sessions, between the monitor and a worker, over real channels."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from tests.server.test_sessionlog import PEER, Lines, Nobody
from tpop3d_py.log import Log
from tpop3d_py.pop3.profile import Profile
from tpop3d_py.server import status
from tpop3d_py.server.connection import Connection
from tpop3d_py.server.control import Respondent, identify, row
from tpop3d_py.server.habits import Habits
from tpop3d_py.server.live import PACKET, Live, row_of, unpack
from tpop3d_py.server.patience import Timeouts
from tpop3d_py.server.slots import Slot, Slots
from tpop3d_py.server.status import Inquiry
from tpop3d_py.server.transport import PlainTransport, hung_up


def connection(fd: int = 7, user: str = "", logged_in: bool = False, idle: float = 600) -> Connection:
    log = Log("t", to_stderr=False)
    conn = Connection(fd, Nobody(), PEER, b"0" * 32, Profile(), Habits(Timeouts(idle, 60), log))
    if user:
        conn.session.receive(b"USER " + user.encode("utf-8", "surrogateescape"))
    conn.session.logged_in = logged_in
    return conn


class Worker:
    """The part of a worker that answers."""

    def __init__(self, slot: Slot, *connections: Connection) -> None:
        self.lines = Lines()
        self.forgotten: list[str] = []
        self.slot = slot
        self.respondent = Respondent(
            slot.control,
            lambda: connections,
            self.forgotten.append,
            Log("t", to_stderr=False, file=self.lines),
        )

    def serve_until(self, over: threading.Event) -> None:
        events = select.EPOLLIN
        with select.epoll() as epoll:
            epoll.register(self.slot.control, events)
            while not over.is_set() and events:
                if epoll.poll(0.01):
                    events = self.respondent.attend()
                    epoll.modify(self.slot.control, events)


@contextlib.contextmanager
def serving(*workers: Worker) -> Iterator[None]:
    over = threading.Event()
    threads = [threading.Thread(target=worker.serve_until, args=(over,)) for worker in workers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


@pytest.fixture
def slots() -> Iterator[Slots]:
    made = Slots()
    yield made
    for slot in made.living():
        made.release(slot)


def test_a_row_tells_what_there_is_to_tell() -> None:
    conn = connection(user="lu\udcffser", idle=600)
    conn.received = 99
    found = row(conn, 812, conn.started + 12.5)
    assert found == Live(
        id=identify(conn, 812),
        user="lu\\udcffser",
        host="10.0.0.7",
        port=1234,
        domain="klient1.pl",
        state="AUTHORIZATION",
        tls=False,
        received=99,
        sent=0,
        age=12.5,
        idle=12.5,
        commands=1,
    )


@pytest.mark.parametrize(
    ("wanted", "logged_in", "state"),
    [(None, False, "AUTHORIZATION"), (SimpleNamespace(), False, "LOGIN"), (None, True, "TRANSACTION")],
)
def test_the_state(wanted: Any, logged_in: bool, state: str) -> None:
    conn = connection(logged_in=logged_in)
    conn.wanted = wanted
    assert row(conn, 1, conn.started).state == state


def test_nobody_counts_where_nothing_times_out() -> None:
    conn = connection(idle=0)
    conn.patience.renew()
    assert row(conn, 1, time.monotonic()).idle is None


def test_an_identifier_is_not_the_next_connections_on_the_same_descriptor() -> None:
    one, two = connection(), connection()
    two.started = one.started + 0.5
    assert identify(one, 1) != identify(two, 1)
    assert identify(one, 1) != identify(one, 2)


def test_thousands_of_sessions_come_in_many_packets_and_block_nobody(slots: Slots) -> None:
    worker = Worker(slots.take(), *(connection(fd, "u" * 60) for fd in range(3000)))
    with serving(worker):
        packets = list(Inquiry().ask([worker.slot], {"ask": "sessions"}))
    rows = [row_of(values) for _, packet in packets for values in (packet or {})["rows"]]
    assert len({row.id for row in rows}) == 3000
    assert len(packets) > 100


def test_an_answer_that_nobody_reads_holds_no_thread(slots: Slots) -> None:
    worker = Worker(slots.take(), *(connection(fd, "u" * 60) for fd in range(3000)))
    far = worker.slot.far_control
    far.send(b'{"n": 1, "ask": "sessions"}')
    assert worker.respondent.attend() == select.EPOLLOUT
    last, events = False, 0
    while not last:
        try:
            last = unpack(far.recv(PACKET))["last"]
        except BlockingIOError:
            events = worker.respondent.attend()
    assert events == select.EPOLLIN


def test_the_longest_names_fit_into_a_packet(slots: Slots) -> None:
    conn = connection(user="\udcff" * 500)
    worker = Worker(slots.take(), *[conn] * 100)
    with serving(worker):
        answers = [packet for _, packet in Inquiry().ask([worker.slot], {"ask": "sessions"})]
    assert None not in answers
    assert sum(len((packet or {})["rows"]) for packet in answers) == 100


def test_one_connection_is_ended_by_its_identifier(slots: Slots) -> None:
    conns = [connection(fd) for fd in (7, 8)]
    worker = Worker(slots.take(), *conns)
    with serving(worker):
        for identifier, count in ((identify(conns[1], os.getpid()), 1), ("1.8.0000", 0), ("", 0)):
            (answer,) = Inquiry().ask([worker.slot], {"ask": "kick", "id": identifier})
            assert (answer[1] or {})["count"] == count
    assert [conn.ending for conn in conns] == ["connection lost", "kicked"]


@pytest.mark.parametrize("name", ["luser", "luser@klient1.pl"])
def test_a_user_is_ended_wherever_he_is_logged_in(slots: Slots, name: str) -> None:
    conns = [
        connection(7, "luser", logged_in=True),
        connection(8, "luser", logged_in=True),
        connection(9, "luser"),  # only says so
        connection(10, "luser2", logged_in=True),
    ]
    worker = Worker(slots.take(), *conns)
    with serving(worker):
        (answer,) = Inquiry().ask([worker.slot], {"ask": "kick", "user": name})
    assert (answer[1] or {})["count"] == 2
    assert [conn.ending == "kicked" for conn in conns] == [True, True, False, False]


def test_cached_logins_are_forgotten(slots: Slots) -> None:
    workers = [Worker(slots.take()), Worker(slots.take())]
    with serving(*workers):
        list(
            Inquiry().ask([worker.slot for worker in workers], {"ask": "forget", "user": "luser@klient1.pl"})
        )
    assert [worker.forgotten for worker in workers] == [["luser@klient1.pl"]] * 2


@pytest.mark.parametrize("packet", [b"no json", b"[]", b"{}", b'{"n": "7"}', b"\xff\xfe"])
def test_a_damaged_question_is_logged_and_the_next_one_answered(slots: Slots, packet: bytes) -> None:
    worker = Worker(slots.take())
    worker.slot.far_control.send(packet)
    with serving(worker):
        (answer,) = Inquiry().ask([worker.slot], {"ask": "sessions"})
    assert (answer[1] or {})["rows"] == []
    assert "dropped a damaged question" in worker.lines.lines[0]


@pytest.mark.parametrize("question", [{"ask": "format"}, {}, {"ask": "forget"}, {"ask": "forget", "user": 5}])
def test_what_is_not_understood_is_answered_so(slots: Slots, question: dict[str, Any]) -> None:
    worker = Worker(slots.take())
    with serving(worker):
        (answer,) = Inquiry().ask([worker.slot], question)
    assert (answer[1] or {})["error"] == "not understood"


def test_a_fault_of_ours_is_logged_and_answered(slots: Slots) -> None:
    broken: Any = SimpleNamespace(session=None)
    worker = Worker(slots.take(), broken)
    with serving(worker):
        (answer,) = Inquiry().ask([worker.slot], {"ask": "sessions"})
    assert (answer[1] or {})["error"] == "internal error"
    assert "internal error" in worker.lines.lines[0]


def test_a_silent_worker_delays_nobody_and_its_late_answer_is_dropped(
    slots: Slots, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "PATIENCE", 0.2)
    silent, quick = Worker(slots.take()), Worker(slots.take(), connection())
    inquiry = Inquiry()
    with serving(quick):
        first, *rest = inquiry.ask([silent.slot, quick.slot], {"ask": "sessions"})
    assert first[0] is quick.slot
    assert rest == [(silent.slot, None)]
    with serving(silent):
        (answer,) = inquiry.ask([silent.slot], {"ask": "forget", "user": "x"})
    assert (answer[1] or {})["count"] == 1


def test_a_worker_that_is_gone_or_talks_nonsense_counts_as_silent(slots: Slots) -> None:
    gone, odd = slots.take(), slots.take()
    slots.handed_over(gone)
    odd.control.send(b"nonsense")
    assert sorted(
        (slot.number, answer) for slot, answer in Inquiry().ask([gone, odd], {"ask": "sessions"})
    ) == [
        (0, None),
        (1, None),
    ]


def test_a_worker_whose_channel_is_full_counts_as_silent(slots: Slots) -> None:
    slot = slots.take()
    with contextlib.suppress(BlockingIOError):
        while True:
            slot.far_control.send(b"x" * 1000)
    assert list(Inquiry().ask([slot], {"ask": "sessions"})) == [(slot, None)]


def test_the_end_of_the_channel_is_waited_for_no_more(slots: Slots) -> None:
    worker = Worker(slots.take())
    worker.slot.far_control.close()
    assert worker.respondent.attend() == 0


@pytest.mark.parametrize("values", [[], [1], None, 5, list(range(20))])
def test_rows_of_another_shape_are_refused(values: object) -> None:
    with pytest.raises(ValueError, match="other columns"):
        row_of(values)


def test_numbers_of_messages_are_numbers() -> None:
    with pytest.raises(ValueError, match="an object with a number"):
        unpack(b'{"n": null}')


def test_a_kicked_connection_obeys_no_quit_that_is_still_to_be_read() -> None:
    """The client said QUIT behind DELE, and both wait in the kernel when the operator ends the session."""
    near, far = socket.socketpair()
    with far:
        far.sendall(b"DELE 1\r\nQUIT\r\n")
        near.setblocking(False)
        transport = PlainTransport(near)
        transport.cut()
        assert hung_up(transport)
        near.close()
