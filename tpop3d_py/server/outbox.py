"""What a connection has to send: octets that are there, and at most one message still to be read.

Rules: nothing here waits.  What the transport does not take stays, and a message is read no further
than it can be sent: a client that sends without reading costs one chunk of memory.  Replies to pipelined
commands are collected, so that they leave together.

When things fail: what a message raises while it is read (`BodyInterrupted`, or a fault of ours) comes out of
`push`, and the message stays unfinished.
"""

from __future__ import annotations

from tpop3d_py.pop3.replies import Outgoing
from tpop3d_py.server.transport import Transport
from tpop3d_py.server.waits import Next

#: Replies are collected up to this many octets before they are sent.
_COLLECT = 16_384
#: Octets one connection may send before other connections get their turn.
_TURN = 1 << 20


class Outbox:
    """The octets on their way out."""

    __slots__ = ("_body", "_octets", "sent")

    def __init__(self) -> None:
        self._octets: bytes | memoryview = b""
        self._body: Outgoing | None = None
        #: Octets that the transport has taken.
        self.sent = 0

    def __bool__(self) -> bool:
        """Whether there is anything left to send."""
        return bool(self._octets) or self._body is not None

    @property
    def is_full(self) -> bool:
        """Whether it must be sent before anything is added."""
        return self._body is not None or len(self._octets) >= _COLLECT

    def put(self, wire: bytes | Outgoing) -> None:
        """Add a reply; never behind a message, which must be sent first."""
        if not isinstance(wire, bytes):
            self._body = wire
        elif self._octets:
            self._octets = b"".join((self._octets, wire))
        else:
            self._octets = wire

    def push(self, transport: Transport) -> Next | None:
        """Send what can be sent; None when all of it is gone, else what has to be waited for."""
        turn = 0
        while True:
            octets = self._octets
            if not octets:
                if self._body is None:
                    return None
                self._read(self._body)
                continue
            count = transport.send(octets)
            if count <= 0:
                return Next.SOCKET if count == 0 else Next.CLOSE
            self.sent += count
            self._octets = b"" if count == len(octets) else memoryview(octets)[count:]
            turn += count
            if turn > _TURN and self:
                return Next.TURN

    def unsent(self) -> bytes:
        """Return what has not gone out; for somebody else to send, before a login, where it is little."""
        return b"".join((self._octets, *(self._body or ())))

    def close(self) -> None:
        """Release a message that was not sent to its end."""
        if self._body is not None:
            self._body.close()
            self._body = None

    def _read(self, body: Outgoing) -> None:
        chunk = next(body, None)
        if chunk is None:
            self._body = None
        else:
            self._octets = chunk
