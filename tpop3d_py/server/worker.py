"""A worker process: connections that wait in an epoll, each run one step at a time.

A thread of the `reactor` takes a ready connection, runs it until it
has to wait, and puts it back.  So idle sessions cost no thread, and a slow disk
stops one thread and not the process.

Who runs a connection is decided by taking it out of the table it waits in
(`dict.pop` is atomic): the thread that got it owns it until it puts it into a
table again.  The main thread keeps time; a connection whose wait is over it
hands to the session threads through the same epoll.

When things fail: a thread never dies of a connection; a fault of ours ends that
connection and is logged.  Running out of descriptors closes whoever waits longest for a login, or turns
newcomers away (see `spare`); where not even that is possible the listener rests until the next look at the
clock.
"""

from __future__ import annotations

import contextlib
import os
import select
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from signal import SIGTERM, SIGUSR1, SIGUSR2

from tpop3d_py.contracts import (
    Challenge,
    Credentials,
    Decision,
    Identity,
    Maildrop,
    Peer,
    Reason,
    Refusal,
    Verdict,
)
from tpop3d_py.log import Log, one_line
from tpop3d_py.server.admission import Admission
from tpop3d_py.server.bounds import Limits
from tpop3d_py.server.connection import Connection, Next
from tpop3d_py.server.control import Respondent
from tpop3d_py.server.door import Door
from tpop3d_py.server.gate import Gate
from tpop3d_py.server.habits import Habits
from tpop3d_py.server.hearing import hear
from tpop3d_py.server.limits import Shared
from tpop3d_py.server.pressure import Pressure
from tpop3d_py.server.reactor import Reactor
from tpop3d_py.server.sessionlog import SessionLog
from tpop3d_py.server.slots import Slot
from tpop3d_py.server.spare import Spare
from tpop3d_py.server.throttle import Step, Throttle

#: Seconds between two looks at the clock.
_TICK = 0.25
#: One connection more is accepted at a time for each so many descriptors that wait for their turn.
_ACCEPT_SHARE = 4
#: Answers to logins that are taken at a time.
_ANSWERS_AT_ONCE = 16
#: Seconds that commits under way get when the worker is told to stop.
_GRACE = 10.0
_GUESSING = Refusal(Reason.CREDENTIALS, "throttled: not checked, after too many wrong ones from there")
_AT_ONCE = select.EPOLLIN | select.EPOLLOUT


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """What a worker works with.

    Args:
        doors: the listeners.
        admission: opens maildrops.
        shared: what the workers know of each other.
        limits: how many clients there may be.
        habits: of the connections.
        threads: session threads.
        log: the log.
        lines: writes down what clients do, and counts it.
        throttle: slows guesses down; None: nothing does.
        tell: told of each login that has been answered, with the name as sent; must not wait.
    """

    doors: Sequence[Door]
    admission: Admission
    shared: Shared
    limits: Limits
    habits: Habits
    threads: int
    log: Log
    lines: SessionLog
    throttle: Throttle | None = None
    tell: Callable[[str, Peer, Identity], None] | None = None


