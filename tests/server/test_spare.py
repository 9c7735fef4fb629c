from __future__ import annotations

import contextlib
import os
import resource
import socket
from collections.abc import Iterator

import pytest

from tpop3d_py.server.spare import NO_ROOM, Spare


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    sock = socket.create_server(("127.0.0.1", 0))
    sock.setblocking(False)
    yield sock
    sock.close()


@contextlib.contextmanager
def no_descriptors() -> Iterator[None]:
    """Let this process open nothing more."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    probe = os.open(os.devnull, os.O_RDONLY)
    os.close(probe)
    resource.setrlimit(resource.RLIMIT_NOFILE, (probe, before[1]))
    held: list[int] = []
    with contextlib.suppress(OSError):
        while True:
            held.append(os.open(os.devnull, os.O_RDONLY))  # fills what is free below the limit
    try:
        yield
    finally:
        for fd in held:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_without_descriptors_clients_are_told_one_after_the_other(listener: socket.socket) -> None:
    spare = Spare()
    clients = [socket.create_connection(listener.getsockname(), 10) for _ in range(3)]
    with no_descriptors():
        with pytest.raises(OSError, match="Too many open files"):
            listener.accept()
        assert all(spare.turn_away(listener) for _ in clients)
        assert spare.turn_away(listener), "nobody is there any more, which is well"
        with pytest.raises(OSError, match="Too many open files"):
            os.open(os.devnull, os.O_RDONLY)
    for client in clients:
        assert client.recv(200) == NO_ROOM
        assert client.recv(200) == b""
        client.close()


def test_who_expects_a_handshake_is_told_nothing(listener: socket.socket) -> None:
    client = socket.create_connection(listener.getsockname(), 10)
    assert Spare().turn_away(listener, silently=True)
    assert client.recv(200) == b""
    client.close()


def test_a_machine_without_descriptors_is_noticed(listener: socket.socket) -> None:
    spare = Spare()
    client = socket.create_connection(listener.getsockname(), 10)
    with no_descriptors():
        taken = spare._fd
        os.close(taken)
        spare._fd = -1
        other = os.open(os.devnull, os.O_RDONLY)  # somebody else was faster
        assert not spare.turn_away(listener)
        assert spare._fd < 0
        os.close(other)
        assert spare.turn_away(listener), "and tried again"
        assert spare._fd >= 0
    assert client.recv(200) == NO_ROOM
    client.close()
