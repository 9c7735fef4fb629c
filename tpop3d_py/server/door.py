"""A bound listener: what it hands to every connection that comes in through it.

When things fail: `accept` returns None when there is nobody; running out of
descriptors or memory is an `OSError` that the worker answers with a pause.
"""

from __future__ import annotations

import errno
import socket
import ssl
from dataclasses import dataclass

from tpop3d_py.contracts import Peer
from tpop3d_py.pop3.profile import Profile
from tpop3d_py.server.connection import Connection
from tpop3d_py.server.guest import GuestTransport
from tpop3d_py.server.habits import Habits
from tpop3d_py.server.reception import Reception
from tpop3d_py.server.transport import PlainTransport, Transport

#: What accept(2) reports of a connection that died while it waited, or of a network that had a hiccup.
_PASSING = frozenset(
    {errno.EAGAIN, errno.ECONNABORTED, errno.EINTR, errno.EPROTO, errno.ENETDOWN, errno.ENONET}
    | {errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENOPROTOOPT, errno.EOPNOTSUPP}
)


@dataclass(frozen=True, slots=True)
class Door:
    """One listening socket with what its connections share.

    Args:
        sock: the listening, non-blocking socket.
        domain: virtual domain of its connections; empty where the reception finds it.
        profile: protocol settings of its sessions.
        tls: context for TLS; None on a plain listener.
        stls: TLS begins when the client says STLS, and not at once.
        reception: finds out what has to be known of a client first, and begins TLS where it begins at once;
            None where there is nothing to be done.
        stands_for: the domain, or where it comes from, for the log.
    """

    sock: socket.socket
    domain: str
    profile: Profile
    tls: ssl.SSLContext | None = None
    stls: bool = False
    reception: Reception | None = None
    stands_for: str = ""

    def accept(self) -> tuple[int, Transport, Peer] | None:
        """Take one connection: its descriptor, transport and addresses; None if there is none.

        Raises:
            OSError: the process or the machine ran out of something.
        """
        try:
            sock, client = self.sock.accept()
        except OSError as error:
            if error.errno in _PASSING:
                return None
            raise
        try:
            sock.setblocking(False)
            server = sock.getsockname()
            fd = sock.fileno()
            kind = PlainTransport if self.reception is None else GuestTransport
        except OSError:  # gone already
            sock.close()
            return None
        return fd, kind(sock, self.tls), Peer(client[0], client[1], server[0], server[1], self.domain)

    def connection(
        self, fd: int, transport: Transport, peer: Peer, stamp: bytes, habits: Habits
    ) -> Connection:
        """Make the connection of what `accept` took; arguments as of `Connection`."""
        if self.reception is None or not isinstance(transport, GuestTransport):
            return Connection(fd, transport, peer, stamp, self.profile, habits)
        return self.reception.connection(fd, transport, peer, stamp, habits)
