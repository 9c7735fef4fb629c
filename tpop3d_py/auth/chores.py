"""What follows from a login but must not hold it up: new forms of old passwords, notes to databases.

Drivers put chores in; the authentication process does them one by one when it has sent its answer and nobody
waits for the next (`server.authenticator`), each within the same deadline as a login.  While it is busy they
wait, and when too many do the oldest are dropped: all of them are things that the next login brings again.

When things fail: a chore that raises is logged; one that hangs takes its process with it, as a login would.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from tpop3d_py.log import Log, printable

_MOST = 100

Chore = Callable[[], None]


class Chores:
    """Chores that wait; of one process, since each has a copy from its fork on.

    Args:
        log: for chores that raise.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._waiting: deque[Chore] = deque(maxlen=_MOST)

    def add(self, chore: Chore) -> None:
        """Have something done soon."""
        self._waiting.append(chore)

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self._waiting)

    def do_one(self) -> None:
        """Do what has waited longest."""
        chore = self._waiting.popleft()
        try:
            chore()
        except Exception as error:  # whatever it raises, it was nobody's login
            self._log.error(f"after a login: {type(error).__name__}: {printable(str(error))}")
