"""What the master holds for processes of its own making, so that each new one can close what is not its own.

The master keeps both ends of every channel, over all readings of the settings; a new process has copies of
all of them.  In separated mode a channel too many would be a way around the separation.

When things fail: nothing here can.
"""

from __future__ import annotations

import weakref
from collections.abc import Collection, Iterable
from typing import Protocol


class End(Protocol):
    """One end of a channel, or whatever else has a descriptor."""

    def close(self) -> None:
        """Close it; may be called more than once."""


class Holder(Protocol):
    """Who holds some of them."""

    def everything(self) -> Iterable[End]:
        """Return all that is held."""


class Estate:
    """All holders that are still in use."""

    def __init__(self) -> None:
        self._holders: weakref.WeakSet[Holder] = weakref.WeakSet()

    def add(self, holder: Holder) -> None:
        """Take note of a holder."""
        self._holders.add(holder)

    def leave(self, own: Collection[End]) -> None:
        """In a new process: close everything but what is its own."""
        kept = {id(end) for end in own}
        for holder in self._holders:
            for end in holder.everything():
                if id(end) not in kept:
                    end.close()
