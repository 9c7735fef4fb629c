"""Counters that all workers see: how many clients there are, and how many are logged in.

Each process writes its own two cells of a shared, anonymous memory map; a total
is the sum over all.  No locks: a total may be a session old, which a limit can
bear.  (The lock is for the threads of one worker: adding is not atomic in Python.)

When things fail: the master zeroes the cells of a process that died.
"""

from __future__ import annotations

import mmap
import threading
from dataclasses import dataclass

from tpop3d_py.server.crossings import Crossings
from tpop3d_py.server.sources import Census

_CELL = 8
_KINDS = 2


class Board:
    """The shared counters; made by the master before it forks.

    Args:
        rows: how many processes there may be at one time.
    """

    def __init__(self, rows: int) -> None:
        self._map = mmap.mmap(-1, (max(rows, 1) * _KINDS + 1) * _CELL)
        cells = memoryview(self._map).cast("q")
        #: How many cells were ever used: what a total has to look at.
        self._used, self._cells = cells[:1], cells[1:]
        self._lock = threading.Lock()

    def open(self, row: int) -> None:
        """Make room in the totals for a process; the master's."""
        self._used[0] = max(self._used[0], (row + 1) * _KINDS)

    def connected(self, row: int, change: int) -> None:
        """Count a connection that came (1) or went (-1)."""
        with self._lock:
            self._cells[row * _KINDS] += change

    def logged_in(self, row: int, change: int) -> None:
        """Count a session that began (1) or ended (-1)."""
        with self._lock:
            self._cells[row * _KINDS + 1] += change

    def connections(self) -> int:
        """How many connections there are in all workers."""
        return sum(self._cells[0 : self._used[0] : _KINDS])

    def sessions(self) -> int:
        """How many of them are logged in."""
        return sum(self._cells[1 : self._used[0] : _KINDS])

    def connections_of(self, row: int) -> int:
        """How many connections one process has."""
        return self._cells[row * _KINDS]

    def clear(self, row: int) -> None:
        """Forget a process that died."""
        self._cells[row * _KINDS] = self._cells[row * _KINDS + 1] = 0


@dataclass(frozen=True, slots=True)
class Shared:
    """What the processes know of each other; made by the master before it forks."""

    board: Board
    census: Census
    crossings: Crossings

    @classmethod
    def for_rows(cls, rows: int) -> Shared:
        """Make it for so many processes at one time."""
        return cls(Board(rows), Census(rows), Crossings(rows))

    def open(self, row: int) -> None:
        """Make room for a process; the master's."""
        for part in (self.board, self.census, self.crossings):
            part.open(row)

    def clear(self, row: int) -> None:
        """Forget a process that died."""
        for part in (self.board, self.census, self.crossings):
            part.clear(row)
