"""The monitor's desks: who is answered, who is not, and that no client of theirs holds up another."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.server.test_control import Worker, connection, serving
from tests.server.test_sessionlog import Lines
from tpop3d_py.log import Log
from tpop3d_py.server import desk as module
from tpop3d_py.server.census import Census, Part
from tpop3d_py.server.control import identify
from tpop3d_py.server.desk import Desk, hear_out
from tpop3d_py.server.ears import Ear, listen
from tpop3d_py.server.monitor import Controller, MonitorPlan
from tpop3d_py.server.pages import answer, pages
from tpop3d_py.server.slots import Slots
from tpop3d_py.server.tally import Layout, Tally


class Bench:
    """Desks on sockets of a test's own."""

    def __init__(self, folder: Path) -> None:
        self.lines = Lines()
        self.log = Log("t", to_stderr=False, file=self.lines)
        self.path = str(folder / "desk")
        self.sock = listen(Ear(path=self.path), 0o600)
        self.desks: list[Desk] = []

    def open(self, answer: Callable[[socket.socket], None]) -> Desk:
        self.desks.append(Desk(self.sock, answer, self.log))
        return self.desks[-1]

    def connect(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(10)
        client.connect(self.path)
        return client

    def ask(self, octets: bytes) -> bytes:
        with self.connect() as client:
            with contextlib.suppress(BrokenPipeError):  # it may have been closed already
                client.sendall(octets)
            return b"".join(iter(lambda: client.recv(65536), b""))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    for desk in made.desks:
        desk.close(0.5)
    made.sock.close()


# --- desks -----------------------------------------------------------------


def test_a_client_that_says_nothing_holds_up_nobody(bench: Bench) -> None:
    bench.open(lambda client: client.sendall(client.recv(100)))
    silent = [bench.connect() for _ in range(7)]
    assert bench.ask(b"hello") == b"hello"
    for client in silent:
        client.close()


def test_more_than_enough_clients_wait_and_are_answered_later(bench: Bench) -> None:
    bench.open(lambda client: client.sendall(client.recv(100)))
    first = [bench.connect() for _ in range(12)]
    for client in first:
        client.sendall(b"x")
    assert [client.recv(10) for client in first] == [b"x"] * 12


def test_a_client_that_is_too_slow_loses_its_connection(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DEADLINE", 0.1)
    bench.open(lambda client: client.sendall(client.recv(100)))
    with bench.connect() as client:
        assert client.recv(10) == b""
    assert bench.lines.lines == []


def test_octet_by_octet_nobody_gets_more_time_for_a_question(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = itertools.count()  # each octet comes a second after the one before
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: float(next(seconds))))
    monkeypatch.setattr(module, "_READ_AT_ONCE", 1)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"GET /healthz")
        with pytest.raises(TimeoutError):
            hear_out(ours, lambda octets: b"\n" in octets, 100)
        assert ours.recv(100) == b"/healthz"


@pytest.mark.parametrize(
    ("sent", "heard"), [(b"one\n", b"one\n"), (b"half", b"half"), (b"", b""), (b"x" * 20, b"x" * 8)]
)
def test_a_question_is_heard_to_its_end(sent: bytes, heard: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(sent)
        theirs.shutdown(socket.SHUT_WR)
        assert hear_out(ours, lambda octets: b"\n" in octets, 8) == heard
        assert ours.gettimeout() == module.DEADLINE


def test_a_fault_of_ours_is_logged_and_the_next_client_answered(bench: Bench) -> None:
    faults = [ZeroDivisionError("a bug")]

    def answer(client: socket.socket) -> None:
        if faults:
            raise faults.pop()
        client.sendall(b"fine")

    bench.open(answer)
    assert bench.ask(b"") == b""
    assert bench.ask(b"") == b"fine"
    end = time.monotonic() + 20
    while not bench.lines.lines and time.monotonic() < end:
        time.sleep(0.01)  # the client may hear the end of its connection before the log does
    assert "ZeroDivisionError: a bug" in bench.lines.lines[0]


def test_running_out_of_threads_is_told_once_and_survived(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, left = threading.Thread.start, [True] * 3

    def refuse(thread: threading.Thread) -> None:
        if left and thread.name.endswith("(_attend)"):
            left.pop()
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    bench.open(lambda client: client.sendall(b"fine"))
    answers = [bench.ask(b"") for _ in range(4)]
    assert answers == [b"", b"", b"", b"fine"]
    assert len(bench.lines.lines) == 1


def test_a_desk_that_closes_finishes_what_it_began(bench: Bench) -> None:
    asked, go = threading.Event(), threading.Event()

    def answer(client: socket.socket) -> None:
        asked.set()
        go.wait(10)
        client.sendall(b"late")

    desk = bench.open(answer)
    with bench.connect() as client:
        assert asked.wait(10)
        closing = threading.Thread(target=desk.close, args=(10.0,))
        closing.start()
        go.set()
        assert client.recv(10) == b"late"
        closing.join()
    with bench.connect() as client:  # the next monitor's, who has the same socket
        client.settimeout(0.5)
        with pytest.raises(TimeoutError):
            client.recv(1)
        bench.open(lambda client: client.sendall(b"next"))
        client.settimeout(10)
        assert client.recv(10) == b"next"


# --- HTTP ------------------------------------------------------------------


@pytest.fixture
def site(bench: Bench) -> Bench:
    known = pages(lambda accept: (accept.encode(), "text/x"), lambda: "", lambda: "the moon is away")
    bench.open(lambda client: answer(client, known))
    return bench


@pytest.mark.parametrize(
    ("request_line", "status", "body"),
    [
        (b"GET /metrics HTTP/1.1\r\nAccept: abc\r\n\r\n", b"200 OK", b"abc"),
        (b"GET /metrics?x=1 HTTP/1.0\r\n\r\n", b"200 OK", b""),
        (b"GET /healthz HTTP/1.1\r\n\r\n", b"200 OK", b"ok\n"),
        (b"GET /readyz HTTP/1.1\r\n\r\n", b"503 Service Unavailable", b"the moon is away\n"),
    ],
)
def test_pages(site: Bench, request_line: bytes, status: bytes, body: bytes) -> None:
    head, _, found = site.ask(request_line).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 " + status)
    assert found == body
    assert b"Server: pypop3d" in head
    assert b"Python" not in head


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"404"),
        (b"GET /metrics/../healthz HTTP/1.1\r\n\r\n", b"404"),
        (b"GET /<script> HTTP/1.1\r\n\r\n", b"404"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"501"),
        (b"GET /metrics HTTP/9.9\r\n\r\n", b"505"),
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"400"),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", b"414"),
    ],
)
def test_what_is_refused(site: Bench, request_line: bytes, status: bytes) -> None:
    answered = site.ask(request_line)
    assert status in answered[:400]
    assert b"<script>" not in answered
    assert site.lines.lines == []


