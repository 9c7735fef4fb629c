"""A lookup that leaves a database alone which has just failed.

Without it every login would wait for the time-out of a dead database, one after the other, and
those behind them for longer than any mail program does.  The rules:

- After a failure nobody asks for one second; logins are answered at once that the directory
  cannot be asked.  Then one process asks (the others still answer at once), and its answer
  decides.  The second never grows: service is back when the database is.
- Only a database that is away counts, not one that dislikes a statement: else a login name that the
  server chokes on would keep everybody out.
- A query that has run for `STUCK` seconds counts as a failure as well.  Its process may be about to be
  killed by its deadline, and cannot tell any more.

What is known is in memory that all authentication processes share (see `commons`).  No
locks: each cell is written whole, and the worst race is one query more.

When things fail: `DirectoryDown`, as from the lookup itself.
"""

from __future__ import annotations

import os
import time
from typing import Any, Generic, Protocol, TypeVar

from tpop3d_py.auth.commons import memory
from tpop3d_py.directory.errors import DirectoryDown
from tpop3d_py.log import Log

R_co = TypeVar("R_co", covariant=True)


class Lookup(Protocol[R_co]):
    """What asks the database."""

    def find(self, *question: Any, **named: Any) -> R_co:
        """Return the row that is asked for."""


#: Seconds between a failure and the next question.
PAUSE = 1.0
#: Seconds after which a query counts as failed although it has not come back: more than its time-outs come to
#: where a server is dead, less than the deadline after which its process is killed.
STUCK = 2.6

_NANO = 1_000_000_000
_CELL = 8
#: Cells: when the pause ends (0: the database is well), when the last probe began, when it was first found
#: down; then one for each process: when its query began (0: there is none).
_RESUMES, _PROBED, _SINCE, _QUERIES = 0, 1, 2, 3
#: More than there may be authentication processes, of two generations.
_PROCESSES = 253


class Breaker(Generic[R_co]):
    """A lookup in front of another.

    Args:
        lookup: the one that asks the database.
        name: of the driver, for the log.
        log: told once when the database goes, and once when it is back.
    """

    def __init__(self, lookup: Lookup[R_co], name: str, log: Log) -> None:
        self._lookup = lookup
        self._name = name
        self._log = log
        self._cells = memory((_QUERIES + _PROCESSES) * _CELL).cast("q")
        self._pid = self._row = 0

    def find(self, *question: Any) -> R_co:
        """Return what the lookup finds.

        Raises:
            DirectoryError: whatever the lookup raises.
            DirectoryDown: the database has failed a moment ago.
        """
        now = time.monotonic_ns()
        cells, row = self._cells, self._own_row()
        self._notice_stuck(now)
        if cells[_RESUMES]:
            self._await_turn(now)
        cells[row] = now
        try:
            found = self._lookup.find(*question)
        except DirectoryDown as error:
            self._trip(str(error))
            raise
        finally:
            cells[row] = 0
        if cells[_RESUMES]:
            self._mend()
        return found

    @property
    def is_open(self) -> bool:
        """Whether the database was down when it was last asked."""
        return bool(self._cells[_RESUMES])

    def _own_row(self) -> int:
        """Return this process's cell; two processes with one cell see a stuck query a little later."""
        if self._pid != (pid := os.getpid()):
            self._pid, self._row = pid, _QUERIES + pid % _PROCESSES
        return self._row

    def _notice_stuck(self, now: int) -> None:
        began = min(filter(None, self._cells[_QUERIES:].tolist()), default=now)
        if now - began > STUCK * _NANO:
            for row in range(_QUERIES, len(self._cells)):
                if 0 < self._cells[row] <= began:
                    self._cells[row] = 0
            self._trip(f"a query has not ended within {STUCK:g} s")

    def _await_turn(self, now: int) -> None:
        """Return if this process is to find out how the database is.

        Raises:
            DirectoryDown: it is not.
        """
        cells = self._cells
        if now < cells[_RESUMES] or now - cells[_PROBED] < STUCK * _NANO:
            ago = (now - cells[_SINCE]) / _NANO
            raise DirectoryDown(f"directory not asked: it has been failing for {ago:.1f} s")
        cells[_PROBED] = now

    def _trip(self, why: str) -> None:
        cells, now = self._cells, time.monotonic_ns()
        cells[_PROBED] = 0
        if not cells[_SINCE]:
            cells[_SINCE] = now
            text = "logins that need it are answered [SYS/TEMP]; it is asked once a second"
            self._log.error(f"auth-{self._name}: the database is away ({why}): {text}")
        cells[_RESUMES] = now + int(PAUSE * _NANO)

    def _mend(self) -> None:
        cells = self._cells
        seconds = (time.monotonic_ns() - cells[_SINCE]) / _NANO
        cells[_RESUMES] = cells[_PROBED] = cells[_SINCE] = 0
        self._log.notice(f"auth-{self._name}: the database answers again, after {seconds:.1f} s")
