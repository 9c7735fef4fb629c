"""Passing a client's connection from the process that let it in to the one that reads its mail.

One packet, with the connection's descriptor in its ancillary data (SCM_RIGHTS in unix(7)): the ticket, what
the session takes along, octets that came behind the login, and octets that have not gone out yet.  A packet
with a ticket and nothing else gives it back.

The sender is not to be trusted: its ticket must be good, its numbers are checked, and what it passes is
used without ever waiting for it.

When things fail: a packet of another form is a `ValueError`, descriptors that came with it are closed.
"""

from __future__ import annotations

import array
import contextlib
import os
import select
import socket
import struct
from collections.abc import Callable
from typing import NamedTuple

from tpop3d_py.pop3 import handover
from tpop3d_py.pop3.handover import Carried
from tpop3d_py.server.tickets import TICKET
from tpop3d_py.server.transport import PlainTransport, Transport

#: Largest packet, in octets: one longest line and one piece of input, and what fits in a full outbox.
PACKET = 65_536
_HEAD = struct.Struct(f"!{TICKET}sH?QQqqI")  # the last one is the length of `unread`
_ONE = socket.CMSG_SPACE(array.array("i").itemsize)
#: Octets taken at a time, and thrown away at the end, as `PlainTransport` does.
_AT_ONCE, _DRAINED = 4096, 1 << 18


class Luggage(NamedTuple):
    """A connection without its descriptor.

    Args:
        ticket: number of the ticket.
        worker: slot of the process that it comes from.
        relayed: it is inside TLS, which the sender goes on with.
        received: octets that came from the client.
        sent: octets that went to it.
        started: CLOCK_MONOTONIC milliseconds at which the client came.
        asked: CLOCK_MONOTONIC milliseconds at which the login was asked for.
        carried: the session.
        unread: octets behind the login.
        unsent: octets that the client has not taken yet.
    """

    ticket: bytes
    worker: int
    relayed: bool
    received: int
    sent: int
    started: int
    asked: int
    carried: Carried
    unread: bytes
    unsent: bytes


def pack_luggage(luggage: Luggage) -> bytes:
    """Write it as one packet.

    Raises:
        ValueError: it is too large, which a client that takes its answers cannot bring about.
    """
    own = luggage
    head = _HEAD.pack(
        own.ticket, own.worker, own.relayed, own.received, own.sent, own.started, own.asked, len(own.unread)
    )
    packet = b"".join((head, own.carried.pack(), own.unread, own.unsent))
    if len(packet) > PACKET:
        raise ValueError("too much is unsent")
    return packet


def unpack_luggage(packet: bytes) -> Luggage:
    """Read it."""
    start = _HEAD.size + handover.SIZE
    try:
        ticket, worker, relayed, received, sent, started, asked, length = _HEAD.unpack(packet[: _HEAD.size])
    except struct.error as error:
        raise ValueError(str(error)) from None
    carried = Carried.unpack(packet[_HEAD.size : start])
    rest = packet[start:]
    if length > len(rest):
        raise ValueError("octets are missing")
    unread, unsent = rest[:length], rest[length:]
    return Luggage(ticket, worker, relayed, received, sent, started, asked, carried, unread, unsent)


def send(sock: socket.socket, packet: bytes, descriptor: int | None = None) -> None:
    """Send a packet without waiting, with a descriptor of which the sender keeps its own copy.

    Raises:
        OSError: the receiver is gone, or has too much to do.
    """
    rights = []
    if descriptor is not None:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
    sock.sendmsg([packet], rights, socket.MSG_DONTWAIT)


def receive(sock: socket.socket, size: int = PACKET) -> tuple[bytes, int | None]:
    """Receive a packet without waiting, and the descriptor that came along; it is the caller's to close.

    Raises:
        OSError: there is none (`BlockingIOError`), or the socket is of no use.
    """
    packet, ancillary, _, _ = sock.recvmsg(size, _ONE, socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC)
    found = array.array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            found.frombytes(data[: len(data) - len(data) % found.itemsize])
    for surplus in found[1:]:
        os.close(surplus)
    return packet, found[0] if found else None


class PassedTransport(PlainTransport):
    """A connection, or the end of a relay, that another process has passed on and may still share.

    Whether a descriptor waits is a property that both sides can change, so each call says for itself that it
    does not.

    Args:
        sock: the connection.
        relayed: the client is inside TLS with the other process.
    """

    __slots__ = ("fd", "secure")

    def __init__(self, sock: socket.socket, *, relayed: bool) -> None:
        super().__init__(sock)
        self.secure = relayed
        #: The descriptor.
        self.fd = sock.fileno()

    def receive(self) -> bytes | None:
        """Return some octets, b"" when the client is gone, None when there is nothing yet."""
        self.blocked_on = select.EPOLLIN
        try:
            return self._sock.recv(_AT_ONCE, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def send(self, data: bytes | memoryview) -> int:
        """Return how many octets were taken; 0 when none can be taken now, -1 when the client is gone."""
        try:
            return self._sock.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            self.blocked_on = select.EPOLLOUT
            return 0
        except OSError:
            return -1

    def with_tls(self) -> Transport:
        """There is TLS, or there will be none: the client is logged in."""
        return self

    def close(self) -> None:
        """Close without waiting."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)
            self._sock.recv(_DRAINED, socket.MSG_DONTWAIT)
        self._sock.close()


def connection_of(descriptor: int, *, relayed: bool) -> PassedTransport:
    """Make a transport of a descriptor that was passed on; it is closed if that cannot be.

    Raises:
        ValueError: it is no connection.
    """
    try:
        sock = socket.socket(fileno=descriptor)
    except OSError:
        os.close(descriptor)
        raise ValueError("a descriptor that is no socket") from None
    local = sock.family == socket.AF_UNIX
    if sock.type != socket.SOCK_STREAM or local is not relayed:
        sock.close()
        raise ValueError("a socket of another kind")
    return PassedTransport(sock, relayed=relayed)


class Berth:
    """An open maildrop in another process, as seen by who has the connection for it.

    Args:
        ticket: number of the ticket.
        challenge: SCRAM only: what the client has to see first.
        sock: where the connection goes; closed by `board` and `give_back`.
    """

    __slots__ = ("_sock", "_ticket", "challenge")

    def __init__(self, ticket: bytes, challenge: bytes, sock: socket.socket) -> None:
        self._ticket = ticket
        self.challenge = challenge
        self._sock = sock

    def board(self, make: Callable[[bytes], Luggage], descriptor: int) -> None:
        """Pass the connection on.

        Args:
            make: makes the luggage of the ticket's number.
            descriptor: of the connection; the receiver gets a copy.

        Raises:
            OSError: the process is gone, or has too much to do.
            ValueError: there is too much luggage.
        """
        with self._sock:
            send(self._sock, pack_luggage(make(self._ticket)), descriptor)

    def give_back(self) -> None:
        """Have the maildrop closed: the connection does not come."""
        with contextlib.suppress(OSError), self._sock:  # else it is closed when the ticket's life ends
            send(self._sock, self._ticket)
