"""Who leads, what happens when a step takes long, and that nothing is lost in a hand-over."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Iterator

import pytest

from tpop3d_py.log import Log
from tpop3d_py.server.reactor import Reactor

#: Seconds after which something that must happen is taken for lost.
FOR_EVER = 20.0


class Scene:
    """A reactor whose descriptors are pipes; some of them block whoever attends them."""

    def __init__(self, threads: int) -> None:
        self.lines: list[str] = []
        self.attended: list[int] = []
        self.finished = 0
        self.stuck: dict[int, threading.Event] = {}
        self.broken: set[int] = set()
        self.deadly: set[int] = set()
        self.arrived = threading.Condition()
        log = Log("test", to_stderr=False)
        log.error = lambda text, *_: self.lines.append(text)  # type: ignore[method-assign]
        self.reactor = Reactor(self.attend, threads, log)
        self.rings: dict[int, int] = {}
        self.watching, self.watches = True, 0.05
        self.watcher = threading.Thread(target=self.watch)

    def watch(self) -> None:
        while self.watching:
            self.reactor.watch(self.watches)
        self.reactor.stop(FOR_EVER)

    def add(self, *, stuck: bool = False, broken: bool = False) -> int:
        fd, ring = os.pipe()
        self.rings[fd] = ring
        if stuck:
            self.stuck[fd] = threading.Event()
        if broken:
            self.broken.add(fd)
        self.reactor.epoll.register(fd, select.EPOLLIN | select.EPOLLONESHOT)
        return fd

    def ring(self, *fds: int) -> None:
        for fd in fds:
            os.write(self.rings[fd], b"x")

    def attend(self, fd: int) -> None:
        os.read(fd, 1)
        with self.arrived:
            self.attended.append(fd)
            self.arrived.notify_all()
        if fd in self.stuck:
            self.stuck[fd].wait(FOR_EVER)
        with self.arrived:
            self.finished += 1
            self.arrived.notify_all()
        self.reactor.epoll.modify(fd, select.EPOLLIN | select.EPOLLONESHOT)
        if fd in self.broken:
            raise ZeroDivisionError("a fault of ours")
        if fd in self.deadly:
            raise SystemExit

    def until(self, true: Callable[[], bool]) -> bool:
        with self.arrived:
            return self.arrived.wait_for(true, FOR_EVER)

    def start(self) -> None:
        self.reactor.start()
        self.watcher.start()

    def end(self) -> None:
        for event in self.stuck.values():
            event.set()
        self.watching = False
        self.reactor._stopping = True  # as the main thread finds it when a signal came while it slept
        self.reactor._wake()
        self.watcher.join(FOR_EVER)
        for fd, ring in self.rings.items():
            os.close(fd)
            os.close(ring)


@pytest.fixture
def make() -> Iterator[Callable[[int], Scene]]:
    scenes: list[Scene] = []

    def build(threads: int) -> Scene:
        scenes.append(Scene(threads))
        return scenes[-1]

    yield build
    for scene in scenes:
        scene.end()
    assert not [thread for thread in threading.enumerate() if thread.name.endswith("(_serve)")]


def test_all_that_is_ready_is_attended_once(make: Callable[[int], Scene]) -> None:
    scene = make(3)
    fds = [scene.add() for _ in range(200)]
    scene.ring(*fds)
    scene.start()
    assert scene.until(lambda: len(scene.attended) >= 200)
    assert sorted(scene.attended) == sorted(fds)


def test_a_thread_that_is_stuck_stops_nobody_else(make: Callable[[int], Scene]) -> None:
    """Also not who was fetched from the epoll together with what it is stuck in."""
    scene = make(2)
    slow, fds = scene.add(stuck=True), [scene.add() for _ in range(10)]
    scene.ring(slow, *fds)
    scene.start()
    assert scene.until(lambda: set(fds) <= set(scene.attended))
    scene.ring(*fds)
    assert scene.until(lambda: len(scene.attended) == 21)
    assert not scene.stuck[slow].is_set()


def test_after_a_long_idle_time_a_stuck_thread_is_noticed_too(make: Callable[[int], Scene]) -> None:
    scene = make(2)
    slow, other = scene.add(stuck=True), scene.add()
    scene.watches = FOR_EVER + 10  # whoever sleeps as long does not look in time
    scene.start()
    threading.Event().wait(0.3)  # long enough to fall asleep; were it not, the test would only show less
    scene.ring(slow)
    assert scene.until(lambda: scene.attended == [slow])
    scene.ring(other)
    assert scene.until(lambda: scene.attended == [slow, other]), "nobody looked after the leader"


def test_when_all_threads_are_stuck_the_rest_waits_and_is_not_lost(make: Callable[[int], Scene]) -> None:
    scene = make(3)
    slow, fds = [scene.add(stuck=True) for _ in range(3)], [scene.add() for _ in range(5)]
    scene.start()
    for number, fd in enumerate(slow, 1):
        scene.ring(fd)
        assert scene.until(lambda number=number: len(scene.attended) == number)  # type: ignore[misc]
    scene.ring(*fds)
    scene.stuck[slow[1]].set()
    assert scene.until(lambda: set(fds) <= set(scene.attended))
    assert len(scene.attended) == 8


def test_one_thread_alone_comes_back_to_what_waited(make: Callable[[int], Scene]) -> None:
    scene = make(1)
    slow, other = scene.add(stuck=True), scene.add()
    scene.ring(slow)
    scene.start()
    assert scene.until(lambda: scene.attended == [slow])
    scene.ring(other)
    scene.stuck[slow].set()
    assert scene.until(lambda: scene.attended == [slow, other])


def test_a_fault_is_logged_and_costs_nobody_else(make: Callable[[int], Scene]) -> None:
    scene = make(2)
    bad, good = scene.add(broken=True), scene.add()
    scene.ring(bad)
    scene.start()
    assert scene.until(lambda: scene.attended == [bad])
    scene.ring(bad, good)
    assert scene.until(lambda: len(scene.attended) == 3)
    assert "a fault of ours" in scene.lines[0]


def test_many_hand_overs_lose_nothing(make: Callable[[int], Scene]) -> None:
    """Threads get stuck and free again in all orders; every ring is answered exactly once."""
    scene = make(4)
    fds = [scene.add(stuck=True) for _ in range(4)]
    quick = [scene.add() for _ in range(20)]
    scene.start()
    for turn in range(1, 16):
        for fd in fds:
            scene.stuck[fd].clear()
        scene.ring(*fds[: turn % 4], *quick)
        wanted = 20 * turn
        assert scene.until(lambda wanted=wanted: sum(fd in quick for fd in scene.attended) >= wanted)  # type: ignore[misc]
        for fd in fds[turn % 4 :] + fds[: turn % 4]:
            scene.stuck[fd].set()
        expected = sum(min(t % 4, 4) for t in range(1, turn + 1)) + wanted
        assert scene.until(lambda expected=expected: scene.finished >= expected)  # type: ignore[misc]
    assert len(scene.attended) == expected


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("threads", [1, 2])
def test_a_thread_that_dies_is_replaced(make: Callable[[int], Scene], threads: int) -> None:
    scene = make(threads)
    deadly, other = scene.add(), scene.add()
    scene.deadly.add(deadly)
    scene.start()
    for count in range(1, 5):
        scene.ring(deadly)
        assert scene.until(lambda count=count: scene.attended.count(deadly) == count)  # type: ignore[misc]
    scene.ring(other)
    assert scene.until(lambda: other in scene.attended)
    assert any("has died; starting another" in line for line in scene.lines)