# --- the control socket ----------------------------------------------------


class Stage:
    """A monitor with two workers, one of which has a session."""

    def __init__(self, bench: Bench, slots: Slots, permitted: set[int]) -> None:
        self.session = connection(7, "luser", logged_in=True)
        self.workers = [Worker(slots.take(), self.session), Worker(slots.take())]
        tally = Tally(Layout(), 8)
        for worker, generation in zip(self.workers, (1, 2), strict=True):
            tally.settle(worker.slot.number, 100 + worker.slot.number, Part.WORKER, generation)
        census = Census(tally, 2, {}, slots.living(), lambda: "")
        plan = MonitorPlan(
            None, None, census, lambda _: (b"", ""), lambda: {"session_count": 1}, permitted, bench.log
        )
        bench.open(Controller(plan).answer)


@pytest.fixture
def slots() -> Iterator[Slots]:
    made = Slots()
    yield made
    for slot in made.living():
        made.release(slot)


def lines_of(octets: bytes) -> list[Any]:
    return [json.loads(line) for line in octets.splitlines()]


def me() -> set[int]:
    return {os.geteuid()}


def test_sessions_of_all_workers(bench: Bench, slots: Slots) -> None:
    stage = Stage(bench, slots, me())
    with serving(*stage.workers):
        *parts, end = lines_of(bench.ask(b'{"ask": "status"}\n'))
    rows = [row for part in parts for row in part["rows"]]
    assert [(row["state"], row["slot"], row["draining"]) for row in rows] == [("TRANSACTION", 0, True)]
    assert end == {
        "last": True,
        "silent": [],
        "processes": [
            {"role": "worker", "draining": False, "count": 1},
            {"role": "worker", "draining": True, "count": 1},
        ],
        "session_count": 1,
    }


def test_the_silent_one_is_named(bench: Bench, slots: Slots, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tpop3d_py.server.status.PATIENCE", 0.1)
    stage = Stage(bench, slots, me())
    with serving(stage.workers[0]):
        *_, end = lines_of(bench.ask(b'{"ask": "status"}\n'))
    assert end["silent"] == [{"pid": 101, "slot": 1}]


def test_a_session_is_ended_and_who_did_it_is_logged(bench: Bench, slots: Slots) -> None:
    stage = Stage(bench, slots, me())
    name = identify(stage.session, os.getpid())
    with serving(*stage.workers):
        (end,) = lines_of(bench.ask(json.dumps({"ask": "kick", "id": name}).encode() + b"\n"))
    assert end == {"last": True, "count": 1, "silent": 0}
    assert stage.session.ending == "kicked"
    assert bench.lines.lines == [f"5 control: kick {name}: 1 done"]


def test_only_those_who_may_are_answered(bench: Bench, slots: Slots) -> None:
    Stage(bench, slots, {uid + 1 for uid in me()})
    (end,) = lines_of(bench.ask(b'{"ask": "kick", "user": "luser"}\n'))
    assert "only root" in end["error"]


@pytest.mark.parametrize(
    "octets",
    [
        b"\n",
        b"{}\n",
        b"[]\n",
        b"nonsense\n",
        b'{"ask": "stop"}\n',
        b"\xff\n",
        b"{" * 4000 + b"\n",
        b"[" * 4000 + b"\n",
    ],
)
def test_what_makes_no_sense_is_told_so(bench: Bench, slots: Slots, octets: bytes) -> None:
    Stage(bench, slots, me())
    assert lines_of(bench.ask(octets)) == [{"last": True, "error": "not understood"}]
    assert bench.lines.lines == []


def test_questions_wait_for_each_other(bench: Bench, slots: Slots) -> None:
    stage = Stage(bench, slots, me())
    answers: list[list[Any]] = []

    def ask() -> None:
        answers.append(lines_of(bench.ask(b'{"ask": "status"}\n')))

    with serving(*stage.workers):
        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert all(answer[-1]["silent"] == [] for answer in answers)
    assert len(answers) == 6
