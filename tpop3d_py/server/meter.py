"""What a process counts: events turned into figures of its row of the `tally`.

A `Meter` belongs to a worker, a `CheckMeter` to an authentication process.  Without metrics there is none,
and counting costs nothing.  Octets, messages and the length of a session are counted when it ends, so that
sending costs nothing either.

When things fail: nothing here can.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from tpop3d_py.contracts import Credentials, Decision, Identity, Maildrop, Refusal
from tpop3d_py.pop3.replies import Reply
from tpop3d_py.server import figures
from tpop3d_py.server.admission import OpenMaildrop
from tpop3d_py.server.connection import Connection
from tpop3d_py.server.crossings import Limit
from tpop3d_py.server.habits import Client, Trace
from tpop3d_py.server.tally import note_answer

_VERBS = {verb.encode(): figures.COMMANDS.cell(verb) for verb in figures.VERBS}
_NO_VERB = figures.COMMANDS.cell("other")
_TIMED = {verb.encode(): verb for (verb,) in figures.COMMAND_SECONDS.cells}
_CODES = {code: figures.ERRORS.cell(code) for (code,) in figures.ERRORS.cells}
_NO_CODE = figures.ERRORS.cell(figures.NO_CODE)
_CONNECTIONS = figures.CONNECTIONS.cell()
_RECEIVED, _SENT = figures.RECEIVED.cell(), figures.SENT.cell()
_RETRIEVED, _RETRIEVED_OCTETS = figures.RETRIEVED.cell(), figures.RETRIEVED_OCTETS.cell()
_EVICTED = figures.EVICTED.cell()
_DELETED, _MISTAKES = figures.DELETED.cell(), figures.MISTAKES.cell()


class Meter:
    """Counts what a worker's clients do.

    Args:
        row: of the worker.
    """

    def __init__(self, row: memoryview) -> None:
        self._row = row
        self._under_way: dict[int, tuple[str, float]] = {}

    def connected(self) -> None:
        """Count a client that came."""
        self._row[_CONNECTIONS] += 1

    def began(self, conn: Connection, identity: Identity) -> None:
        """Count a login that was granted and whose mailbox is open."""
        self._answered(conn, figures.GRANTED, identity.driver)

    def refused(self, conn: Connection, refusal: Refusal) -> None:
        """Count a login that was not granted, or whose mailbox could not be opened."""
        self._answered(conn, refusal.reason.name.lower(), "none")

    def timing(self, open_maildrop: OpenMaildrop) -> OpenMaildrop:
        """Return what opens mailboxes, timed; those that cannot be opened are counted too."""

        def timed(identity: Identity) -> Maildrop:
            began = time.monotonic()
            try:
                return open_maildrop(identity)
            finally:
                figures.OPEN_SECONDS.observe(self._row, time.monotonic() - began)

        return timed

    def hit(self, limit: Limit) -> None:
        """Count that a limit was reached."""
        self._row[figures.LIMITS_HIT.cell(limit.value)] += 1

    def throttled(self, outcome: str) -> None:
        """Count a login that was held back."""
        self._row[figures.THROTTLED.cell(outcome)] += 1

    def ended(self, conn: Connection) -> None:
        """Count a connection that is over, with what was done on it."""
        row, counters = self._row, conn.session.counters
        row[figures.CLOSED.cell(conn.ending)] += 1
        if conn.ending == figures.CROWDED_OUT:
            row[_EVICTED] += 1
        row[_RECEIVED] += conn.received
        row[_SENT] += conn.sent
        row[_RETRIEVED] += counters.retrieved
        row[_RETRIEVED_OCTETS] += counters.octets
        row[_DELETED] += counters.deleted
        row[_MISTAKES] += counters.errors
        if conn.session.logged_in:
            figures.SESSION_SECONDS.observe(row, time.monotonic() - conn.started)

    def heard(self, conn: Client, line: bytes, secret: bool) -> None:
        """Count a command; the Trace of a connection."""
        if secret:
            return
        verb = line.lstrip(b" ").partition(b" ")[0].upper()
        self._row[_VERBS.get(verb, _NO_VERB)] += 1
        timed = _TIMED.get(verb)
        if timed is not None:
            self._under_way[conn.fd] = timed, time.monotonic()

    def said(self, conn: Client, reply: Reply) -> None:
        """Count a refusal, and how long the answer took; the Trace of a connection."""
        if not reply.ok:
            self._row[_NO_CODE if reply.code is None else _CODES[reply.code.value]] += 1
        if self._under_way and (began := self._under_way.pop(conn.fd, None)) is not None:
            verb, at = began
            figures.COMMAND_SECONDS.observe(self._row, time.monotonic() - at, verb)

    def _answered(self, conn: Connection, result: str, driver: str) -> None:
        mechanism = conn.wanted.mechanism.value if conn.wanted is not None else "other"
        self._row[figures.LOGINS.cell(result, mechanism, driver)] += 1
        figures.LOGIN_SECONDS.observe(self._row, time.monotonic() - conn.asked_at)


class Both:
    """Two traces of the same connections.

    Args:
        first: is told first.
        second: is told second.
    """

    def __init__(self, first: Trace, second: Trace) -> None:
        self._traces = first, second

    def heard(self, conn: Client, line: bytes, secret: bool) -> None:
        """Pass a command on."""
        for trace in self._traces:
            trace.heard(conn, line, secret)

    def said(self, conn: Client, reply: Reply) -> None:
        """Pass a reply on."""
        for trace in self._traces:
            trace.said(conn, reply)


class CheckMeter:
    """Counts what an authentication process does.

    Args:
        row: of the process.
    """

    def __init__(self, row: memoryview) -> None:
        self._row = row

    def watching(self, decide: Callable[[Credentials], Decision]) -> Callable[[Credentials], Decision]:
        """Return the same check, counted and timed."""

        def watched(credentials: Credentials) -> Decision:
            began = time.monotonic()
            decision = decide(credentials)
            figures.CHECK_SECONDS.observe(self._row, time.monotonic() - began)
            self._row[figures.CHECKS.cell(decision.verdict.value)] += 1
            return decision

        return watched

    def asked(self, seconds: float, answered: bool) -> None:
        """Count a question to the database and how long it took; `answered` tells whether it was."""
        figures.SQL_SECONDS.observe(self._row, seconds)
        self._row[figures.SQL_QUERIES.cell("ok" if answered else "failed")] += 1
        if answered:
            note_answer(self._row)
