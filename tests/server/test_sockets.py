"""Listening sockets over several readings of the settings."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from tpop3d_py.server import sockets
from tpop3d_py.server.sockets import Sockets, handed_over, key_of


def listening() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


@pytest.fixture
def kept() -> Iterator[Sockets]:
    held = Sockets()
    yield held
    held.close_all()


def test_a_socket_is_taken_over_with_those_who_wait_in_it(kept: Sockets) -> None:
    with kept.claiming() as claims:
        first = claims.claim("a", listening)
        claims.keep()
    with socket.create_connection(first.getsockname()) as client:
        with kept.claiming() as claims:
            second = claims.claim("a", listening)
            assert claims.claim("a", listening) is second
            claims.keep()
        assert second is first
        came, address = second.accept()
        came.close()
        assert address == client.getsockname()


def test_what_nobody_claims_is_closed_when_the_claims_are_kept(kept: Sockets) -> None:
    with kept.claiming() as claims:
        gone, stays = claims.claim("a", listening), claims.claim("b", listening)
        claims.keep()
    with kept.claiming() as claims:
        claims.claim("b", listening)
        claims.keep()
    assert (gone.fileno(), stays.fileno() >= 0) == (-1, True)


def test_a_failure_leaves_what_there_was(kept: Sockets) -> None:
    with kept.claiming() as claims:
        old = claims.claim("a", listening)
        claims.keep()
    with pytest.raises(ZeroDivisionError), kept.claiming() as claims:  # noqa: PT012
        assert claims.claim("a", listening) is old
        new = claims.claim("b", listening)
        raise ZeroDivisionError
    assert new.fileno() == -1
    with kept.claiming() as claims:
        assert claims.claim("a", listening) is old
        claims.keep()


def test_sockets_of_the_service_manager(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = listening()
    address = theirs.getsockname()
    fd = os.dup(theirs.fileno())
    theirs.close()
    monkeypatch.setattr(sockets, "_FIRST_HANDED", fd)
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", "1")
    held = Sockets(handed_over())
    assert "LISTEN_FDS" not in os.environ
    with held.claiming() as claims:
        sock = claims.claim(key_of(socket.AF_INET, address), listening)
        claims.keep()
    assert (sock.fileno(), sock.getblocking(), os.get_inheritable(fd)) == (fd, False, False)
    held.close_all()


@pytest.mark.parametrize(("pid", "count"), [("1", "1"), ("", "1"), (str(os.getpid()), "")])
def test_sockets_meant_for_somebody_else(monkeypatch: pytest.MonkeyPatch, pid: str, count: str) -> None:
    monkeypatch.setenv("LISTEN_PID", pid)
    monkeypatch.setenv("LISTEN_FDS", count)
    assert list(handed_over()) == []
