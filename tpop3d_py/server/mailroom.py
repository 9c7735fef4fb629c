"""A mail process: opens maildrops for tickets and goes on with the connections that come for them.

It is a worker without listeners and without logins, which runs as the owner of the mail it reads and as
nobody else.  An authentication process says by a ticket what to open; it is opened at once, and
whoever asked for the login is told, and given the way for the connection.  A connection that has come is a
session like any other.

Rules: a ticket lets one connection in, once, within its life, from the process that it was made for.  A
maildrop that nobody comes for is closed.  A process that nobody needs ends, if it is not one of those that
stand ready; it first stops taking tickets, so that none gets lost.

When things fail: a maildrop that cannot be opened is a refusal, which the process that asked gives its
client.  Damaged packets are logged and dropped.  A connection without a good ticket is closed, with
[SYS/TEMP]: its ticket may have been too old.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from tpop3d_py.contracts import Challenge, Credentials, Decision, Maildrop, Reason, Refusal, Verdict
from tpop3d_py.pop3.handover import Carried
from tpop3d_py.pop3.profile import Profile
from tpop3d_py.server import handover
from tpop3d_py.server.authlink import PACKET, AuthLink
from tpop3d_py.server.connection import Connection
from tpop3d_py.server.gate import Gate
from tpop3d_py.server.handover import Luggage, PassedTransport, connection_of, unpack_luggage
from tpop3d_py.server.slots import Slot
from tpop3d_py.server.tickets import LIFE, TICKET, Opened, Opening, Ticket, Word, pack_word, unpack_ticket
from tpop3d_py.server.worker import Worker, WorkerPlan

#: Seconds after which the one who waits for a maildrop is told that it takes long, again and again.
_LONG = 1.0
#: Seconds a ticket may have been under way.
_STALE = 10.0
#: Seconds without anything to do after which a process that does not stand ready ends.
IDLE = 60.0
_TOO_LATE = b"-ERR [SYS/TEMP] The mailbox could not wait any longer. Please try again.\r\n"


@dataclass(frozen=True, slots=True)
class MailPlan:
    """What a mail process works with, beside what every worker does.

    Args:
        tickets: where tickets come from.
        link: the way to those who ask.
        profiles: settings of a session, by what it carries.
        stands_ready: it does not end when it has nothing to do.
    """

    tickets: socket.socket
    link: AuthLink
    profiles: Callable[[Carried], Profile]
    stands_ready: bool


@dataclass(slots=True, eq=False)
class _Held:
    """An open maildrop that waits for its connection."""

    ticket: Ticket
    maildrop: Maildrop
    until: float


class MailWorker(Worker):
    """One process that reads mail.

    Args:
        slot: the place of this process.
        mail: what only mail processes have.
        plan: what every worker has.
    """

    _answer_events = select.EPOLLIN | select.EPOLLEXCLUSIVE

    def __init__(self, slot: Slot, mail: MailPlan, plan: WorkerPlan) -> None:
        # Nobody logs in here: what a worker takes for answers are tickets.
        super().__init__(slot, Gate(mail.tickets, mail.tickets, slot.number, LIFE, plan.log), plan)
        self._mail = mail
        self._way_lock = threading.Lock()
        self._open_way()
        self._held: dict[bytes, _Held] = {}
        #: Tickets whose maildrops are being opened, and when that began or was last told.
        self._under_way: dict[bytes, tuple[Ticket, float]] = {}
        self._busy_at = time.monotonic()
        self._taking = True

    # --- session threads ---------------------------------------------------

    def _attend(self, fd: int) -> None:
        if fd == self._attach_fd:
            self._receive_connection()
        else:
            super()._attend(fd)

    def _pass_answers(self) -> None:
        """Open the maildrop of the ticket that has come; if it takes long, another thread has the next."""
        try:
            packet = self._mail.tickets.recv(PACKET, socket.MSG_DONTWAIT)
        except BlockingIOError:  # another process was faster
            return
        if not packet:  # it takes no more of them, but this is announced again and again
            with contextlib.suppress(FileNotFoundError):
                self._epoll.unregister(self._mail.tickets)
            return
        try:
            ticket = unpack_ticket(packet)
        except ValueError as error:
            self._log.error(f"mail: dropped a damaged ticket: {error}")
            return
        if ticket.age < _STALE:
            self._under_way[ticket.id] = ticket, time.monotonic()
            try:
                self._open(ticket)
            finally:
                self._under_way.pop(ticket.id, None)

    def _open(self, ticket: Ticket) -> None:
        identity = ticket.identity
        self._busy_at = time.monotonic()
        if identity.gid != os.getegid():
            detail = f"the mail of {identity.user} is for gid {identity.gid}, not {os.getegid()}"
            self._tell(ticket, Refusal(Reason.FORBIDDEN, detail))
            return
        outcome = self._plan.admission.admit(Decision(Verdict.GRANTED, identity))
        assert not isinstance(outcome, Challenge)  # which goes with other verdicts
        if isinstance(outcome, Refusal):
            self._tell(ticket, outcome)
            return
        self._held[ticket.id] = _Held(ticket, outcome, time.monotonic() + LIFE)
        if not self._tell(ticket, Opened(ticket.id, ticket.challenge)):
            self._release(ticket.id)

    def _tell(self, ticket: Ticket, word: Word) -> bool:
        """Tell the process that asked; False if nobody is there, or if it does not listen."""
        packet = pack_word(ticket.request, word)
        way = self._attach_out.fileno() if isinstance(word, Opened) else None
        try:
            handover.send(self._mail.link.answers_out[ticket.worker], packet, way)
        except (OSError, IndexError) as error:
            self._log.error(f"mail: cannot tell worker {ticket.worker} of a mailbox: {error}")
            return False
        return True

    def _release(self, number: bytes) -> None:
        """Close a maildrop that nobody comes for."""
        held = self._held.pop(number, None)
        if held is not None:
            held.maildrop.close()

    def _receive_connection(self) -> None:
        way = self._attach
        try:
            packet, descriptor = handover.receive(way)
        except OSError:  # another thread was faster
            return
        if descriptor is not None:
            self._receive(packet, descriptor)
        elif len(packet) == TICKET:
            self._release(packet)
        elif not packet:
            self._renew_way(way)

    def _open_way(self) -> None:
        """Make the way that connections come by."""
        self._attach, self._attach_out = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._attach_fd = self._attach.fileno()
        self._epoll.register(self._attach_fd, select.EPOLLIN)

    def _renew_way(self, closed: socket.socket) -> None:
        """Replace it: every worker has had it, and one that obeys somebody else has closed it for all."""
        with self._way_lock:
            if self._attach is not closed:  # another thread was faster
                return
            self._log.error("mail: a worker has closed the way for connections; making another")
            self._epoll.unregister(self._attach_fd)
            for end in (self._attach, self._attach_out):
                end.close()
            self._open_way()

    def _receive(self, packet: bytes, descriptor: int) -> None:
        try:
            luggage = unpack_luggage(packet)
        except ValueError as error:
            os.close(descriptor)
            self._log.error(f"mail: dropped a damaged connection: {error}")
            return
        try:
            transport = connection_of(descriptor, relayed=luggage.relayed)
        except ValueError as error:
            self._log.error(f"mail: dropped a connection: {error}")
            return
        held = self._held.pop(luggage.ticket, None)
        if held is None or held.until < time.monotonic() or held.ticket.worker != luggage.worker:
            self._turn_away(held, transport)
        else:
            self._go_on(held, luggage, transport)

    def _turn_away(self, held: _Held | None, transport: PassedTransport) -> None:
        self._log.warning("mail: a connection came without a good ticket")
        if held is not None:
            held.maildrop.close()
        transport.send(_TOO_LATE)
        transport.close()

    def _go_on(self, held: _Held, luggage: Luggage, transport: PassedTransport) -> None:
        """Make the connection that it was in the other process, and let it in."""
        ticket = held.ticket
        try:
            profile = self._mail.profiles(luggage.carried)
            conn = Connection(transport.fd, transport, ticket.peer, b"", profile, self._plan.habits)
            conn.carry_on(ticket.user, luggage, profile)
        except ValueError as error:
            self._log.error(f"mail: dropped a connection: {error}")
            held.maildrop.close()
            transport.close()
            return
        conn.wanted = Credentials(ticket.mechanism, ticket.user, b"", b"", ticket.peer)
        if not self._pressure.arrived(conn):
            held.maildrop.close()
            conn.crowd_out()
            conn.close()
            return
        try:
            self._lines.began(conn, ticket.identity, cached=ticket.cached)
            waits = conn.finish_login(held.maildrop)
            if conn.session.logged_in:
                self._pressure.logged_in(conn)
        except Exception:
            held.maildrop.close()  # the session may not have it yet
            waits = self._fault(conn)
        self._busy_at = time.monotonic()
        self._put(conn, waits)

    # --- the main thread ---------------------------------------------------

    def _keep_time(self, now: float) -> None:
        super()._keep_time(now)
        for number, (ticket, since) in list(self._under_way.items()):
            if now - since >= _LONG and number in self._under_way:
                self._under_way[number] = ticket, now
                self._tell(ticket, Opening())
        for number, held in list(self._held.items()):
            if held.until + 1 < now:
                self._release(number)
        if self._busy:
            self._busy_at = now
        elif not self._mail.stands_ready and now - self._busy_at > IDLE:
            self._stop_taking()

    @property
    def _busy(self) -> bool:
        connections = self._plan.shared.board.connections_of(self._slot)
        return bool(connections or self._held or self._under_way)

    def _stop_taking(self) -> None:
        """Take no more tickets; end a look at the clock later, if none came in between."""
        if self._taking:
            self._taking = False
            with contextlib.suppress(OSError):
                self._mail.tickets.shutdown(socket.SHUT_RD)
        elif not self._busy:
            self._stopping = True

    def _drain(self) -> None:
        if not self._busy:
            self._stopping = True

    def _shut_down(self) -> None:
        super()._shut_down()
        for number in list(self._held):
            self._release(number)
