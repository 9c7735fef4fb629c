"""How sessions end: clients that hang up behind QUIT, and clients that are slow."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.server.conftest import Client, Harness

Start = Callable[..., Harness]


@contextlib.contextmanager
def stopped(server: Harness) -> Iterator[None]:
    """Stop the workers, so that all that a client does meanwhile is seen at once."""
    pids = server.workers()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    while not all(_is_stopped(pid) for pid in pids):  # every thread of them, and not only soon
        time.sleep(0.001)
    yield
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


def _is_stopped(pid: int) -> bool:
    states = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    return all(state.rpartition(") ")[2].startswith("T") for state in states)


def committed(server: Harness, client: Client) -> str:
    """Wait for the session's end, stop the server, return what it has removed."""
    end = time.monotonic() + 10
    while "disconnected" not in server.log() and time.monotonic() < end:
        time.sleep(0.02)
    server.stop()
    assert server.process.stdout is not None
    return server.process.stdout.read()


@pytest.mark.parametrize("inside_tls", [False, True])
@pytest.mark.parametrize(("strict", "removed"), [(False, "committed ok [0] []\n"), (True, "")])
def test_a_client_that_hangs_up_behind_quit(
    start: Start, certificate: Path, strict: bool, removed: str, inside_tls: bool
) -> None:
    server = start(certificate=str(certificate), strict=strict)
    client = server.connect_tls() if inside_tls else server.connect()
    client.log_in("ok")
    client.ask(b"DELE 1")
    with stopped(server):
        client.send(b"QUIT")
        client.sock.shutdown(socket.SHUT_WR)
    assert committed(server, client) == removed


@pytest.mark.parametrize("inside_tls", [False, True])
def test_a_client_that_waits_is_obeyed_in_any_case(start: Start, certificate: Path, inside_tls: bool) -> None:
    server = start(certificate=str(certificate), strict=True)
    client = server.connect_tls() if inside_tls else server.connect()
    client.log_in("ok")
    client.ask(b"DELE 1")
    assert client.ask(b"QUIT") == b"+OK Done\r\n"
    assert committed(server, client) == "committed ok [0] []\n"


def test_a_slow_reader_is_not_idle_even_when_the_kernel_has_it_all(start: Start) -> None:
    server = start(idle=0.5)
    client = server.connect()
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    client.log_in("big")
    client.send(b"RETR 1")
    end = time.monotonic() + 2
    while time.monotonic() < end:
        assert client.sock.recv(16384)
        time.sleep(0.02)
    assert "timed out" not in server.log()
    assert "disconnected" not in server.log()


def test_a_reader_that_stops_is_idle(start: Start) -> None:
    server = start(idle=0.5)
    client = server.connect()
    client.log_in("big")
    client.send(b"RETR 1")
    end = time.monotonic() + 10
    while "timed out" not in server.log() and time.monotonic() < end:
        time.sleep(0.05)
    assert "big(127.0.0.1): disconnected" in server.log()


def test_noop_counts(start: Start) -> None:
    server = start(idle=0.6)
    client = server.connect()
    client.log_in("ok")
    for _ in range(5):
        time.sleep(0.2)
        assert client.ask(b"NOOP").startswith(b"+OK")
