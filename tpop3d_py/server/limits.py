"""Counters that all workers see: how many clients there are, and how many are logged in.

Each worker writes its own two cells of a shared, anonymous memory map; a total
is the sum over all.  No locks: a total may be a session old, which a limit can
bear.  (The lock is for the threads of one worker: adding is not atomic in Python.)

When things fail: the master zeroes the cells of a worker that died.
"""

from __future__ import annotations

import mmap
import threading

_CELL = 8
_KINDS = 2


class Board:
    """The shared counters; made by the master before it forks."""

    def __init__(self, workers: int) -> None:
        self._map = mmap.mmap(-1, max(workers, 1) * _KINDS * _CELL)
        self._cells = memoryview(self._map).cast("q")
        self._lock = threading.Lock()

    def connected(self, worker: int, change: int) -> None:
        """Count a connection that came (1) or went (-1)."""
        with self._lock:
            self._cells[worker * _KINDS] += change

    def logged_in(self, worker: int, change: int) -> None:
        """Count a session that began (1) or ended (-1)."""
        with self._lock:
            self._cells[worker * _KINDS + 1] += change

    def connections(self) -> int:
        """How many connections there are in all workers."""
        return sum(self._cells[0::_KINDS])

    def sessions(self) -> int:
        """How many of them are logged in."""
        return sum(self._cells[1::_KINDS])

    def clear(self, worker: int) -> None:
        """Forget a worker that died."""
        self._cells[worker * _KINDS] = self._cells[worker * _KINDS + 1] = 0
