"""A worker process: a few threads share one one-shot epoll and run whoever is ready.

Each thread waits on the same epoll, takes one ready connection, runs it until it
has to wait, and puts it back.  So idle sessions cost no thread, and a slow disk
stops one thread and not the process.

Who runs a connection is decided by taking it out of the table it waits in
(`dict.pop` is atomic): the thread that got it owns it until it puts it into a
table again.  The main thread keeps time; a connection whose wait is over it
hands to the session threads through the same epoll.

When things fail: a thread never dies of a connection; a fault of ours ends that
connection and is logged.  Running out of descriptors pauses accepting.
"""

from __future__ import annotations

import os
import select
import threading
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from signal import SIGTERM, SIGUSR1, SIGUSR2

from tpop3d_py.contracts import Challenge, Decision, Refusal, Verdict
from tpop3d_py.log import Log, one_line
from tpop3d_py.server.admission import Admission
from tpop3d_py.server.connection import Connection, Next
from tpop3d_py.server.door import Door
from tpop3d_py.server.gate import Gate
from tpop3d_py.server.habits import Habits
from tpop3d_py.server.hearing import hear
from tpop3d_py.server.limits import Board
from tpop3d_py.server.sessionlog import SessionLog
from tpop3d_py.server.slots import Slot

#: Seconds between two looks at the clock.
_TICK = 0.25
#: Connections one thread takes from a listener before it serves others again.
_ACCEPT_AT_ONCE = 8
#: Seconds to wait before accepting again when descriptors or memory ran out.
_ACCEPT_PAUSE = 0.1
#: Seconds that commits under way get when the worker is told to stop.
_GRACE = 10.0
_AT_ONCE = select.EPOLLIN | select.EPOLLOUT


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """What a worker works with.

    Args:
        doors: the listeners.
        admission: opens maildrops.
        board: the shared counters.
        habits: of the connections.
        most_waiting: connections that may wait for their login, in all workers together.
        threads: session threads.
        log: the log.
    """

    doors: Sequence[Door]
    admission: Admission
    board: Board
    habits: Habits
    most_waiting: int
    threads: int
    log: Log


