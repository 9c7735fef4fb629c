"""A relay between a client and a mail process, the client's TLS left out."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator

import pytest

from tpop3d_py.server import relay
from tpop3d_py.server.handover import PassedTransport
from tpop3d_py.server.relay import ROOM, Relay


class Scene:
    """A relay with both ends in the test's hand."""

    def __init__(self) -> None:
        self.client, near = socket.socketpair()
        self.mail, far = socket.socketpair()
        far.setblocking(False)
        self.transport = PassedTransport(near, relayed=True)
        self.relay = Relay(near.fileno(), self.transport, far)
        for end in (self.client, self.mail):
            end.setblocking(False)

    def read(self, sock: socket.socket) -> bytes | None:
        try:
            return sock.recv(1 << 20)
        except BlockingIOError:
            return None
        except ConnectionResetError:
            return b""

    def close(self) -> None:
        self.relay.close()
        self.client.close()
        self.mail.close()


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    made.close()


IDLE = (select.EPOLLIN, select.EPOLLIN)


def test_octets_both_ways(scene: Scene) -> None:
    assert scene.relay.step() == IDLE
    scene.client.send(b"STAT\r\n")
    scene.mail.send(b"+OK\r\n")
    assert scene.relay.step() == IDLE
    assert scene.read(scene.mail) == b"STAT\r\n"
    assert scene.read(scene.client) == b"+OK\r\n"


def test_the_end_of_the_client_comes_behind_its_octets(scene: Scene) -> None:
    scene.client.send(b"QUIT\r\n")
    scene.client.shutdown(socket.SHUT_WR)
    client, _ = scene.relay.step()
    assert (scene.read(scene.mail), scene.read(scene.mail)) == (b"QUIT\r\n", b"")
    assert client == 0  # its end would be announced again and again
    scene.mail.send(b"+OK Done\r\n")  # it still listens
    scene.relay.step()
    assert scene.read(scene.client) == b"+OK Done\r\n"


def test_the_last_words_of_a_session_go_out_behind_its_end(scene: Scene) -> None:
    sent = 0
    while True:
        try:
            sent += scene.mail.send(b"x" * 50_000)
            scene.relay.step()
        except BlockingIOError:
            break
    scene.mail.close()
    got = 0
    while (octets := scene.read(scene.client)) != b"":
        got += len(octets or b"")
        if not scene.relay.over:
            scene.relay.step()
        if scene.relay.over:
            scene.relay.close()
    assert got == sent


def test_a_client_that_does_not_read_is_not_read_for(scene: Scene) -> None:
    for _ in range(200):
        scene.relay.step()
        try:
            scene.mail.send(b"x" * 50_000)
        except BlockingIOError:
            break
    client, mail = scene.relay.step()
    assert client & select.EPOLLOUT
    assert not mail & select.EPOLLIN  # the mail process has to wait
    assert len(scene.relay._to_client) <= ROOM


def test_a_session_that_does_not_read_stops_the_client(scene: Scene) -> None:
    for _ in range(2000):
        scene.relay.step()
        try:
            scene.client.send(b"x" * 4096)
        except BlockingIOError:
            break
    client, mail = scene.relay.step()
    assert not client & select.EPOLLIN
    assert mail & select.EPOLLOUT
    assert len(scene.relay._to_mail) <= ROOM + 4096


def test_a_client_that_is_gone_is_an_end_for_the_session(scene: Scene) -> None:
    scene.client.close()
    scene.relay.step()
    assert scene.read(scene.mail) == b""
    scene.mail.close()
    scene.relay.step()
    assert scene.relay.over


def test_a_session_that_ends_ends_the_client(scene: Scene) -> None:
    scene.mail.close()
    scene.relay.step()
    assert scene.relay.over
    scene.relay.close()
    assert scene.read(scene.client) == b""


def test_a_session_that_is_gone_while_the_client_sends(scene: Scene) -> None:
    scene.mail.close()
    scene.client.send(b"x" * 1000)
    while not scene.relay.over:
        scene.relay.step()


def test_what_nobody_takes_any_more(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    assert not scene.relay.is_stale(now + 1e6)  # a session may be as quiet as it likes
    for _ in range(200):
        scene.relay.step()
        try:
            scene.mail.send(b"x" * 50_000)
        except BlockingIOError:
            break
    scene.mail.close()
    while not scene.relay._mail_ended and scene.relay._to_client:
        if scene.read(scene.client) is None:
            break
        scene.relay.step()
    scene.relay._mail_ended = True
    assert not scene.relay.is_stale(now)
    assert scene.relay.is_stale(time.monotonic() + relay.LINGER + 1)
