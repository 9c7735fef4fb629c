"""A worker in separated mode: talks to clients until they are logged in, and owns nothing.

What a login opens is opened in another process (`mailroom`), where the connection then goes.  A client
inside TLS stays, as the far end of a `relay`.

When things fail: a maildrop that cannot be opened, or a process that is gone, is answered as in plain mode.
"""

from __future__ import annotations

import os
import secrets
import select
import socket
import time
from collections.abc import Callable

from tpop3d_py.contracts import Challenge, Decision, Reason, Refusal, Verdict
from tpop3d_py.server import handover
from tpop3d_py.server.authlink import PACKET, unpack_answer
from tpop3d_py.server.connection import Connection
from tpop3d_py.server.gate import Gate
from tpop3d_py.server.handover import Berth, Luggage
from tpop3d_py.server.relay import Relay
from tpop3d_py.server.slots import Slot
from tpop3d_py.server.tickets import Opened, Opening, is_word, unpack_word
from tpop3d_py.server.worker import Worker, WorkerPlan

_ANSWERS_AT_ONCE = 16
#: Descriptors of a relay.
_RELAYED = 2
#: Seconds that sessions get to end by themselves when the worker is told to stop.
_GRACE = 10.0
#: Seconds between two looks whether they have.
_LOOK = 0.1
_GONE = Refusal(Reason.UNAVAILABLE, "the process that opened the mailbox does not take the connection")
#: A login that waits for its client to have seen the server's proof.
_UNCONFIRMED = Decision(Verdict.GRANTED)
#: What may be said about a login.
Said = Decision | Berth | Refusal


class Hall(Gate[Connection]):
    """The way to the authentication processes, and back from them or from the mail processes.

    Nothing is remembered here: that would be to know where mail lies.
    """

    #: Has the authentication processes forget what they remember.
    on_forget: Callable[[], None]

    def forget(self, user: str) -> None:
        """Have an account's next login checked, and that of all others."""
        self.on_forget()

    def take_word(self) -> tuple[Connection, Said] | None:
        """Read one answer and return who waits for it; None if it is nobody, or if there is no answer."""
        try:
            packet, descriptor = handover.receive(self.answers, PACKET)
        except OSError:
            return None
        sock = None if descriptor is None else _way(descriptor)
        if not packet:  # the way is closed, by a mail process that obeys somebody else: one hears it for ever
            return None
        try:
            return self._understand(packet, sock)
        except ValueError as error:
            self._log.error(f"authentication: dropped a damaged answer: {error}")
            return None

    def _number(self) -> int:
        """Number a request so that nobody can guess it: it is answered by processes that were told it."""
        return secrets.randbits(62)

    def _understand(self, packet: bytes, sock: socket.socket | None) -> tuple[Connection, Said] | None:
        if not is_word(packet):
            return self._waiter(*unpack_answer(packet))
        number, word = unpack_word(packet)
        if isinstance(word, Refusal):
            return self._waiter(number, word)
        if isinstance(word, Opening):
            self._wait_longer(number)
            return None
        return self._opened(number, word, sock)

    def _waiter(self, number: int, said: Said) -> tuple[Connection, Said] | None:
        if self._unsent:
            self._send()
        asked = self._waiting.pop(number, None)
        return None if asked is None else (asked.waiter, said)

    def _opened(
        self, number: int, word: Opened, sock: socket.socket | None
    ) -> tuple[Connection, Said] | None:
        if sock is None:
            raise ValueError("a maildrop without a way to it")
        berth = Berth(word.ticket, word.challenge, sock)
        found = self._waiter(number, berth)
        if found is None:  # nobody waits any more
            berth.give_back()
        return found

    def _wait_longer(self, number: int) -> None:
        asked = self._waiting.pop(number, None)  # so that it does not expire meanwhile
        if asked is not None:
            self._waiting[number] = asked._replace(at=time.monotonic())


def _way(descriptor: int) -> socket.socket | None:
    """Return the socket of a descriptor that has come; what is none is closed."""
    try:
        return socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, descriptor)
    except OSError:
        os.close(descriptor)
        return None


