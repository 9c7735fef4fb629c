"""The index file of a maildir: a snapshot for processes that have not read it yet.

``.pypop3d-index`` in the maildir itself (not in ``new``, ``cur`` or ``tmp``) holds the columns of a snapshot:
as long as the folders are what they were, none of them need be listed, and otherwise a row is believed when
the file's size and time still match.  Layout: magic with version and byte order, SHA-256 of the rest, the
folders' marks, counts, columns, names end to end.

It is written beside, in ``tmp`` (where mail software removes what a crash leaves behind), and renamed;
nothing waits for the disk, because a damaged file is noticed.  Small maildirs get none: reading a few
messages again is cheaper than writing a file at every login.

When things fail: nothing is raised.  A file that is missing, damaged, of another version, not the
owner's, not a regular file or too large is no index; one that cannot be written is not written.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import sys
import threading
from array import array

from tpop3d_py.maildrop.columns import Octets
from tpop3d_py.maildrop.files import Files, give_to, is_owner, read_all, write_checked
from tpop3d_py.maildrop.maildir_scan import Scanner, Signature, Snapshot

NAME = ".pypop3d-index"
_MAGIC = b"pypop3d maildir index 2 " + sys.byteorder.encode() + b"\n"
_DIGEST = 32
_LARGEST = 256 * 1024 * 1024
_WORTH_MESSAGES = 100
_WORTH_OCTETS = 1024 * 1024
_LISTED_PER_READ = 10  # to examine so many known messages costs as much as to read one


def is_worth_saving(scanner: Scanner) -> bool:
    """Tell whether a scan had to do so much that others should be spared it."""
    work = scanner.messages_read + scanner.messages_listed // _LISTED_PER_READ
    return work >= _WORTH_MESSAGES or scanner.octets_read >= _WORTH_OCTETS


def load(files: Files, path: str, uid: int) -> Snapshot | None:
    """Return the snapshot in a maildir's index; None if there is no usable one."""
    try:
        fd = files.open(f"{path}/{NAME}")
    except (OSError, ValueError):
        return None
    try:
        st = os.fstat(fd)
        if not (stat.S_ISREG(st.st_mode) and is_owner(st.st_uid, uid) and st.st_size <= _LARGEST):
            return None
        return _decode(read_all(fd, st.st_size, 0))
    except (OSError, ValueError, IndexError):
        return None
    finally:
        files.close(fd)


def save(files: Files, path: str, snapshot: Snapshot, uid: int, gid: int) -> None:
    """Write a maildir's index, if possible."""
    temporary = "/".join((path, "tmp", f"pypop3d-index.{os.getpid()}.{threading.get_ident()}"))
    with contextlib.suppress(OSError):
        fd = files.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            give_to(files, fd, uid, gid)
            write_checked(files, fd, _MAGIC, _encode(snapshot))
            files.rename(temporary, f"{path}/{NAME}")
        except OSError:
            files.unlink(temporary)
        finally:
            files.close(fd)


def drop(files: Files, path: str) -> None:
    """Remove a maildir's index, which told something untrue."""
    with contextlib.suppress(OSError):
        files.unlink(f"{path}/{NAME}")


def _encode(snapshot: Snapshot) -> list[bytes | array[int]]:
    folders = b"".join(folder + b"\0" for folder, _ in snapshot.signature)
    marks = array("Q")
    for _, mark in snapshot.signature:
        marks.extend((0,) * 5 if mark is None else (1, *mark))
    counts = array("Q", [len(folders), len(marks), len(snapshot.sizes), len(snapshot.places.blob)])
    places = snapshot.places
    columns = (snapshot.stored, snapshot.mtimes, snapshot.sizes, places.ends)
    return [counts, marks, *columns, folders, places.blob]


def _decode(data: bytes) -> Snapshot:
    """Return the snapshot in an index file's octets; ValueError if they are not a whole one."""
    start = len(_MAGIC) + _DIGEST
    rest = memoryview(data)[start:]
    if not data.startswith(_MAGIC) or hashlib.sha256(rest).digest() != data[len(_MAGIC) : start]:
        raise ValueError("damaged")
    folder_octets, mark_count, count, blob_octets = array("Q", bytes(rest[:32]))
    at = 32
    columns = []
    for kind, length in (("Q", mark_count), ("Q", count), ("q", count), ("Q", count), ("I", count + 1)):
        column = array(kind)
        end = at + length * column.itemsize
        column.frombytes(rest[at:end])
        columns.append(column)
        at = end
    marks, stored, mtimes, sizes, ends = columns
    folders = bytes(rest[at : at + folder_octets])
    blob = bytes(rest[at + folder_octets :])
    if len(blob) != blob_octets:
        raise ValueError("damaged")
    return Snapshot(_signature(folders, marks), Octets.joined(blob, ends), stored, mtimes, sizes)


def _signature(folders: bytes, marks: array[int]) -> Signature:
    names = folders.split(b"\0")[:-1]
    rows = [marks[at : at + 5] for at in range(0, len(marks), 5)]
    return tuple(
        (name, (row[1], row[2], row[3], row[4]) if row[0] else None)
        for name, row in zip(names, rows, strict=True)
    )
