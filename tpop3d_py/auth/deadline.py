"""How long the login that is being checked may still take.

An authentication process sets an alarm before each check, whose signal kills it.  A driver that waits for
somebody should give up before that: then the client hears it at once, and nobody has to be replaced.

When things fail: nothing here can.
"""

from __future__ import annotations

import math
import signal

#: Seconds kept for what has to be done with the answer.
_MARGIN = 0.3


def seconds_left() -> float:
    """Return how many seconds a driver may wait; infinity where nobody has set an alarm."""
    left = signal.getitimer(signal.ITIMER_REAL)[0]
    return max(0.0, left - _MARGIN) if left else math.inf
