"""Index files: a magic, the SHA-256 of the rest, and columns, read and written without copying them.

A mailbox of 50,000 messages has columns of megabytes; what is copied on the way stays with the process.

When things fail: a reader raises `ValueError` for octets that are not a whole file, `OSError` as the system
does; a writer raises `OSError`.
"""

from __future__ import annotations

import hashlib
import os
import stat
from array import array
from collections.abc import Sequence

from tpop3d_py.maildrop.files import Files, is_owner, write_all

_DIGEST = 32


def write_checked(files: Files, fd: int, magic: bytes, parts: Sequence[bytes | array[int]]) -> None:
    """Write an index file to an empty one."""
    views = [memoryview(part).cast("B") for part in parts]
    digest = hashlib.sha256()
    for view in views:
        digest.update(view)
    offset = 0
    for view in (memoryview(magic + digest.digest()), *views):
        write_all(files, fd, view, offset)
        offset += len(view)


class CheckedReader:
    """Reads columns one after the other; nothing is to be believed before `finish`.

    Args:
        fd: an open index file.
        magic: what it must begin with.
        uid: the mailbox's owner, who must own the file if we do not.
    """

    def __init__(self, fd: int, magic: bytes, uid: int) -> None:
        st = os.fstat(fd)
        if not (stat.S_ISREG(st.st_mode) and is_owner(st.st_uid, uid)):
            raise ValueError("not ours")
        head = os.pread(fd, len(magic) + _DIGEST, 0)
        if not head.startswith(magic):
            raise ValueError("another version")
        self._fd = fd
        self._at = len(head)
        self._left = st.st_size - len(head)
        self._expected = head[len(magic) :]
        self._digest = hashlib.sha256()

    def column(self, kind: str, length: int) -> array[int]:
        """Return the next `length` numbers of an array's kind."""
        column = array(kind, [0])
        self._claim(length * column.itemsize)
        column *= length
        self._fill(memoryview(column).cast("B"))
        return column

    def octets(self, length: int) -> bytes:
        """Return the next octets."""
        self._claim(length)
        octets = os.pread(self._fd, length, self._at)
        if len(octets) != length:
            raise ValueError("cut short")
        self._digest.update(octets)
        self._at += length
        return octets

    def finish(self) -> None:
        """Make sure that what was read is all there is, and what was written."""
        if self._left or self._digest.digest() != self._expected:
            raise ValueError("damaged")

    def _claim(self, octets: int) -> None:
        """Make sure that so much is there before memory is taken for it."""
        if octets > self._left:
            raise ValueError("cut short")
        self._left -= octets

    def _fill(self, view: memoryview) -> None:
        while view:
            got = os.preadv(self._fd, [view], self._at)
            if not got:
                raise ValueError("cut short")
            self._digest.update(view[:got])
            self._at += got
            view = view[got:]