class NetWorker(Worker):
    """One process that talks to clients and owns nothing.

    Args:
        slot: the place of this process.
        hall: the way to the other processes.
        number: of this worker on that way.
        plan: what every worker has.
    """

    def __init__(self, slot: Slot, hall: Hall, number: int, plan: WorkerPlan) -> None:
        super().__init__(slot, hall, plan)
        self._hall = hall
        self._number = number
        #: Maildrops of clients that have not confirmed their logins yet.
        self._berths: dict[Connection, Berth] = {}
        #: By both descriptors.
        self._relays: dict[int, Relay] = {}

    # --- session threads ---------------------------------------------------

    def _attend(self, fd: int) -> None:
        relay = self._relays.get(fd)
        if relay is None:
            super()._attend(fd)
        else:
            self._carry(relay)

    def _pass_answers(self) -> None:
        for _ in range(_ANSWERS_AT_ONCE):
            found = self._hall.take_word()
            if found is None:
                return
            try:
                self._hear(*found)
            except Exception:
                self._put(found[0], self._fault(found[0]))
            if not self._hall.waiting:
                return

    def _hear(self, conn: Connection, said: Said) -> None:
        if isinstance(said, Berth):
            self._embark(conn, said)
        elif isinstance(said, Refusal):
            self._was_right(conn)
            self._refuse(conn, said)
        else:
            self._finish_login(conn, said)

    def _was_right(self, conn: Connection) -> None:
        """Note that a client knows the password, whatever becomes of the mailbox."""
        if self._throttle is not None and conn.wanted is not None:
            self._throttle.learn(conn.wanted, Verdict.GRANTED)

    def _finish_login(self, conn: Connection, decision: Decision) -> None:
        berth = self._berths.pop(conn, None)
        if berth is not None and conn.confirmed and decision is _UNCONFIRMED:
            self._embark(conn, berth)
            return
        if berth is not None:
            berth.give_back()
        super()._finish_login(conn, decision)

    def _embark(self, conn: Connection, berth: Berth) -> None:
        """Have a connection go where its maildrop is, once its client knows whom it talks to."""
        if berth.challenge and not conn.confirmed:
            self._leave_berth(conn)
            self._berths[conn], conn.granted = berth, _UNCONFIRMED
            self._put(conn, conn.finish_login(Challenge(berth.challenge)))
            return
        self._was_right(conn)
        objection = self._pressure.objection(conn)
        if objection is not None:
            berth.give_back()
            self._refuse(conn, objection)
            return
        if conn.registered:
            self._epoll.unregister(conn.fd)  # the connection outlives our descriptor of it
            conn.registered = False
        try:
            relay = self._pass_on(conn, berth)
        except (OSError, ValueError):
            self._refuse(conn, _GONE)
            return
        self._pressure.left(conn)
        if relay is not None:
            self._pressure.relayed += _RELAYED
            self._carry(relay)

    def _pass_on(self, conn: Connection, berth: Berth) -> Relay | None:
        """Send a connection away; return the relay that stays of one inside TLS."""

        def luggage(ticket: bytes) -> Luggage:
            return conn.luggage(ticket, self._number)

        if conn.transport.passes:
            berth.board(luggage, conn.fd)
            conn.leave()
            return None
        near, far = socket.socketpair()
        try:
            near.setblocking(False)
            with far:
                berth.board(luggage, far.fileno())
        except BaseException:
            near.close()
            raise
        relay = Relay(conn.fd, conn.transport, near)
        for fd in relay.fds:
            self._relays[fd] = relay
            self._epoll.register(fd, select.EPOLLONESHOT)
        return relay

    def _carry(self, relay: Relay) -> None:
        wanted = relay.step()
        if relay.over:
            self._end_relay(relay)
            return
        for fd, events in zip(relay.fds, wanted, strict=True):
            if events:  # without any the kernel would still tell of errors, again and again
                self._epoll.modify(fd, events | select.EPOLLONESHOT)

    def _end_relay(self, relay: Relay) -> None:
        found = [self._relays.pop(fd, None) for fd in relay.fds]
        if relay in found:  # else another thread has ended it
            self._pressure.relayed -= _RELAYED
            relay.close()

    def _refuse(self, conn: Connection, refusal: Refusal) -> None:
        self._lines.refused(conn, refusal, conn.session.user)
        self._put(conn, conn.finish_login(refusal))

    def _close(self, conn: Connection) -> None:
        self._leave_berth(conn)
        super()._close(conn)

    def _leave_berth(self, conn: Connection) -> None:
        berth = self._berths.pop(conn, None)
        if berth is not None:
            berth.give_back()

    # --- the main thread ---------------------------------------------------

    def _keep_time(self, now: float) -> None:
        super()._keep_time(now)
        for relay in {relay for relay in list(self._relays.values()) if relay.is_stale(now)}:
            self._end_relay(relay)

    def _drain(self) -> None:
        super()._drain()
        self._stopping = self._stopping and not self._relays

    def _shut_down(self) -> None:
        """Let the mail processes finish, which are told to stop as we are, and carry their last words."""
        end = time.monotonic() + _GRACE
        while self._relays and time.monotonic() < end:
            self._reactor.watch(_LOOK)
        super()._shut_down()
        for relay in set(self._relays.values()):
            relay.close()
