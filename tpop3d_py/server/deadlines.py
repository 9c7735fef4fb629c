"""When somebody's patience with a session is over, without looking at every session.

Sessions stand in buckets of one second, by the deadline they had when they were put there.  One that
does something gets a later deadline and stays where it stands: only when its bucket is due is it looked at,
and put into the right one.  So a command costs nothing here, and the clock costs what is due.

One thread at a time.  When things fail: nothing here can.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Waiter = TypeVar("Waiter")


class Deadlines(Generic[Waiter]):
    """Waiters by their deadlines.

    Args:
        deadline_of: tells the deadline that a waiter has now, in CLOCK_MONOTONIC seconds; infinity: none.
    """

    def __init__(self, deadline_of: Callable[[Waiter], float]) -> None:
        self._deadline_of = deadline_of
        self._buckets: dict[int, dict[Waiter, None]] = {}
        self._place: dict[Waiter, int] = {}
        self._looked_at = 0

    def __len__(self) -> int:
        return len(self._place)

    def add(self, waiter: Waiter) -> None:
        """Begin to watch a waiter; one without a deadline is not watched."""
        deadline = self._deadline_of(waiter)
        if deadline < math.inf:
            # A deadline within the second under way is looked at with the next one.
            number = max(math.ceil(deadline), self._looked_at + 1)
            self._place[waiter] = number
            self._buckets.setdefault(number, {})[waiter] = None

    def remove(self, waiter: Waiter) -> None:
        """Watch a waiter no longer; one that is not watched is none of ours."""
        number = self._place.pop(waiter, None)
        if number is not None and (bucket := self._buckets.get(number)) is not None:
            bucket.pop(waiter, None)
            if not bucket:
                del self._buckets[number]

    def due(self, now: float) -> Iterator[Waiter]:
        """Yield those whose deadline is over; until they are removed they come again each second."""
        last, self._looked_at = self._looked_at, max(int(now), self._looked_at)
        for number in self._numbers(last, self._looked_at):
            for waiter in self._buckets.pop(number, ()):
                del self._place[waiter]
                late = self._deadline_of(waiter) <= now
                self.add(waiter)
                if late:
                    yield waiter

    def _numbers(self, last: int, now: int) -> list[int]:
        if now - last < len(self._buckets):
            return list(range(last + 1, now + 1))
        return sorted(number for number in self._buckets if number <= now)
