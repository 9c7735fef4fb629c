"""A table of fixed size in memory that all processes share: what went wrong for whom, from where.

An entry is one user's from one network, or one network's.  It holds the two as keyed hashes and sixty-four
bits, of which whatever is counted sets one: setting it again changes nothing, so the same thing counts
once, and how many are set tells how many different things there were (Whang and others, A linear-time
probabilistic counting algorithm, 1990).

Rules: an entry stands in one of few places behind the one that its hash says; the one that has been quiet
longest makes room for another, so the table never grows.  Nobody locks: two processes that write at once may
lose a bit, or an entry, which then is one wrong password more that somebody may try.

When things fail: nothing here can.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator

#: Cells of an entry: whose, from where, the bits, CLOCK_MONOTONIC seconds of the last new one.
_USER, _NETWORK, _BITS, _SEEN = range(4)
_WIDTH = 4
_CELL = 8
#: Places where an entry may stand.
_PLACES = 8
BITS = 64
#: How many different things there were, most likely, by the number of bits set; nobody can tell beyond that.
ESTIMATES = (*(round(-BITS * math.log(1 - n / BITS)) for n in range(BITS)), 10 * BITS)


class Wrongs:
    """The entries; made by the master before its first fork.

    Args:
        entries: how many there can be; a power of two.
    """

    def __init__(self, entries: int = 65_536) -> None:
        if entries < _PLACES or entries & (entries - 1):
            raise ValueError("the number of entries must be a power of two")
        self._mask = entries - 1
        self._cells = memoryview(mmap.mmap(-1, entries * _WIDTH * _CELL)).cast("Q")

    def bits(self, user: int, network: int, since: float) -> int:
        """Return what is set for a user from a network; 0 if nothing was since then (CLOCK_MONOTONIC)."""
        at = self._find(user, network)
        return 0 if at is None or self._cells[at + _SEEN] < since else self._cells[at + _BITS]

    def add(self, user: int, network: int, bits: int, now: float, since: float) -> tuple[int, int]:
        """Set bits; return all that were set before and after.

        Args:
            user: hash of whose entry it is; 0: the network's own.
            network: hash of the network; not 0.
            bits: to be set.
            now: CLOCK_MONOTONIC seconds.
            since: what was not touched since then counts no more.
        """
        before = self.bits(user, network, since)
        after = before | bits
        if after != before:
            self._write(user, network, after, now)
        return before, after

    def touch(self, user: int, network: int, now: float) -> None:
        """Note that an entry, with all bits set, is of this moment."""
        self._write(user, network, 2**BITS - 1, now)

    def clear(self, user: int, network: int) -> None:
        """Forget an entry."""
        at = self._find(user, network)
        if at is not None:
            self._cells[at + _BITS] = 0

    def forgive(self, thing: int) -> int:
        """Forget all entries of a user or network; return how many there were."""
        found = [at for at in range(0, len(self._cells), _WIDTH) if thing in self._cells[at : at + _BITS]]
        forgiven = [at for at in found if self._cells[at + _BITS]]
        for at in forgiven:
            self._cells[at + _BITS] = 0
        return len(forgiven)

    def _write(self, user: int, network: int, bits: int, now: float) -> None:
        cells, at = self._cells, self._find(user, network)
        if at is None:
            at = min(self._places(user, network), key=lambda place: cells[place + _SEEN])
            cells[at + _BITS] = 0  # first: whoever is here next must not be blamed for another
            cells[at + _USER], cells[at + _NETWORK] = user, network
        cells[at + _SEEN], cells[at + _BITS] = int(now), bits

    def _find(self, user: int, network: int) -> int | None:
        cells = self._cells
        for at in self._places(user, network):
            if cells[at + _NETWORK] == network and cells[at + _USER] == user:
                return at
        return None

    def _places(self, user: int, network: int) -> Iterator[int]:
        first = user ^ network
        return (((first + n) & self._mask) * _WIDTH for n in range(_PLACES))


def count(bits: int) -> int:
    """Estimate how many different things have set these bits."""
    return ESTIMATES[bits.bit_count()]
