"""The process that does what follows from logins: order, faults, the end, and what hangs."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from tpop3d_py.log import Log
from tpop3d_py.server import afterwards


class Process:
    """Such a process, which tells what it takes and what it logs."""

    def __init__(self, deadline: float = 5.0, lost: Callable[[], int] = lambda: 0) -> None:
        self.send, incoming = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.heard, out = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.heard.settimeout(20)
        self.pid = os.fork()
        if not self.pid:
            try:
                afterwards.serve(afterwards.Plan(incoming, _taking(out), _rest, lost, deadline, Told(out)))
            finally:
                os._exit(0)
        incoming.close()
        out.close()

    def next(self) -> bytes:
        return self.heard.recv(4096)

    def end(self) -> int:
        """Wait for its end; return the signal that it died of, 0 for none."""
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        return status & 0x7F

    def close(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            self.end()
        self.send.close()
        self.heard.close()


class Told(Log):
    """A log that goes to the test."""

    def __init__(self, out: socket.socket) -> None:
        super().__init__("test", to_stderr=False)
        self._out = out

    def write(self, level: int, text: str, *_: object) -> None:
        self._out.send(text.encode())


def _taking(out: socket.socket) -> Callable[[bytes], None]:
    def take(packet: bytes) -> None:
        if packet == b"damaged":
            raise ValueError("no login")
        if packet == b"hang":
            time.sleep(60)
        out.send(packet)

    return take


def _rest() -> float | None:
    return None


@pytest.fixture
def process() -> Iterator[Process]:
    made = Process(deadline=1.0)
    yield made
    made.close()


def test_packets_are_taken_in_order_and_damaged_ones_dropped(process: Process) -> None:
    for packet in (b"one", b"damaged", b"two"):
        process.send.send(packet)
    assert process.next() == b"one"
    assert process.next() == b"after logins: dropped a damaged packet: no login"
    assert process.next() == b"two"


def test_what_hangs_dies_at_the_deadline(process: Process) -> None:
    process.send.send(b"hang")
    assert process.end() == signal.SIGALRM


def test_told_to_end_it_does_first_what_has_come(process: Process) -> None:
    process.send.send(b"one")
    assert process.next() == b"one"
    os.kill(process.pid, signal.SIGSTOP)
    for n in range(20):
        process.send.send(b"%d" % n)
    os.kill(process.pid, signal.SIGTERM)
    os.kill(process.pid, signal.SIGCONT)
    assert [process.next() for _ in range(20)] == [b"%d" % n for n in range(20)]
    assert process.end() == 0


def test_idle_it_ends_at_once(process: Process) -> None:
    process.send.send(b"one")
    process.next()
    os.kill(process.pid, signal.SIGTERM)
    assert process.end() == 0


def test_losses_are_told_of_once_a_minute() -> None:
    count = iter([0])
    process = Process(lost=lambda: next(count, 7))
    try:
        process.send.send(b"one")
        told = {process.next(), process.next()}
        assert told == {b"one", b"after logins: 7 were not told of: too many at a time"}
        process.send.send(b"two")
        assert process.next() == b"two"
    finally:
        process.close()
