"""How long a connection is waited for.

Rules: before a login one deadline counts, whatever the client sends.  After it, the time-out
begins anew with every octet that goes out, and every command is answered: so any command
counts, NOOP too (RFC 1939 section 3).  A client that reads slowly is not idle while it reads,
even when the kernel has taken all that there is to send.

When things fail: nothing here can.
"""

from __future__ import annotations

import time
from typing import NamedTuple

#: Part of the idle time-out after which a client that may still be reading is looked at again.
_PROBE = 0.1


class Timeouts(NamedTuple):
    """Seconds; 0 in `idle` never ends a session."""

    idle: float
    login: float


class Patience:
    """The deadline of one connection."""

    __slots__ = ("_new", "_timeouts", "_unread", "deadline")

    def __init__(self, timeouts: Timeouts, started: float) -> None:
        self._timeouts = timeouts
        self._new = True
        self._unread: int | None = None
        #: CLOCK_MONOTONIC seconds at which waiting ends, whatever it is for.
        self.deadline = started + timeouts.login

    def renew(self) -> None:
        """Begin anew: a client that is logged in has taken something."""
        self.deadline = time.monotonic() + self._timeouts.idle if self._timeouts.idle else float("inf")
        self._unread = None
        self._new = False

    def idle(self, now: float) -> float | None:
        """How many seconds ago waiting began; None where it has no end and nobody counts."""
        since = self.deadline - (self._timeouts.login if self._new else self._timeouts.idle)
        return max(0.0, now - since) if since < float("inf") else None

    def still_reading(self, unread: int) -> bool:
        """Tell whether a client whose time is up goes on reading; if so, or perhaps, it gets more time.

        The kernel holds megabytes of a message for a slow client, who has then been sent nothing for a long
        time and is not idle at all.  So it is looked at twice, the second time a little later.

        Args:
            unread: octets that were sent and not taken yet.
        """
        before = self._unread
        if not unread or (before is not None and unread >= before):
            return False
        self.deadline = time.monotonic() + self._timeouts.idle * (_PROBE if before is None else 1)
        self._unread = unread
        return True
