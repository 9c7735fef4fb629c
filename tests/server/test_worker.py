"""A worker without its threads: how listeners rest, and how connections change hands."""

from __future__ import annotations

import errno
import select
import socket
from collections.abc import Iterator, Sequence

import pytest

from tpop3d_py.contracts import Decision, Identity, Maildrop, Verdict
from tpop3d_py.log import Log
from tpop3d_py.pop3.profile import Profile
from tpop3d_py.server.admission import Admission
from tpop3d_py.server.authlink import AuthLink
from tpop3d_py.server.bounds import LimitSettings
from tpop3d_py.server.connection import Connection
from tpop3d_py.server.door import Door
from tpop3d_py.server.gate import Gate
from tpop3d_py.server.habits import Habits
from tpop3d_py.server.limits import Shared
from tpop3d_py.server.patience import Timeouts
from tpop3d_py.server.sessionlog import SessionLog
from tpop3d_py.server.slots import Slots
from tpop3d_py.server.worker import Worker, WorkerPlan


class Lines(Log):
    """A log that keeps its lines."""

    def __init__(self) -> None:
        super().__init__("test", to_stderr=False)
        self.lines: list[str] = []

    def warning(self, text: str, *_: object) -> None:
        self.lines.append(text)

    def error(self, text: str, *_: object) -> None:
        self.lines.append(text)


def _nothing(_identity: Identity) -> Maildrop:
    raise AssertionError("nobody logs in here")


class Scene:
    """A worker whose threads never start; the test attends in their place."""

    def __init__(self) -> None:
        self.log = Lines()
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        self.door = Door(listener, "klient1.pl", Profile())
        self.fd = listener.fileno()
        link, shared, slot = AuthLink(1), Shared.for_rows(1), Slots().take()
        shared.open(0)
        gate: Gate[Connection] = Gate(link.requests_out, link.answers_in[0], 0, 1.0, self.log)
        self.worker = Worker(
            slot,
            gate,
            WorkerPlan(
                [self.door],
                Admission(_nothing, self.log),
                shared,
                LimitSettings(max_children=2, max_connections=3).limits(1000),
                Habits(Timeouts(600, 60), self.log),
                1,
                self.log,
                SessionLog(self.log),
            ),
        )
        self.worker._epoll.register(self.fd, select.EPOLLIN | select.EPOLLEXCLUSIVE)
        self.board = shared.board
        self.clients: list[socket.socket] = []

    def come(self) -> socket.socket:
        client = socket.create_connection(self.door.sock.getsockname(), 10)
        self.clients.append(client)
        self.worker._attend(self.fd)
        return client

    def close(self) -> None:
        for sock in (*self.clients, self.door.sock):
            sock.close()


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    made.close()


def test_a_listener_rests_while_the_machine_has_no_descriptors(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def starved(_door: Door) -> None:
        raise OSError(errno.ENFILE, "Too many open files in system")

    with monkeypatch.context() as patch:
        patch.setattr(Door, "accept", starved)
        patch.setattr(scene.worker._spare, "turn_away", lambda *_args, **_more: False)
        client = scene.come()
        with pytest.raises(FileNotFoundError):
            scene.worker._epoll.unregister(scene.fd)
        scene.worker._attend(scene.fd)  # another thread had been woken too
    assert scene.log.lines == [
        "cannot accept connections: Too many open files in system (told once until it is over)"
    ]
    scene.worker._keep_time(1.0)
    assert dict(scene.worker._epoll.poll(0)) == {scene.fd: select.EPOLLIN}
    scene.worker._attend(scene.fd)
    assert client.recv(100).startswith(b"+OK <")


def test_the_oldest_is_closed_and_the_newcomer_greeted(scene: Scene) -> None:
    first, *others = (scene.come() for _ in range(5))
    with first.makefile("rb") as heard:
        greeting, farewell = heard.readlines()
    assert greeting.startswith(b"+OK <")
    assert farewell.startswith(b"-ERR [SYS/TEMP] Too many connections")
    assert others[-1].recv(200).startswith(b"+OK <")
    assert scene.board.connections() == 3


def test_who_is_being_served_is_left_alone_and_the_next_owner_of_a_descriptor_too(scene: Scene) -> None:
    scene.come()
    (conn,) = scene.worker._parked.values()
    scene.worker._parked.clear()  # as if a thread ran it
    assert not scene.worker._turn_out(conn)
    scene.come()
    ((fd, other),) = scene.worker._parked.items()
    conn.fd = fd  # as if it had been closed, and its descriptor given to the newcomer
    assert not scene.worker._turn_out(conn)
    assert scene.worker._parked == {fd: other}
    assert (fd, select.EPOLLOUT) in scene.worker._epoll.poll(0), (
        "it is looked after, should it have been woken"
    )


def test_the_next_owner_of_a_descriptor_is_not_lost_and_waits_as_long_as_it_should(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        scene.come()
    worker = scene.worker
    first, gone, other = worker._parked.values()
    worker._parked.clear()
    first.resume_at, gone.resume_at, other.resume_at = 1.0, 1.0, 9.0
    worker._delayed.update({first.fd: first, gone.fd: gone})

    def meanwhile(conn: Connection, _events: int) -> None:
        assert conn is first
        other.fd = gone.fd  # another thread has closed that one, and its descriptor went to the next client
        worker._delayed[other.fd] = other

    monkeypatch.setattr(worker, "_park", meanwhile)
    worker._keep_time(2.0)
    assert worker._delayed == {other.fd: other}
    assert not worker._turn_out(gone)
    assert worker._delayed == {other.fd: other}


def test_a_login_without_answer_is_given_up(scene: Scene) -> None:
    client = scene.come()
    client.sendall(b"USER luser\r\nPASS haslo\r\n")
    (fd,) = scene.worker._parked
    scene.worker._attend(fd)
    assert scene.worker._parked == {}, "it waits for its login"
    ((waiter, decision),) = scene.worker._gate.expired(10**9)
    assert decision.verdict is Verdict.UNAVAILABLE
    scene.worker._finish_login(waiter, Decision(Verdict.UNAVAILABLE))
    text = client.recv(1000) + client.recv(1000)
    assert b"-ERR [SYS/TEMP]" in text


class Opened:
    """A maildrop that tells whether it is open."""

    sizes: Sequence[int] = [1]
    uids: Sequence[bytes] = [b"a"]

    def __init__(self) -> None:
        self.open = True

    def close(self) -> None:
        self.open = False


@pytest.mark.parametrize("place", ["_lines.began", "_pressure.logged_in", "_pressure.objection"])
def test_a_fault_of_ours_at_a_login_leaves_neither_mailbox_nor_connection_open(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def broken(*_args: object, **_more: object) -> None:
        raise ZeroDivisionError("a bug")

    client, maildrop = scene.come(), Opened()
    client.sendall(b"USER luser\r\nPASS haslo\r\n")
    (fd,) = scene.worker._parked
    scene.worker._attend(fd)
    ((waiter, _),) = scene.worker._gate.expired(10**9)
    part, _, method = place.partition(".")
    monkeypatch.setattr(getattr(scene.worker, part), method, broken)
    monkeypatch.setattr(scene.worker._plan.admission, "admit", lambda _decision: maildrop)
    scene.worker._finish_login(waiter, Decision(Verdict.GRANTED, Identity("luser", "x", 1, 1)))
    assert not maildrop.open or place == "_pressure.objection", "there it was not opened yet"
    assert scene.board.connections() == scene.board.sessions() == 0
    assert "ZeroDivisionError" in scene.log.lines[-1]
