"""Keeping ``maildirsize``, the quota file of Maildir++, right when messages are removed.

Whoever removes messages appends one line with the negative sum and the negative count, in one write to a
file opened for appending, so that deliveries that append at the same time lose nothing.  The size of a
message is what its name says (``,S=``), because that is what its delivery added; else the file's.  Folder
``.Trash`` does not count.

Without locks nobody can tell whether somebody who counted everything anew meanwhile saw our deletions.  So
whenever the file was replaced around our write, or the write did not succeed whole, it is removed: the
next delivery then counts anew, and the file is never wrong for longer.

When things fail: nothing is raised; the quota file is a courtesy between programs.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable

from tpop3d_py.maildrop.files import Files

NAME = "maildirsize"
_TRASH = b".Trash/"


def subtract(files: Files, maildir: str, removed: Iterable[tuple[bytes, int]]) -> None:
    """Take removed messages off the quota file, if there is one.

    Args:
        maildir: the path of the maildir itself, not of a subfolder.
        removed: where each message lay, and how many octets it counted.
    """
    sizes = [size for place, size in removed if not place.startswith(_TRASH)]
    if not sizes:
        return
    path = f"{maildir}/{NAME}"
    try:
        fd = files.open(path, os.O_WRONLY | os.O_APPEND)
    except FileNotFoundError:
        return
    except OSError:
        _discard(files, path)
        return
    try:
        if not _append(files, fd, path, b"%d %d\n" % (-sum(sizes), -len(sizes))):
            _discard(files, path)
    finally:
        files.close(fd)


def _append(files: Files, fd: int, path: str, line: bytes) -> bool:
    """Append a line; tell whether it went whole into the file of that name."""
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return False
        taken = files.pwrite(fd, line, 0)  # where does not matter: the file is open for appending
        named, opened = os.lstat(path), os.fstat(fd)
    except OSError:
        return False
    return taken == len(line) and (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino)


def _discard(files: Files, path: str) -> None:
    with contextlib.suppress(OSError):
        files.unlink(path)
