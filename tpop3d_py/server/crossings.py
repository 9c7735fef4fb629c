"""Tells once that a limit is reached, and once when it is over, whichever process reaches it.

Under an attack a limit is reached thousands of times a second; a line for each would be an attack on the
log.  The first process that reaches a limit says so and, when nobody has reached it for `CALM` seconds, how
often it was in all processes.

Each process writes its own row of shared memory, nobody locks: two processes that reach a limit in the same
moment may both say so.

When things fail: the master clears the row of a process that died; what it wanted to say nobody says.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

#: Seconds without a hit after which a limit is no longer reached.
CALM = 10.0

_CELL = 8
_MILLI = 1000
#: Cells of one limit in a row: hits ever, when the last was, when this process said so (0: it has not), and
#: the hits of all processes then.
_HITS, _LAST, _SAID, _BASE = range(4)
_WIDTH = 4


class Limit(Enum):
    """What can be reached; the names are labels of the metrics too."""

    CONNECTIONS = "connections"
    SESSIONS = "sessions"
    SESSIONS_OF_ONE = "address"
    WAITING_OF_ONE = "waiting"
    DESCRIPTORS = "descriptors"
    STRESS = "time"


#: What operators know them by.
NAMES = {
    Limit.CONNECTIONS: "max-connections",
    Limit.SESSIONS: "max-children",
    Limit.SESSIONS_OF_ONE: "max-sessions-per-address",
    Limit.WAITING_OF_ONE: "max-waiting-per-address",
    Limit.DESCRIPTORS: "open files",
    Limit.STRESS: "less time for logins",
}
_INDEX = {limit: number for number, limit in enumerate(Limit)}
_ROW = len(_INDEX) * _WIDTH


@dataclass(frozen=True, slots=True)
class Over:
    """A limit that is no longer reached.

    Args:
        limit: which.
        hits: how often it was reached, in all processes.
        seconds: from the first time to the last.
    """

    limit: Limit
    hits: int
    seconds: float


class Crossings:
    """What all processes know of their limits; made by the master before it forks.

    Args:
        rows: how many processes there may be at one time.
    """

    def __init__(self, rows: int) -> None:
        self._map = mmap.mmap(-1, (rows * _ROW + 1) * _CELL)
        cells = memoryview(self._map).cast("q")
        self._used, self._cells = cells[:1], cells[1:]

    def open(self, row: int) -> None:
        """Make room for a process; the master's."""
        self._used[0] = max(self._used[0], (row + 1) * _ROW)

    def hit(self, row: int, limit: Limit, now: float) -> bool:
        """Note that a process has reached a limit; tell whether it should say so.

        Args:
            row: of the process.
            limit: which.
            now: CLOCK_MONOTONIC seconds.
        """
        index = _INDEX[limit] * _WIDTH
        mine, cells = row * _ROW + index, self._cells
        cells[mine + _HITS] += 1
        cells[mine + _LAST] = int(now * _MILLI)
        if any(self._column(index + _SAID)):
            return False
        cells[mine + _BASE] = sum(self._column(index + _HITS)) - 1
        cells[mine + _SAID] = int(now * _MILLI)
        return True

    def hits(self, limit: Limit) -> int:
        """How often living processes have reached a limit."""
        return sum(self._column(_INDEX[limit] * _WIDTH + _HITS))

    def over(self, row: int, now: float) -> Iterator[Over]:
        """Yield the limits that a process has spoken of and that nobody reaches any more."""
        for limit, index in _INDEX.items():
            mine = row * _ROW + index * _WIDTH
            if not (said := self._cells[mine + _SAID]):
                continue
            last = max(self._column(index * _WIDTH + _LAST))
            if now * _MILLI - last >= CALM * _MILLI:
                hits = self.hits(limit) - self._cells[mine + _BASE]
                self._cells[mine + _SAID] = 0
                yield Over(limit, max(hits, 1), max(0, last - said) / _MILLI)

    def clear(self, row: int) -> None:
        """Forget a process that died."""
        for cell in range(row * _ROW, (row + 1) * _ROW):
            self._cells[cell] = 0

    def _column(self, index: int) -> memoryview:
        return self._cells[index : self._used[0] : _ROW]
