"""Listening sockets that outlive the settings that asked for them.

The master keeps every listening socket under a key.  A new reading of the settings claims what it needs:
a socket that is there already is taken over, with the clients that wait in it, another is opened.  Only when
the new settings are in force are those closed that nobody claimed; if they are not, the new ones are.

Sockets that systemd opened for us (socket activation, sd_listen_fds(3)) are there from the beginning.

When things fail: whatever opening raises goes up, and nothing has changed.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Hashable, Iterator

#: First descriptor that socket activation hands over.
_FIRST_HANDED = 3


class Sockets:
    """All listening sockets of the master."""

    def __init__(self, handed: Iterator[socket.socket] | None = None) -> None:
        self._held: dict[Hashable, socket.socket] = {}
        for sock in handed or ():
            self._held[key_of(sock.family, sock.getsockname())] = sock

    @contextlib.contextmanager
    def claiming(self) -> Iterator[Claims]:
        """Give out claims; they hold if `keep` was called when the block ends, else nothing has changed."""
        claims = Claims(self._held)
        try:
            yield claims
        finally:
            claims.settle(self._held)

    def close_all(self) -> None:
        """In a new process that accepts no clients: hold no address open."""
        for sock in self._held.values():
            sock.close()


class Claims:
    """What one reading of the settings needs."""

    def __init__(self, held: dict[Hashable, socket.socket]) -> None:
        self._held = held
        self._claimed: dict[Hashable, socket.socket] = {}
        self._kept = False

    def claim(self, key: Hashable, opened: Callable[[], socket.socket]) -> socket.socket:
        """Take over the socket of a key, or open it; the same for everyone who asks for this key.

        Args:
            key: what tells the socket from others, such as `key_of` an address.
            opened: opens it, bound and listening; what it raises goes up.
        """
        if key not in self._claimed:
            held = self._held.get(key)
            self._claimed[key] = held if held is not None else opened()
        return self._claimed[key]

    def keep(self) -> None:
        """Put the claims in force when the block ends."""
        self._kept = True

    def settle(self, held: dict[Hashable, socket.socket]) -> None:
        """Close what is not needed: the unclaimed ones, or, without `keep`, the new ones."""
        needed, others = (self._claimed, held) if self._kept else (held, self._claimed)
        for key, sock in others.items():
            if needed.get(key) is not sock:
                sock.close()
        if self._kept:
            held.clear()
            held.update(self._claimed)


def key_of(family: int, address: tuple[str | int, ...] | str) -> Hashable:
    """Return the key of a socket address."""
    return family, address if isinstance(address, str) else address[:2]


def handed_over() -> Iterator[socket.socket]:
    """Yield what systemd opened for this process (sd_listen_fds(3)); the environment forgets about it.

    They are made non-blocking and close-on-exec.
    """
    pid, count = os.environ.pop("LISTEN_PID", ""), os.environ.pop("LISTEN_FDS", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdigit():
        return
    for fd in range(_FIRST_HANDED, _FIRST_HANDED + int(count)):
        os.set_inheritable(fd, False)
        sock = socket.socket(fileno=fd)
        sock.setblocking(False)
        yield sock