class Worker:
    """One process that serves connections.

    Args:
        slot: the place of this process: its row of the shared counters, its channel, its heartbeat.
        gate: the way to the authentication processes.
        plan: everything else.
    """

    def __init__(self, slot: Slot, gate: Gate[Connection], plan: WorkerPlan) -> None:
        self._place = slot
        self._slot = slot.number
        self._gate = gate
        self._plan = plan
        self._doors = {door.sock.fileno(): door for door in plan.doors}
        self._board = plan.board
        self._log = plan.log
        self._lines = SessionLog(plan.log)
        self._epoll = select.epoll()
        self._parked: dict[int, Connection] = {}
        self._delayed: dict[int, Connection] = {}
        self._answers = gate.answers.fileno()
        self._stopping = False
        self._draining = False
        self._left: list[Door] = []
        self._bell_in, self._bell_out = os.pipe()

    def run(self) -> None:
        """Serve until SIGTERM, or after SIGUSR2 until nobody is left; commits under way are done then."""
        hear({SIGTERM: self._on_stop, SIGUSR1: self._on_rotate, SIGUSR2: self._on_drain})
        for fd in self._doors:
            # Exclusive: one worker wakes up for one connection, not all of them.
            self._epoll.register(fd, select.EPOLLIN | select.EPOLLEXCLUSIVE)
        self._epoll.register(self._answers, select.EPOLLIN | select.EPOLLONESHOT)
        self._epoll.register(self._bell_in, select.EPOLLIN)
        crew = [threading.Thread(target=self._serve, daemon=True) for _ in range(self._plan.threads)]
        for thread in crew:
            thread.start()
        while not self._stopping:
            time.sleep(_TICK)
            self._place.beat()
            try:
                if self._draining:
                    self._drain()
                self._keep_time(time.monotonic())
            except Exception:
                self._log.error(f"internal error: {one_line(traceback.format_exc())}")
        self._shut_down(crew)

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
                self._epoll.unregister(door.sock)
        elif self._left:  # a tick later: no thread is accepting any more
            for door in self._left:
                door.sock.close()  # an address that nobody serves any more must not take connections
            self._left = []
        elif not self._board.connections_of(self._slot):
            self._stopping = True

    # --- session threads ---------------------------------------------------

    def _serve(self) -> None:
        while not self._stopping:
            for fd, _ in self._epoll.poll(-1, 1):
                try:
                    self._attend(fd)
                except Exception:
                    self._log.error(f"internal error: {one_line(traceback.format_exc())}")

    def _attend(self, fd: int) -> None:
        conn = self._parked.pop(fd, None)
        if conn is not None:
            try:
                waits = conn.run()
            except Exception:
                # Nobody else has it any more: what is not put away now would hold its mailbox for ever.
                self._log.error(
                    f"client {conn.describe()}: internal error: {one_line(traceback.format_exc())}"
                )
                waits = Next.CLOSE
            self._put(conn, waits)
        elif (door := self._doors.get(fd)) is not None:
            self._let_in(door)
        elif fd == self._answers:
            self._pass_answer()

    def _let_in(self, door: Door) -> None:
        for _ in range(_ACCEPT_AT_ONCE):
            try:
                came = door.accept()
            except OSError as error:
                self._log.error(f"cannot accept connections: {error.strerror}")
                time.sleep(_ACCEPT_PAUSE)
                return
            if came is None:
                return
            fd, transport, peer = came
            if self._board.connections() - self._board.sessions() >= self._plan.most_waiting:
                self._log.warning(
                    f"rejected connection from {peer.client_host} to local address "
                    f"{peer.server_host}:{peer.server_port} owing to high load"
                )
                transport.close()
                continue
            stamp = os.urandom(16).hex().encode()
            conn = Connection(fd, transport, peer, stamp, door.profile, self._plan.habits)
            self._board.connected(self._slot, 1)
            self._lines.connected(conn)
            self._put(conn, conn.greet())

    def _pass_answer(self) -> None:
        """Take one answer and let another thread have the next one while this one opens the mailbox."""
        answer = self._gate.take()
        self._epoll.modify(self._answers, select.EPOLLIN | select.EPOLLONESHOT)
        if answer is not None:
            self._finish_login(*answer)

    def _finish_login(self, conn: Connection, decision: Decision) -> None:
        if decision.verdict is Verdict.GRANTED and decision.challenge and not conn.confirmed:
            conn.granted = decision  # the client has a proof to see before it is let in
            self._put(conn, conn.finish_login(Challenge(decision.challenge)))
            return
        outcome = self._plan.admission.admit(decision)
        if isinstance(outcome, Refusal):
            self._lines.refused(conn, outcome, conn.session.user)
        elif decision.identity is not None:
            self._board.logged_in(self._slot, 1)
            self._lines.began(conn, decision.identity)
        waits = conn.finish_login(outcome)
        if not isinstance(outcome, Refusal | Challenge) and not conn.session.logged_in:
            self._board.logged_in(self._slot, -1)  # the open maildrop could not be used after all
        self._put(conn, waits)

    def _put(self, conn: Connection, waits: Next) -> None:
        """Put a connection where it waits; from then on another thread may own it."""
        if waits is Next.SOCKET:
            self._park(conn, conn.transport.blocked_on)
        elif waits is Next.LOGIN and conn.confirmed and conn.granted is not None:
            self._finish_login(conn, conn.granted)
        elif waits is Next.LOGIN and conn.wanted is not None:
            self._gate.submit(conn, conn.wanted)
        elif waits is Next.TURN:
            self._park(conn, _AT_ONCE)
        elif waits is Next.DELAY:
            self._delayed[conn.fd] = conn
        else:
            self._close(conn)

    def _park(self, conn: Connection, events: int) -> None:
        self._parked[conn.fd] = conn
        if conn.registered:
            self._epoll.modify(conn.fd, events | select.EPOLLONESHOT)
        else:
            conn.registered = True
            self._epoll.register(conn.fd, events | select.EPOLLONESHOT)

    def _close(self, conn: Connection) -> None:
        self._lines.ended(conn)
        self._board.connected(self._slot, -1)
        if conn.session.logged_in:
            self._board.logged_in(self._slot, -1)
        conn.close()

    # --- the main thread ---------------------------------------------------

    def _keep_time(self, now: float) -> None:
        for conn, decision in self._gate.expired(now):
            self._finish_login(conn, decision)
        for fd, conn in list(self._delayed.items()):
            if conn.resume_at <= now and self._delayed.pop(fd, None) is conn:
                self._park(conn, _AT_ONCE)
        for fd, conn in list(self._parked.items()):
            if conn.patience.deadline <= now and self._parked.pop(fd, None) is conn:
                if conn.still_reading():
                    self._put(conn, Next.SOCKET)
                    continue
                conn.time_out()
                self._close(conn)

    def _shut_down(self, crew: Sequence[threading.Thread]) -> None:
        """End idle sessions at once and wait for the busy ones: an UPDATE under way is finished."""
        for fd in self._doors:
            self._epoll.unregister(fd)
        os.write(self._bell_out, b"\0")
        end = time.monotonic() + _GRACE
        for thread in crew:
            thread.join(max(0.0, end - time.monotonic()))
        for fd in list(self._parked):
            conn = self._parked.pop(fd, None)
            if conn is not None:
                self._close(conn)
