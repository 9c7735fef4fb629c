"""The login cache in separated mode: it lives in the authentication processes.

In plain mode each worker remembers logins.  Here a worker must not know where mail lies, so whoever checks
logins remembers them; what the workers are told to forget they pass on by a counter in shared memory.

When things fail: nothing here can.
"""

from __future__ import annotations

import mmap
import time
from collections.abc import Callable

from tpop3d_py.contracts import Credentials, Decision, LoginMemory


class Oblivion:
    """How often something was to be forgotten; made by the master before it forks."""

    def __init__(self) -> None:
        self._cell = memoryview(mmap.mmap(-1, 8)).cast("q")

    def ask(self) -> None:
        """Have every authentication process forget all logins."""
        self._cell[0] = time.monotonic_ns()

    @property
    def asked(self) -> int:
        """Another number after each time."""
        return self._cell[0]


class Remembering:
    """A check of logins that remembers.

    Args:
        decide: checks a login.
        make: makes an empty memory.
        oblivion: tells when to begin with an empty one.
    """

    def __init__(
        self, decide: Callable[[Credentials], Decision], make: Callable[[], LoginMemory], oblivion: Oblivion
    ) -> None:
        self._decide = decide
        self._make = make
        self._oblivion = oblivion
        self._seen = oblivion.asked
        self._memory = make()

    def __call__(self, credentials: Credentials) -> Decision:
        """Answer a login, by memory where that is possible."""
        asked = self._oblivion.asked
        if asked != self._seen:
            self._seen, self._memory = asked, self._make()
        known = self._memory.recall(credentials)
        if known is not None:
            return known
        began = time.monotonic()
        decision = self._decide(credentials)
        if self._oblivion.asked == self._seen:
            self._memory.learn(credentials, decision, began)
        return decision
