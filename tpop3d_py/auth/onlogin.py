"""Telling drivers of logins: in a process of its own, behind a queue that nobody waits at.

Whoever has let a client in puts a `LoggedIn` into the queue and goes on.  The queue is a socket whose ends
the master makes before it forks, so that it outlives the process at its end; how much it holds is the
kernel's business, some hundreds as a rule.  When it is full a login is not told of, which is counted.

When things fail: nothing is raised to whoever tells; a damaged packet is a `ValueError` for whoever reads.
"""

from __future__ import annotations

import dataclasses
import mmap
import socket
from collections.abc import Callable

from tpop3d_py.auth.plugin import LoggedIn
from tpop3d_py.contracts import Credentials, Decision, Identity, Peer

#: Octets that the kernel is asked to keep, of which it counts several hundred for each login.
_ROOM = 1 << 20
_ESCAPE = "surrogateescape"


class Herald:
    """The queue; made by the master for one reading of the settings."""

    def __init__(self) -> None:
        self.incoming, self._out = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._out.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _ROOM)
        self._out.setblocking(False)
        self._lost = memoryview(mmap.mmap(-1, 8)).cast("q")

    @property
    def lost(self) -> int:
        """How many logins nobody was told of, in all processes; two at once may count as one."""
        return self._lost[0]

    @property
    def outgoing(self) -> socket.socket:
        """Where logins are told, for processes that close what is not their own."""
        return self._out

    def everything(self) -> tuple[socket.socket, ...]:
        """Return both ends."""
        return self.incoming, self._out

    def tell(self, user: str, peer: Peer, identity: Identity) -> None:
        """Tell of a login, if there is room; never waits.

        Args:
            user: the name as sent.
            peer: the connection.
            identity: who it turned out to be.
        """
        try:
            self._out.send(pack(login_of(user, peer, identity)))
        except OSError:  # full, or too large for it
            self._lost[0] += 1

    def watching(self, decide: Callable[[Credentials], Decision]) -> Callable[[Credentials], Decision]:
        """Return the same check of logins, which tells of those that are granted."""

        def watched(credentials: Credentials) -> Decision:
            decision = decide(credentials)
            if decision.identity is not None:
                self.tell(credentials.user, credentials.peer, decision.identity)
            return decision

        return watched


def login_of(user: str, peer: Peer, identity: Identity) -> LoggedIn:
    """Describe a login to drivers; arguments as for `Herald.tell`."""
    return LoggedIn(
        user,
        identity.local_part or identity.user,
        identity.domain or peer.domain,
        peer.client_host,
        peer.server_host,
        identity.driver,
    )


def pack(login: LoggedIn) -> bytes:
    """Write a login as one packet; no field can contain NUL."""
    fields = (login.user, login.local_part, login.domain, login.client_host, login.server_host, login.driver)
    return "\0".join(fields).encode("utf-8", _ESCAPE)


def unpack(packet: bytes) -> LoggedIn:
    """Read a login.

    Raises:
        ValueError: it is none.
    """
    fields = packet.decode("utf-8", _ESCAPE).split("\0")
    if len(fields) != len(dataclasses.fields(LoggedIn)):
        raise ValueError(f"{len(fields)} fields")
    return LoggedIn(*fields)
