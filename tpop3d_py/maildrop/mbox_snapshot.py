"""What is known of an mbox: where its messages lie, and how to tell whether that still holds.

When things fail: nothing here reads content; `Mark.of` raises `OSError`.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Sequence
from itertools import accumulate
from operator import add
from typing import NamedTuple

from tpop3d_py.maildrop.columns import Octets

SAMPLE = 512  # octets of a message that its sample covers at most


class Mark(NamedTuple):
    """The state of a file by which a change of it is noticed."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, fd: int) -> Mark:
        """Return the mark of an open file."""
        st = os.fstat(fd)
        return cls(st.st_dev, st.st_ino, st.st_size, st.st_mtime_ns, st.st_ctime_ns)


#: The columns of a snapshot and how wide they are.
COLUMNS = (("starts", "Q"), ("ends", "Q"), ("heads", "H"), ("tails", "B"), ("sizes", "Q"), ("samples", "I"))


class MboxSnapshot:
    """The messages of an mbox, in columns.

    Attributes:
        length: octets of the file that were indexed.
        starts: offset of each message's From_ line.
        ends: offset behind each message and its empty line.
        heads: octets of each From_ line.
        tails: octets of the empty line behind each message: 0, 1 or 2.
        sizes: octets on the wire.
        samples: CRC-32 of the first octets, at most 512, from the From_ line on.
        mark: the file when it was indexed.
        is_proven: a file with this mark is what was indexed, all of it; else samples must be looked at.
        digests: what identifiers are made of, one per message.
        are_unique: no two digests are the same.
        uids: identifiers; None until they are asked for.
    """

    __slots__ = (
        "are_unique",
        "digests",
        "ends",
        "heads",
        "is_proven",
        "length",
        "mark",
        "samples",
        "sizes",
        "starts",
        "tails",
        "uids",
    )

    def __init__(self) -> None:
        self.length = 0
        self.starts = array("Q")
        self.ends = array("Q")
        self.heads = array("H")
        self.tails = array("B")
        self.sizes = array("Q")
        self.samples = array("I")
        self.mark = Mark(0, 0, 0, 0, 0)
        self.is_proven = False
        self.digests = Octets()
        self.are_unique = False
        self.uids: Octets | None = None

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def weight(self) -> int:
        """Approximate memory in octets, identifiers included."""
        return 120 * len(self.starts) + 500

    def content_length(self, index: int) -> int:
        """Return the stored octets of a message, without From_ line and without the empty line behind it."""
        return self.ends[index] - self.starts[index] - self.heads[index] - self.tails[index]

    def sample_length(self, index: int) -> int:
        """Return how many octets a message's sample covers."""
        return min(SAMPLE, self.heads[index] + self.content_length(index))

    def begins_with(self, older: MboxSnapshot) -> bool:
        """Tell whether every message of an older snapshot is here, at its old place and unchanged."""
        count = len(older)
        columns = ("starts", "heads", "sizes", "samples")
        return all(getattr(self, column)[:count] == getattr(older, column) for column in columns)

    def without(self, deleted: Sequence[int]) -> MboxSnapshot:
        """Return what is left once messages, given by ascending indexes, are gone from the file."""
        left = MboxSnapshot()
        gone = set(deleted)
        kept = [index for index in range(len(self)) if index not in gone]
        for name, kind in COLUMNS:
            column = getattr(self, name)
            setattr(left, name, array(kind, [column[index] for index in kept]))
        lengths = [end - start for start, end in zip(left.starts, left.ends, strict=True)]
        first = self.starts[0] if len(self) else 0
        left.starts = array("Q", accumulate(lengths[:-1], initial=first)) if kept else array("Q")
        left.ends = array("Q", map(add, left.starts, lengths))
        left.length = left.ends[-1] if kept else first
        left.are_unique = self.are_unique
        left.digests = Octets(self.digests[index] for index in kept)
        return left
