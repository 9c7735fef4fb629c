"""Stands between a client and a TCP server, and does to the connection what networks and dying servers do.

One thread; every fault works on connections that are open already as well as on new ones.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable

#: What can be wrong.
FAULTS = (
    "refused",  # nobody listens; open connections are closed
    "dropped",  # no answer to a SYN: the queue of the listening socket is full
    "silent",  # connections are accepted, and nothing is ever said
    "hung",  # all is well until the client asks something: then there is no answer
    "slow",  # every answer takes longer than anybody waits
    "dripping",  # answers come octet by octet: something always moves
    "reset",  # connections are reset as soon as they are made
    "garbage",  # somebody else's protocol, at once
    "halfway",  # the connection is reset in the middle of an answer
)
_RST = struct.pack("ii", 1, 0)
_QUEUE = 64
_SLOW = 3.0
_DRIP = 0.4
#: A client that is past the handshake sends this as the fifth octet: COM_QUERY.
_QUERY = 3


class Saboteur:
    """A proxy on a port of 127.0.0.1.

    Attributes:
        port: where it listens.
    """

    def __init__(self, target: int) -> None:
        """Begin to pass everything on to a port of 127.0.0.1."""
        self._target = target
        self._fault = ""
        self._selector = selectors.DefaultSelector()
        self._partner: dict[socket.socket, socket.socket] = {}
        self._clients: set[socket.socket] = set()
        self._later: list[tuple[float, Callable[[], None]]] = []
        self._todo: list[Callable[[], None]] = []
        self._fillers: list[socket.socket] = []
        self._ending = False
        self._listener = _listen(0, _QUEUE)
        self.port: int = self._listener.getsockname()[1]
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def commit(self, fault: str) -> None:
        """Begin with one of `FAULTS`; returns when it has begun."""
        if fault not in FAULTS:
            raise ValueError(fault)
        self._do(lambda: self._begin(fault))

    def heal(self) -> None:
        """End it: from now on the server can be reached again; connections of before are gone."""
        self._do(self._recover)

    def stop(self) -> None:
        """Close everything."""
        self._ending = True
        self._thread.join()
        for sock in (*self._partner, *self._fillers, self._listener):
            sock.close()
        self._selector.close()

    def _do(self, step: Callable[[], None]) -> None:
        done = threading.Event()

        def both() -> None:
            try:
                step()
            finally:
                done.set()

        self._todo.append(both)
        if not done.wait(10):
            raise TimeoutError("the saboteur does not answer")

    # --- its thread --------------------------------------------------------

    def _run(self) -> None:
        while not self._ending:
            for key, _ in self._selector.select(0.02):
                if key.fileobj is self._listener:
                    self._accept()
                else:
                    self._pass_on(key.fileobj)  # type: ignore[arg-type]
            while self._todo:
                self._todo.pop(0)()
            now = time.monotonic()
            due = [step for at, step in self._later if at <= now]
            self._later = [(at, step) for at, step in self._later if at > now]
            for step in due:
                step()

    def _begin(self, fault: str) -> None:
        self._fault = fault
        if fault in ("refused", "reset", "garbage", "dropped", "silent", "dripping"):
            self._drop_all()  # what was open goes with the server that died
        if fault in ("refused", "dropped"):
            self._close_listener()
        if fault == "dropped":
            self._listener = _listen(self.port, 0)
            self._fill()

    def _recover(self) -> None:
        closed = self._fault in ("refused", "dropped")
        self._fault = ""
        self._later = []
        self._drop_all()
        if closed:
            self._close_listener()
            self._listener = _listen(self.port, _QUEUE)
            self._selector.register(self._listener, selectors.EVENT_READ)

    def _close_listener(self) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(self._listener)
        self._listener.close()
        for sock in self._fillers:
            sock.close()
        self._fillers = []

    def _fill(self) -> None:
        """Fill the queue of the listening socket: the kernel drops what comes after."""
        for _ in range(4):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", self.port))
            self._fillers.append(sock)

    def _drop_all(self) -> None:
        for sock in list(self._partner):
            self._drop(sock)

    def _drop(self, sock: socket.socket) -> None:
        if (partner := self._partner.pop(sock, None)) is None:
            return
        self._partner.pop(partner, None)
        for end in (sock, partner):
            self._clients.discard(end)
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(end)
            end.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            client, _ = self._listener.accept()
            if self._fault == "reset":
                _reset(client)
                return
            if self._fault == "garbage":
                client.sendall(b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n" * 40)
                client.close()
                return
            server = socket.create_connection(("127.0.0.1", self._target), 5)
            self._partner[client], self._partner[server] = server, client
            self._clients.add(client)
            for sock in (client, server):
                self._selector.register(sock, selectors.EVENT_READ)

    def _pass_on(self, sock: socket.socket) -> None:
        if sock not in self._partner:
            return
        try:
            data = sock.recv(65536)
        except OSError:
            data = b""
        if not data:
            self._drop(sock)
        elif sock in self._clients:
            if self._fault == "hung" and len(data) > 4 and data[4] == _QUERY:
                return
            self._send(self._partner[sock], data)
        else:
            self._answer(self._partner[sock], data)

    def _answer(self, client: socket.socket, data: bytes) -> None:
        if self._fault == "silent":
            return
        if self._fault == "slow":
            self._later.append((time.monotonic() + _SLOW, lambda: self._send(client, data)))
        elif self._fault == "dripping":
            for count in range(len(data)):
                at = time.monotonic() + _DRIP * count
                self._later.append((at, lambda count=count: self._send(client, data[count : count + 1])))  # type: ignore[misc]
        elif self._fault == "halfway":
            self._send(client, data[: len(data) // 2])
            self._later.append((time.monotonic() + 0.05, lambda: self._reset_later(client)))
        else:
            self._send(client, data)

    def _reset_later(self, client: socket.socket) -> None:
        if client in self._partner:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
            self._drop(client)

    def _send(self, sock: socket.socket, data: bytes) -> None:
        if sock in self._partner:
            try:
                sock.sendall(data)
            except OSError:
                self._drop(sock)


def _listen(port: int, queue: int) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    sock.listen(queue)
    return sock


def _reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
    sock.close()
