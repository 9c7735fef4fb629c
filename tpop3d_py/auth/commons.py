"""Memory that all authentication processes share, whoever makes the objects that use it.

In plain mode drivers are made before the fork, and anonymous memory is shared by itself.  In separated mode
each authentication process makes the drivers for itself, from the same settings and so in the same order:
the first piece that one asks for is the first piece of the others.

When things fail: nothing here can; where an arena has no room left, a piece is the process's own.
"""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Iterator

#: Octets of an arena: some hundred times what a driver takes.
SIZE = 1 << 18
_ALIGNED = 64


class Arena:
    """Memory to be divided anew by each process; made before the fork."""

    def __init__(self) -> None:
        self._memory = memoryview(mmap.mmap(-1, SIZE))
        self._taken = 0

    @contextlib.contextmanager
    def dividing(self) -> Iterator[None]:
        """Have `memory` take its pieces here, from the beginning, as long as the block lasts."""
        global _present  # noqa: PLW0603 - one per process, which does this once
        self._taken, before, _present = 0, _present, self
        try:
            yield
        finally:
            _present = before

    def take(self, size: int) -> memoryview | None:
        """Take the next piece; None if it is too large."""
        start, self._taken = self._taken, self._taken + -(-size // _ALIGNED) * _ALIGNED
        return self._memory[start : start + size] if start + size <= SIZE else None


_present: Arena | None = None


def memory(size: int) -> memoryview:
    """Return memory that is shared with all processes that are made of, or like, this one.

    Args:
        size: in octets, which are 0 unless another process was here before.
    """
    piece = _present.take(size) if _present is not None else None
    return memoryview(mmap.mmap(-1, size)) if piece is None else piece
