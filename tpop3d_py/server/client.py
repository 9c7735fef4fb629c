"""What is known of one client, and what may be done with its connection from outside.

This is what the worker, the log, the limits and the control channel see of a connection; how it talks is
`connection`'s.

When things fail: nothing here can.
"""

from __future__ import annotations

import time

from tpop3d_py.contracts import Credentials, Decision, Peer
from tpop3d_py.log import quoted
from tpop3d_py.pop3.lines import LineBuffer
from tpop3d_py.pop3.profile import Profile
from tpop3d_py.pop3.replies import Reply
from tpop3d_py.pop3.session import Session
from tpop3d_py.server.habits import Habits
from tpop3d_py.server.handover import Luggage
from tpop3d_py.server.outbox import Outbox
from tpop3d_py.server.patience import Patience
from tpop3d_py.server.spare import NO_ROOM
from tpop3d_py.server.transport import Transport

#: Why a connection ended that was closed to make room for others.
CROWDED = "closed to make room"


class Client:
    """A client's side of a connection; also the Login port of its session."""

    __slots__ = (
        "_closing",
        "_commits_late",
        "_ending",
        "_held",
        "_lines",
        "_log",
        "_outbox",
        "_starts_tls",
        "_trace",
        "asked_at",
        "confirmed",
        "driver",
        "fd",
        "granted",
        "patience",
        "peer",
        "received",
        "registered",
        "resume_at",
        "session",
        "started",
        "transport",
        "wanted",
    )

    def __init__(
        self,
        fd: int,
        transport: Transport,
        peer: Peer,
        stamp: bytes,
        profile: Profile,
        habits: Habits,
    ) -> None:
        self.fd = fd
        self.transport = transport
        self.peer = peer
        self.session = Session(peer, self, stamp, profile, secure=transport.secure)
        self.started = time.monotonic()
        self.patience = Patience(habits.timeouts, self.started)
        #: CLOCK_MONOTONIC seconds at which a held reply may go out.
        self.resume_at = 0.0
        #: Whether the epoll knows this connection yet; the worker's.
        self.registered = False
        self.wanted: Credentials | None = None
        #: A login that is granted once the client has answered the mechanism's last challenge.
        self.granted: Decision | None = None
        self.confirmed = False
        #: Who vouched for the client; empty before a login.
        self.driver = ""
        self.received = 0
        self._log, self._trace = habits.log, habits.trace
        self._lines = LineBuffer()
        self._outbox = Outbox()
        self._held: Reply | None = None
        self._closing = False
        self._starts_tls = False
        self._commits_late = profile.commit_on_early_close
        #: CLOCK_MONOTONIC seconds at which the last login was asked for.
        self.asked_at = 0.0
        self._ending = ""

    def begin(self, credentials: Credentials) -> None:
        """Note a login that is to be checked (the Login port)."""
        self.wanted = credentials
        self.granted = None
        self.asked_at = time.monotonic()

    def confirm(self) -> None:
        """Note that the login that was granted may go on (the Login port)."""
        self.confirmed = True

    def introduce(self, peer: Peer) -> None:
        """Take a proxy's word for who the client is (the Login port)."""
        self.peer = peer

    def close(self) -> None:
        """Release everything; deletions that were not committed by QUIT never happen."""
        self._outbox.close()
        self.session.connection_lost()
        self.transport.close()

    def luggage(self, ticket: bytes, worker: int) -> Luggage:
        """Tell what another process needs to go on behind the login under way.

        Args:
            ticket: number of the ticket that lets the connection in there.
            worker: slot of this process.
        """
        started, asked = int(self.started * 1000), int(self.asked_at * 1000)
        carried, relayed = self.session.carried(), not self.transport.passes
        unread, unsent = self._lines.rest, self._outbox.unsent()
        return Luggage(
            ticket, worker, relayed, self.received, self.sent, started, asked, carried, unread, unsent
        )

    def carry_on(self, user: str, luggage: Luggage, profile: Profile) -> None:
        """Be the connection that has come from another process; `finish_login` is next.

        Args:
            user: the name as sent.
            luggage: from there.
            profile: settings of the session.

        Raises:
            ValueError: what was carried makes no sense.
        """
        if luggage.carried.secure is not self.transport.secure:  # the client has TLS with a proxy
            self.session = Session(self.peer, self, b"", profile, secure=luggage.carried.secure)
        self.session.carry_on(user, luggage.carried)
        self.started, self.asked_at = luggage.started / 1000, luggage.asked / 1000
        self.received, self._outbox.sent = luggage.received, luggage.sent
        self._lines.feed(luggage.unread)
        self._outbox.put(luggage.unsent)

    def leave(self) -> None:
        """Forget the connection, with which another process goes on."""
        self.transport.leave()

    def kick(self) -> None:
        """End the connection from outside, as if it had been lost; any thread may say so.

        A QUIT that has come and is not obeyed yet removes nothing; an UPDATE under way is finished.
        """
        self._ending = "kicked"
        self._commits_late = False
        self.transport.cut()

    def crowd_out(self) -> None:
        """Tell a client that there is no room for it, and end the connection; only before a login."""
        self._ending = CROWDED
        if not self._outbox:
            self.transport.send(NO_ROOM)

    def describe(self) -> str:
        """Name the client for the log, as the ancestor does."""
        if self.session.logged_in:
            return f"[{self.fd}]{quoted(self.session.user)}({self.peer.client_host})"
        return f"[{self.fd}]{self.peer.client_host}/{self.peer.domain}"

    @property
    def sent(self) -> int:
        """Octets that went out."""
        return self._outbox.sent

    @property
    def ending(self) -> str:
        """Why the connection ends, for the log."""
        ending = self.session.ending
        return self._ending or (ending.value if ending is not None else "connection lost")
