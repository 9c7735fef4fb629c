"""Non-blocking octets to and from a client, plain or inside TLS, with one face.

When things fail: nothing is raised.  A connection that broke, in whatever way,
reads as closed.
"""

from __future__ import annotations

import contextlib
import fcntl
import select
import socket
import ssl
import struct
import termios
from typing import Protocol

#: Octets taken from a socket at a time: what a client may send ahead before flow control holds it.
_READ_AT_ONCE = 4096
#: Octets thrown away at the end: what a client sent behind QUIT.
_DRAINED = 1 << 18
#: Reads made to find out whether a client has hung up.
_LAST_READS = 16


class Transport(Protocol):
    """What a connection speaks through."""

    #: Epoll events to wait for after `receive` returned None or `send` returned 0.
    blocked_on: int
    #: Whether octets travel inside TLS.
    secure: bool
    #: Whether another process may go on with the descriptor, since there is nothing else to it.
    passes: bool

    def receive(self) -> bytes | None:
        """Return some octets, b"" when the client is gone, None when there is nothing yet."""

    def send(self, data: bytes | memoryview) -> int:
        """Return how many octets were taken; 0 when none can be taken now, -1 when the client is gone."""

    def has_more(self) -> bool:
        """Tell whether octets are waiting where epoll cannot see them."""

    def unread(self) -> int:
        """Return how many octets were sent and not yet taken by the client's machine."""

    def with_tls(self) -> Transport:
        """Go on inside TLS, on the same descriptor; this transport is done for.

        Raises:
            OSError: the client is gone.
        """

    def cut(self) -> None:
        """End the connection while another thread may be using it: to that one the client is gone."""

    def leave(self) -> None:
        """Close the descriptor and leave the connection as it is, to another process."""

    def close(self) -> None:
        """Close without waiting."""


class PlainTransport:
    """TCP as it is.

    Args:
        sock: connected and non-blocking.
        context: for `with_tls`; None on a listener without STLS.
    """

    __slots__ = ("_context", "_sock", "blocked_on")
    secure = False
    passes = True

    def __init__(self, sock: socket.socket, context: ssl.SSLContext | None = None) -> None:
        self._sock = sock
        self._context = context
        self.blocked_on = select.EPOLLIN

    def receive(self) -> bytes | None:
        """Return some octets, b"" when the client is gone, None when there is nothing yet."""
        self.blocked_on = select.EPOLLIN
        try:
            return self._sock.recv(_READ_AT_ONCE)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def send(self, data: bytes | memoryview) -> int:
        """Return how many octets were taken; 0 when none can be taken now, -1 when the client is gone."""
        try:
            return self._sock.send(data)
        except BlockingIOError:
            self.blocked_on = select.EPOLLOUT
            return 0
        except OSError:
            return -1

    def has_more(self) -> bool:
        """Tell whether octets are waiting where epoll cannot see them: never."""
        return False

    def unread(self) -> int:
        """Return how many octets were sent and not yet taken by the client's machine."""
        return _unread(self._sock)

    def with_tls(self) -> Transport:
        """Go on inside TLS, on the same descriptor; this transport is done for.

        Raises:
            OSError: the client is gone.
        """
        if self._context is None:
            raise OSError("there is no certificate")
        return TlsTransport(self._sock, self._context)

    def cut(self) -> None:
        """End the connection while another thread may be using it: to that one the client is gone."""
        _cut(self._sock)

    def leave(self) -> None:
        """Close the descriptor and leave the connection as it is, to another process."""
        self._sock.close()

    def close(self) -> None:
        """Close without waiting; octets left unread would reset the connection and take our last reply."""
        with contextlib.suppress(OSError):
            self._sock.recv(_DRAINED)
        self._sock.close()


class TlsTransport:
    """TLS on a non-blocking socket.

    The handshake has no state of its own: reading or writing carries it on, and waits for whatever it needs.
    """

    __slots__ = ("_sock", "blocked_on")
    secure = True
    passes = False

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        self._sock = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        self.blocked_on = select.EPOLLIN

    def receive(self) -> bytes | None:
        """Return some octets, b"" when the client is gone, None when there is nothing yet."""
        try:
            return self._sock.recv(_READ_AT_ONCE)
        except ssl.SSLWantReadError:
            self.blocked_on = select.EPOLLIN
        except ssl.SSLWantWriteError:
            self.blocked_on = select.EPOLLOUT
        except (OSError, ValueError):  # SSLError is an OSError
            return b""
        return None

    def send(self, data: bytes | memoryview) -> int:
        """Return how many octets were taken; 0 when none can be taken now, -1 when the client is gone."""
        try:
            return self._sock.send(data)
        except ssl.SSLWantReadError:
            self.blocked_on = select.EPOLLIN
        except ssl.SSLWantWriteError:
            self.blocked_on = select.EPOLLOUT
        except (OSError, ValueError):
            return -1
        return 0

    def has_more(self) -> bool:
        """Tell whether decrypted octets are waiting inside the TLS layer."""
        return self._sock.pending() > 0

    def unread(self) -> int:
        """Return how many octets were sent and not yet taken by the client's machine."""
        return _unread(self._sock)

    def with_tls(self) -> Transport:
        """There is TLS already."""
        return self

    def cut(self) -> None:
        """End the connection while another thread may be using it: to that one the client is gone."""
        _cut(self._sock)

    def leave(self) -> None:
        """Close the descriptor and leave the connection as it is, to another process."""
        self._sock.close()

    def close(self) -> None:
        """Send close_notify (RFC 8446 section 6.1) and close, without waiting for the client's."""
        with contextlib.suppress(OSError, ValueError):
            self._sock.unwrap()
        self._sock.close()


def hung_up(transport: Transport) -> bool:
    """Tell whether the client has closed its side; what it sent before that is read and lost."""
    for _ in range(_LAST_READS):
        octets = transport.receive()
        if not octets:
            return octets is not None
    return False


def _cut(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        # Not SSLSocket's own shutdown, which would let the other thread read on without TLS.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


def _unread(sock: socket.socket) -> int:
    """Ask Linux for the size of the send queue (SIOCOUTQ in tcp(7), which TIOCOUTQ is another name of)."""
    try:
        (count,) = struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0" * 4))
    except OSError:
        return 0
    return int(count)
