"""What is known of a maildir: its messages at one moment, and how to tell whether that still holds.

A later open may use the whole snapshot without looking at a single message if `signature()` is what it
was: every delivery, removal or rename changes the modification time of its folder.  A folder modified within
the last 50 ms could change again within the same tick of the clock, so it gets a mark that no folder has (the
rule git calls racy).

When things fail: a folder that is none, or cannot be examined, is an `OSError`.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from array import array
from collections.abc import Iterator, Sequence
from operator import sub
from typing import overload

from tpop3d_py.maildrop.columns import Octets
from tpop3d_py.maildrop.uidl import LONGEST, Style, maildir_uids

RACY_NS = 50_000_000
_CLEAN = re.compile(rb"[\x21-\x7e]*")

FolderMark = tuple[int, int, int, int] | None
"""Device, inode, modification time in ns, owner; None if the folder is not there."""

Signature = tuple[tuple[bytes, FolderMark], ...]
"""Each folder, relative to the maildir, and its mark."""

#: Stands in a snapshot for a folder whose time cannot be trusted.
UNSETTLED: FolderMark = (0, 0, 0, 0)


class Snapshot:
    """The messages of a maildir, in columns; immutable and shared by sessions.

    Args:
        signature: what `signature` said before the scan, with `UNSETTLED` marks.
        places: where each message lies, relative to the maildir.
        stored: octets of each file.
        mtimes: modification time of each file, in ns.
        sizes: octets of each message on the wire.
    """

    __slots__ = ("_names_serve", "_uids", "mtimes", "places", "signature", "sizes", "stored")

    def __init__(
        self,
        signature: Signature,
        places: Octets,
        stored: array[int],
        mtimes: array[int],
        sizes: array[int],
    ) -> None:
        self.signature = signature
        self.places = places
        self.stored = stored
        self.mtimes = mtimes
        self.sizes = sizes
        self._uids: Sequence[bytes] | None = None
        self._names_serve: bool | None = None

    @property
    def names_serve(self) -> bool:
        """Whether the base names can be identifiers as they are."""
        if self._names_serve is None:
            self._names_serve = BaseNames(self.places).serve()
        return self._names_serve

    @names_serve.setter
    def names_serve(self, known: bool) -> None:
        self._names_serve = known

    def uids(self, style: Style) -> Sequence[bytes]:
        """Return identifiers, made when first asked for; a process uses one style."""
        if self._uids is None:  # two threads may both make them: they make the same
            names = BaseNames(self.places)
            own = style is not Style.TPOP3D and self.names_serve
            self._uids = names if own else maildir_uids(names, style)
        return self._uids

    @property
    def weight(self) -> int:
        """Approximate memory in octets, without identifiers."""
        return self.places.weight + 24 * len(self.sizes) + 500


class BaseNames(Sequence[bytes]):
    """The base names of places; a view, so that they need not be held twice."""

    __slots__ = ("_places",)

    def __init__(self, places: Octets) -> None:
        self._places = places

    def serve(self) -> bool:
        """Tell whether all of them can be identifiers as they are, without holding them all."""
        lengths = map(sub, self._places.ends[1:], self._places.ends)
        if not (_CLEAN.fullmatch(self._places.blob) and max(lengths, default=0) <= LONGEST):
            return False
        hashes = set(map(hash, self))
        return len(hashes) == len(self) and hash(b"") not in hashes

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> bytes: ...

    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...

    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        if isinstance(index, slice):
            return [base_name(place) for place in self._places[index]]
        return base_name(self._places[index])

    def __iter__(self) -> Iterator[bytes]:
        return map(base_name, self._places)


def base_name(place: bytes) -> bytes:
    """Return the part of ``new/NAME`` or ``cur/NAME:FLAGS`` that never changes."""
    return place.rpartition(b"/")[2].partition(b":")[0]


def signature(path: str, folders: Sequence[bytes]) -> Signature:
    """Describe folders of a maildir so that any delivery or removal changes the description.

    Raises:
        OSError: one is not a folder, or cannot be examined.
    """
    root = os.fsencode(path) + b"/"
    return tuple((folder, _folder_mark(root + folder)) for folder in folders)


def _folder_mark(path: bytes) -> FolderMark:
    try:
        st = os.lstat(path)
    except FileNotFoundError:
        return None  # not delivered to yet
    if not stat.S_ISDIR(st.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
    return st.st_dev, st.st_ino, st.st_mtime_ns, st.st_uid


def settled(marks: Signature, now_ns: int) -> Signature:
    """Replace the marks of folders that have not been quiet for long enough."""
    return tuple(
        (folder, mark if mark is None or now_ns - mark[2] > RACY_NS else UNSETTLED) for folder, mark in marks
    )
