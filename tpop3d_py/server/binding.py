"""Binding listening addresses.

A name that stands for several addresses is bound on all of them that are this machine's: names that
several servers share are usual.  IPv6 sockets take IPv6 only, so that ``[::]`` and ``0.0.0.0`` can stand side
by side.

When things fail: `ListenError`, which names the address as it was written.
"""

from __future__ import annotations

import errno
import socket

from tpop3d_py.server.listeners import Listener, ListenError

_BACKLOG = 4096
#: Octets that wait in the kernel without being under way, for each client (TCP_NOTSENT_LOWAT in tcp(7)).
_UNSENT = 131_072
#: Octets that wait in the kernel to be read by us, for each client; Linux doubles it for its own bookkeeping.
_UNREAD = 32_768
#: What an address of another machine, or of a protocol that this one has not, fails with.
ELSEWHERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def addresses_of(listener: Listener) -> list[tuple[int, tuple[str | int, ...]]]:
    """Resolve a listener into address families and socket addresses.

    Raises:
        ListenError: the name does not resolve.
    """
    try:
        found = socket.getaddrinfo(
            listener.host, listener.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise ListenError(f"cannot listen on {listener}: {error.strerror or error}") from None
    addresses = [(int(family), (str(address[0]), *address[1:])) for family, _, _, _, address in found]
    return list(dict.fromkeys(addresses))  # /etc/hosts may name one twice


def bind(listener: Listener, send_buffer: int = 0) -> socket.socket:
    """Open a listening, non-blocking socket on the first address of a listener; see `bind_address`."""
    family, address = addresses_of(listener)[0]
    return bind_address(listener, family, address, send_buffer)


def bind_address(
    listener: Listener, family: int, address: tuple[str | int, ...], send_buffer: int = 0
) -> socket.socket:
    """Open a listening, non-blocking socket.

    Args:
        listener: for messages.
        family: of the address.
        address: where to listen.
        send_buffer: octets that the kernel keeps for a client to read; 0: as many as it likes.

    Raises:
        ListenError: the address cannot be bound; its `errno` says why.
    """
    sock = None
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        set_up(sock, send_buffer)
        sock.bind(address)
        sock.listen(_BACKLOG)
    except OSError as error:
        if sock is not None:
            sock.close()
        where = "" if str(address[0]) == listener.host else f" ({address[0]})"
        text = f"cannot listen on {listener}{where}: {error.strerror}"
        raise ListenError(text, error.errno or 0) from None
    return sock


def set_up(sock: socket.socket, send_buffer: int) -> None:
    """Set what accepted sockets inherit, on a new listening socket and on one that is taken over."""
    sock.setblocking(False)
    # Linux hands this to accepted sockets: the short last segment of a message must not wait for an ACK.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # Commands are short.  Left to itself the kernel takes megabytes from whoever sends without end.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _UNREAD)
    # What is not under way yet stays with us, or the kernel takes megabytes of every message for clients that
    # have stopped reading.  What is under way has no bound here, so nobody gets slower.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT)
    if send_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
