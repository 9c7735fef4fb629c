"""Signals in processes that the master has started.

A new process has the signals of `HELD` blocked until it can obey them: one that
comes in its first moments waits, and neither kills it nor gets lost.

When things fail: nothing here can.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from types import FrameType

Handler = Callable[[int, FrameType | None], object]
#: Stop; open the log files anew; serve whom there is and then end.
HELD = frozenset({signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2})


def hear(handlers: Mapping[signal.Signals, Handler]) -> None:
    """Obey signals from now on; a handler must do next to nothing, since it may interrupt anything."""
    for number, handler in handlers.items():
        signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD)