class Worker:
    """One process that serves connections.

    Args:
        slot: the place of this process: its row of the shared counters, its channel, its heartbeat.
        gate: the way to the authentication processes.
        plan: everything else.
    """

    #: How to wait for answers.
    _answer_events = select.EPOLLIN

    def __init__(self, slot: Slot, gate: Gate[Connection], plan: WorkerPlan) -> None:
        self._place = slot
        self._slot = slot.number
        self._gate = gate
        self._plan = plan
        self._doors = {door.sock.fileno(): door for door in plan.doors}
        self._log = plan.log
        self._lines = plan.lines
        self._throttle = plan.throttle
        self._pressure = Pressure(
            self._slot, plan.shared, plan.limits, plan.log, self._turn_out, self._lines.hit
        )
        self._receptions = [door.reception for door in plan.doors if door.reception is not None]
        for reception in self._receptions:
            reception.readdressed = self._pressure.readdressed
        self._spare = Spare()
        self._reactor = Reactor(self._attend, plan.threads, plan.log)
        self._epoll = self._reactor.epoll
        self._parked: dict[int, Connection] = {}
        self._delayed: dict[int, Connection] = {}
        self._answers = gate.answers.fileno()
        self._control = slot.control.fileno()
        forgive = self._throttle.forgive if self._throttle is not None else None
        self._respondent = Respondent(
            slot.control, self._pressure.everybody, self.forget_login, plan.log, forgive
        )
        self._stopping = False
        self._draining = False
        self._left: list[Door] = []
        self._resting: dict[int, Door] = {}

    def run(self) -> None:
        """Serve until SIGTERM, or after SIGUSR2 until nobody is left; commits under way are done then."""
        hear({SIGTERM: self._on_stop, SIGUSR1: self._on_rotate, SIGUSR2: self._on_drain})
        for fd in self._doors:
            # Exclusive: one worker wakes up for one connection, not all of them.
            self._epoll.register(fd, select.EPOLLIN | select.EPOLLEXCLUSIVE)
        self._epoll.register(self._answers, self._answer_events)
        self._epoll.register(self._control, select.EPOLLIN | select.EPOLLONESHOT)
        self._reactor.start()
        while not self._stopping:
            self._reactor.watch(_TICK)
            self._place.beat()
            try:
                if self._draining:
                    self._drain()
                self._keep_time(time.monotonic())
            except Exception:
                self._log.error(f"internal error: {one_line(traceback.format_exc())}")
        self._shut_down()

    def _on_stop(self, _number: int, _frame: object) -> None:
        self._stopping = True  # and nothing else: a handler may interrupt anything

    def _on_rotate(self, _number: int, _frame: object) -> None:
        self._log.reopen()

    def _on_drain(self, _number: int, _frame: object) -> None:
        self._draining = True

    def _drain(self) -> None:
        """Leave the listeners to the processes of newer settings, and end with the last client."""
        if self._doors:
            self._left, self._doors = list(self._doors.values()), {}
            for door in self._left:
                with contextlib.suppress(FileNotFoundError):  # it is resting
                    self._epoll.unregister(door.sock)
            self._resting.clear()
        elif self._left:  # a tick later: no thread is accepting any more
            for door in self._left:
                door.sock.close()  # an address that nobody serves any more must not take connections
            self._left = []
        elif not self._plan.shared.board.connections_of(self._slot):
            self._stopping = True

    def forget_login(self, user: str) -> None:
        """Have an account's next login checked, whatever is remembered; any thread may ask.

        Args:
            user: its name as logs have it.
        """
        self._gate.forget(user)

    # --- session threads ---------------------------------------------------

    def _attend(self, fd: int) -> None:
        conn = self._parked.pop(fd, None)
        if conn is not None:
            try:
                waits = conn.run()
            except Exception:
                waits = self._fault(conn)
            self._put(conn, waits)
        elif (door := self._doors.get(fd)) is not None:
            self._let_in(door)
        elif fd == self._answers:
            self._pass_answers()
        elif fd == self._control and (events := self._respondent.attend()):
            self._epoll.modify(fd, events | select.EPOLLONESHOT)

    def _let_in(self, door: Door) -> None:
        for _ in range(1 + self._reactor.backlog // _ACCEPT_SHARE):
            try:
                came = door.accept()
            except OSError as error:
                self._cannot_accept(door, error)
                return
            if came is None:
                return
            fd, transport, peer = came
            stamp = os.urandom(16).hex().encode()
            conn = door.connection(fd, transport, peer, stamp, self._plan.habits)
            if not self._pressure.arrived(conn):
                conn.crowd_out()
                conn.close()
                continue
            self._lines.connected(conn)
            self._put(conn, conn.greet())

    def _cannot_accept(self, door: Door, error: OSError) -> None:
        """Make room; else tell one client that there is none; else leave the listener alone for a while."""
        if self._pressure.make_room(os.strerror(error.errno or 0)):
            return
        if self._spare.turn_away(door.sock, silently=door.tls is not None and not door.stls):
            return
        with contextlib.suppress(FileNotFoundError):  # another thread has done it
            self._epoll.unregister(door.sock)
            self._resting[door.sock.fileno()] = door

    def _wake_doors(self) -> None:
        while self._resting and not self._draining:
            fd, _ = self._resting.popitem()
            self._epoll.register(fd, select.EPOLLIN | select.EPOLLEXCLUSIVE)

    def _pass_answers(self) -> None:
        """Take the answers that have come; if opening a mailbox takes long, another thread has the rest."""
        for _ in range(_ANSWERS_AT_ONCE):
            answer = self._gate.take()
            if answer is None:
                return
            self._finish_login(*answer)
            if not self._gate.waiting:
                return

    def _fault(self, conn: Connection) -> Next:
        """Write our own fault down; nobody has the connection now: left open it would hold its mailbox."""
        self._log.error(f"client {conn.describe()}: internal error: {one_line(traceback.format_exc())}")
        return Next.CLOSE

    def _finish_login(self, conn: Connection, decision: Decision) -> None:
        try:
            waits = self._answer(conn, decision)
        except Exception:
            waits = self._fault(conn)
        self._put(conn, waits)

    def _answer(self, conn: Connection, decision: Decision) -> Next:
        if self._throttle is not None and conn.wanted is not None:
            self._throttle.learn(conn.wanted, decision.verdict)
        if decision.verdict is Verdict.GRANTED and decision.challenge and not conn.confirmed:
            conn.granted = decision  # the client has a proof to see before it is let in
            return conn.finish_login(Challenge(decision.challenge))
        objection = self._pressure.objection(conn) if decision.identity is not None else None
        outcome = objection or self._plan.admission.admit(decision)
        try:
            self._write_down(conn, decision, outcome)
        except BaseException:
            if not isinstance(outcome, Refusal | Challenge):
                outcome.close()  # the session does not have it yet
            raise
        waits = conn.finish_login(outcome)
        if conn.session.logged_in:  # an open maildrop may still turn out to be of no use
            self._pressure.logged_in(conn)
            if self._plan.tell is not None and decision.identity is not None:
                self._plan.tell(conn.session.user, conn.peer, decision.identity)
        return waits

    def _write_down(
        self, conn: Connection, decision: Decision, outcome: Maildrop | Refusal | Challenge
    ) -> None:
        if isinstance(outcome, Refusal):
            self._lines.refused(conn, outcome, conn.session.user)
        elif decision.identity is not None:
            self._lines.began(conn, decision.identity, cached=decision.cached)

    def _put(self, conn: Connection, waits: Next) -> None:
        """Put a connection where it waits; from then on another thread may own it."""
        if waits is Next.SOCKET:
            self._park(conn, conn.transport.blocked_on)
        elif waits is Next.LOGIN and conn.confirmed and conn.granted is not None:
            self._finish_login(conn, conn.granted)
        elif waits is Next.LOGIN and conn.wanted is not None:
            self._check(conn, conn.wanted)
        elif waits is Next.TURN:
            self._park(conn, _AT_ONCE)
        elif waits is Next.DELAY:
            self._delayed[conn.fd] = conn
        else:
            self._close(conn)

    def _check(self, conn: Connection, credentials: Credentials) -> None:
        if self._throttle is not None and self._hold_back(conn, self._throttle.judge(credentials)):
            return
        known = self._gate.submit(conn, credentials)
        if known is not None:
            self._finish_login(conn, known)

    def _hold_back(self, conn: Connection, step: Step) -> bool:
        """Have a login wait, or refuse it; tell whether it is not to be checked now."""
        if not step.delay:
            return False
        if conn.resume_at <= conn.asked_at:  # it has not waited yet
            conn.resume_at = conn.asked_at + step.delay
            self._lines.throttled("delayed")
            self._put(conn, Next.DELAY)
            return True
        conn.asked_at = time.monotonic()  # what a refusal's own delay and the figures count from
        if step.refused:
            self._lines.throttled("refused")
            self._lines.refused(conn, _GUESSING, conn.session.user)
            self._put(conn, conn.finish_login(_GUESSING))
        return step.refused

    def _park(self, conn: Connection, events: int) -> None:
        self._parked[conn.fd] = conn
        if conn.registered:
            self._epoll.modify(conn.fd, events | select.EPOLLONESHOT)
        else:
            conn.registered = True
            self._epoll.register(conn.fd, events | select.EPOLLONESHOT)

    def _close(self, conn: Connection) -> None:
        self._lines.ended(conn)
        self._pressure.left(conn)
        conn.close()

    def _turn_out(self, conn: Connection) -> bool:
        """Close a connection to make room; tell whether that was possible."""
        if not self._take(conn):
            return False
        conn.crowd_out()
        self._close(conn)
        return True

    def _take(self, conn: Connection) -> bool:
        """Take a connection from where it waits; tell whether it was there and is ours now."""
        for table in (self._parked, self._delayed):
            found = table.pop(conn.fd, None)
            if found is conn:
                return True
            if found is not None:  # the descriptor's next owner; what woke it up meanwhile found nobody
                self._put(found, Next.TURN if table is self._parked else Next.DELAY)
        return False

    # --- the main thread ---------------------------------------------------

    def _keep_time(self, now: float) -> None:
        for conn, decision in self._gate.expired(now):
            self._finish_login(conn, decision)
        for conn in list(self._delayed.values()):
            if conn.resume_at <= now and self._take(conn):
                self._park(conn, _AT_ONCE)
        self._wake_doors()
        for conn in (*self._pressure.due(now), *self._unheralded(now)):
            if conn.fd not in self._delayed and self._take(conn):
                if conn.still_reading():
                    self._put(conn, Next.SOCKET)
                    continue
                conn.time_out()
                self._close(conn)

    def _unheralded(self, now: float) -> Iterator[Connection]:
        """Yield the connections whose proxy has not said in time whom it speaks for."""
        for reception in self._receptions:
            yield from reception.late(now)

    def _shut_down(self) -> None:
        """End idle sessions at once and wait for the busy ones: an UPDATE under way is finished."""
        for fd in self._doors:
            with contextlib.suppress(FileNotFoundError):
                self._epoll.unregister(fd)
        self._reactor.stop(_GRACE)
        for fd in list(self._parked):
            conn = self._parked.pop(fd, None)
            if conn is not None:
                self._close(conn)
