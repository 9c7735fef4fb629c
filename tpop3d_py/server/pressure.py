"""Who stays and who goes when there are too many clients: one object for each worker.

The rules, for clients that have not logged in:

- A newcomer is let in. Where that makes too many, the oldest connection of the source that has most of them
  is closed; so an attacker's connections go, and of honest clients at worst those that take longest.
- Where one address has too many, its own oldest one is closed.
- A connection that is just being served, or whose password is just being checked, is passed over.
- Not more than `_CLOSED_AT_ONCE` are closed at a time, as long as there are descriptors: newcomers are let in
  beyond the limit then, and the surplus is closed bit by bit.  What is closed at once comes again at once.
- When `STRESS` of all connections are in use, logins get less time.

For logins: over the limit of all sessions, or of those of one address, they are answered [SYS/TEMP].

Counted is over all processes, closed within one's own.  What costs time at an arrival depends neither on the
number of connections nor on that of sources.  Each limit is logged once, see `crossings`.

When things fail: a process lets `_SLACK` clients in even when none of its own can be closed, because all
others belong to another process; beyond that the newcomer is refused.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from itertools import islice, takewhile

from tpop3d_py.contracts import Reason, Refusal
from tpop3d_py.log import Log
from tpop3d_py.server.bounds import Limits
from tpop3d_py.server.connection import Connection
from tpop3d_py.server.crossings import NAMES, Limit
from tpop3d_py.server.deadlines import Deadlines
from tpop3d_py.server.limits import Shared
from tpop3d_py.server.ranking import Ranking, Source
from tpop3d_py.server.sources import SESSIONS, WAITING, source_of

#: Part of the connections in use from which on logins get less time.
STRESS = 0.7
#: Connections a process may have whatever the others have.
_SLACK = 64
#: How many connections are tried at most to close one.
_TRIES = 8
#: Connections closed to make room between two looks at the clock, and those closed at one look because they
#: have taken too long.  An attacker whose connection is closed comes again faster than anybody can be served.
_CLOSED_AT_ONCE, _LATE = 100, 200
#: The ancestor's words, which log watchers know.
_NO_LOGIN = "rejected login owing to high load"


class Pressure:
    """Counts the clients of one worker and keeps them within the limits.

    Args:
        row: of this process in what is shared.
        shared: what the processes know of each other.
        limits: the limits.
        log: told once that a limit is reached, and once when it is over.
        end: closes a connection that has not logged in, for lack of room, and calls `left` for it; tells
            whether it could: nobody may be busy with it just now.
        on_hit: told of each time that a limit is reached, for metrics.
    """

    def __init__(
        self,
        row: int,
        shared: Shared,
        limits: Limits,
        log: Log,
        end: Callable[[Connection], bool],
        on_hit: Callable[[Limit], None] = lambda _limit: None,
    ) -> None:
        self._row = row
        self._board, self._census, self._crossings = shared.board, shared.census, shared.crossings
        self._limits = limits
        self._log = log
        self._end = end
        self._on_hit = on_hit
        self._lock = threading.Lock()
        self._sources: dict[bytes, Source] = {}
        self._spared = Source(b"", ())
        #: In the order in which they came.
        self._waiting: dict[Connection, Source] = {}
        self._sessions: dict[Connection, Source] = {}
        self._ranking = Ranking()
        self._deadlines: Deadlines[Connection] = Deadlines(lambda conn: conn.patience.deadline)
        self._patience = limits.login_seconds
        #: Descriptors in use for clients that another process serves.
        self.relayed = 0
        #: How many may be closed to make room before the next look at the clock.
        self._budget = _CLOSED_AT_ONCE
        #: Sources that had more than their share.
        self._over_share: dict[Source, None] = {}

    # --- what happens to connections ---------------------------------------

    def arrived(self, conn: Connection) -> bool:
        """Count a newcomer, and close somebody where it is one too many; tell whether it may stay."""
        with self._lock:
            source = self._enter(conn)
        self._board.connected(self._row, 1)
        limit = self._exceeded(source)
        return limit is None or self._make_room(conn, source, limit)

    def readdressed(self, conn: Connection) -> None:
        """Count a connection that has not logged in with the address that it has now."""
        with self._lock:
            if conn not in self._waiting:
                return
            self._leave(conn, self._waiting.pop(conn))
            source = self._enter(conn)
        if self._exceeded(source) is Limit.WAITING_OF_ONE:
            self._make_room(conn, source, Limit.WAITING_OF_ONE)

    def logged_in(self, conn: Connection) -> None:
        """Count a session that has begun."""
        with self._lock:
            source = self._waiting.pop(conn)
            self._ranking.remove(source, conn)
            if not source.places:
                source = self._spared  # ten thousand sessions of a webmail host need no source each
            source.sessions += 1
            self._sessions[conn] = source
            self._deadlines.add(conn)
            if source.places:
                self._census.add(self._row, WAITING, source.places, -1)
                self._census.add(self._row, SESSIONS, source.places, 1)
        self._board.logged_in(self._row, 1)

    def left(self, conn: Connection) -> None:
        """Forget a connection that ends; one that never arrived does no harm."""
        with self._lock:
            if (source := self._waiting.pop(conn, None)) is not None:
                self._leave(conn, source)
            elif (source := self._sessions.pop(conn, None)) is not None:
                self._deadlines.remove(conn)
                source.sessions -= 1
                if source.places:
                    self._census.add(self._row, SESSIONS, source.places, -1)
                self._forget(source)
                self._board.logged_in(self._row, -1)
            else:
                return
        self._board.connected(self._row, -1)

    # --- questions ---------------------------------------------------------

    def objection(self, conn: Connection) -> Refusal | None:
        """Tell why a login that was granted has to wait; None if it has not."""
        limits = self._limits
        if self._board.sessions() >= limits.sessions:
            self._hit(Limit.SESSIONS, f"{_NO_LOGIN}: max-children is reached ({limits.sessions} sessions)")
            return Refusal(Reason.BUSY, "max-children is reached")
        source = self._waiting.get(conn)
        most = limits.sessions_of_one
        if not (most and source and source.places):
            return None
        if self._census.count(SESSIONS, source.places) < most:
            return None
        why = f"max-sessions-per-address is reached ({most} sessions) by {conn.peer.client_host}"
        self._hit(Limit.SESSIONS_OF_ONE, f"{_NO_LOGIN}: {why}")
        return Refusal(Reason.BUSY, why)

    def everybody(self) -> list[Connection]:
        """List all connections, those that have not logged in first."""
        with self._lock:
            return [*self._waiting, *self._sessions]

    def make_room(self, why: str) -> bool:
        """Close somebody because this process ran out of something; tell whether it could.

        Args:
            why: for the log, what it ran out of.
        """
        self.out_of_descriptors(why)
        with self._lock:
            oldest = list(islice(self._ranking.oldest(), _TRIES))
        return any(self._end(conn) for conn in oldest)

    def out_of_descriptors(self, why: str) -> None:
        """Note that clients cannot be accepted."""
        self._hit(Limit.DESCRIPTORS, f"cannot accept connections: {why}")

    def due(self, now: float) -> list[Connection]:
        """List the connections whose time may be over; call it every second at least.

        Those that have not logged in are late; of the others the deadline was over a moment ago.
        """
        self._feel(now)
        self._close_surplus()
        with self._lock:
            late = list(
                islice(takewhile(lambda conn: conn.started + self._patience <= now, self._waiting), _LATE)
            )
            late.extend(self._deadlines.due(now))
        return late

    # --- how it works; where the lock is needed, the caller has it ----------

    def _enter(self, conn: Connection) -> Source:
        host = conn.peer.client_host
        if self._limits.exempt.contains(host):
            source = Source(b"", ())  # each connection on its own: nobody's share is too large
        else:
            key = source_of(host)
            found = self._sources.get(key)
            source = found or self._sources.setdefault(key, Source(key, self._census.places_of(key)))
            self._census.add(self._row, WAITING, source.places, 1)
        self._waiting[conn] = source
        self._ranking.add(source, conn)
        return source

    def _leave(self, conn: Connection, source: Source) -> None:
        self._ranking.remove(source, conn)
        if source.places:
            self._census.add(self._row, WAITING, source.places, -1)
        self._forget(source)

    def _forget(self, source: Source) -> None:
        if not source.waiting and not source.sessions:
            self._sources.pop(source.key, None)

    def _exceeded(self, source: Source) -> Limit | None:
        limits = self._limits
        if self._files() > limits.here:
            return Limit.DESCRIPTORS
        if self._board.connections() > limits.connections:
            return Limit.CONNECTIONS
        # Where this is the only one here there is none to close; another process has the others.
        if source.places and limits.waiting_of_one and len(source.waiting) > 1:
            over = self._census.count(WAITING, source.places) > limits.waiting_of_one
            return Limit.WAITING_OF_ONE if over else None
        return None

    def _make_room(self, newcomer: Connection, source: Source, limit: Limit) -> bool:
        of_one = limit is Limit.WAITING_OF_ONE
        with self._lock:
            found = islice(source.waiting if of_one else self._ranking.oldest(), _TRIES)
            oldest = [conn for conn in found if conn is not newcomer]
            if of_one:
                self._over_share[source] = None
        self._hit(limit, self._about(limit, oldest[0] if oldest else newcomer))
        if limit is not Limit.DESCRIPTORS and self._budget <= 0:
            return True  # there are descriptors; see _close_surplus
        self._budget -= 1
        if any(self._end(conn) for conn in oldest):
            return True
        if of_one or (limit is Limit.CONNECTIONS and len(self._waiting) <= _SLACK):
            return True
        self.left(newcomer)
        return False

    def _close_surplus(self) -> None:
        """Close what was too much since the last time, but not all at once."""
        self._budget = _CLOSED_AT_ONCE
        with self._lock:
            shares = {source: over for source in self._over_share if (over := self._over(source))}
            self._over_share = dict.fromkeys(shares)
            victims = [conn for over in shares.values() for conn in over]
            total = self._board.connections()
            # The other processes see the same surplus; each closes its part.
            surplus = (total - self._limits.connections) * len(self._waiting) / max(total, 1)
            victims.extend(islice(self._ranking.oldest(), max(0, math.ceil(surplus))))
        for conn in islice(victims, _CLOSED_AT_ONCE):
            self._budget -= self._end(conn)

    def _over(self, source: Source) -> list[Connection]:
        """List the oldest connections of a source that are more than its share."""
        over = self._census.count(WAITING, source.places) - self._limits.waiting_of_one
        return list(islice(source.waiting, max(0, min(over, _CLOSED_AT_ONCE))))

    def _files(self) -> int:
        """Descriptors that the clients of this process may use."""
        return len(self._waiting) + 2 * len(self._sessions) + self.relayed

    def _about(self, limit: Limit, conn: Connection) -> str:
        peer, limits = conn.peer, self._limits
        reached = {
            Limit.CONNECTIONS: f"max-connections is reached ({limits.connections})",
            Limit.WAITING_OF_ONE: f"max-waiting-per-address is reached ({limits.waiting_of_one})",
        }.get(limit, f"a process may have {limits.here} files of clients open")
        return (
            f"rejected connection from {peer.client_host} to local address "
            f"{peer.server_host}:{peer.server_port} owing to high load: {reached}; "
            "the oldest without a login go first"
        )

    def _hit(self, limit: Limit, text: str) -> None:
        self._on_hit(limit)
        if self._crossings.hit(self._row, limit, time.monotonic()):
            self._log.warning(f"{text} (told once until it is over)")

    def _feel(self, now: float) -> None:
        """Find out whether there is stress, and what is over."""
        limits = self._limits
        used = self._board.connections() / limits.connections
        stressed = max(used, self._files() / limits.here) >= STRESS
        self._patience = min(limits.login_seconds, limits.stressed_seconds if stressed else math.inf)
        if stressed:
            seconds = limits.stressed_seconds
            text = f"high load: {STRESS:.0%} of all connections are in use: logins get {seconds:g} s"
            self._hit(Limit.STRESS, text)
        for over in self._crossings.over(self._row, now):
            name = NAMES[over.limit]
            self._log.notice(f"high load: {name}: over after {over.seconds:.0f} s, {over.hits} times")
