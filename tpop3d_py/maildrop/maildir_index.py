"""The index file of a maildir: a snapshot for processes that have not read it yet.

``.pypop3d-index`` in the maildir itself (not in ``new``, ``cur`` or ``tmp``) holds the columns of a snapshot:
as long as the folders are what they were, none of them need be listed, and otherwise a row is believed when
the file's size and time still match.  Layout: magic with version and byte order, SHA-256 of the rest, the
folders' marks, counts, columns, names end to end.

It is written beside, in ``tmp`` (where mail software removes what a crash leaves behind), and renamed;
nothing waits for the disk, because a damaged file is noticed.  Small maildirs get none: reading a few
messages again is cheaper than writing a file at every login.

When things fail: nothing is raised.  A file that is missing, damaged, of another version, not the
owner's or not a regular file is no index; one that cannot be written is not written.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from array import array

from tpop3d_py.maildrop.checked import CheckedReader, write_checked
from tpop3d_py.maildrop.columns import Octets
from tpop3d_py.maildrop.files import Files, give_to
from tpop3d_py.maildrop.maildir_scan import Scanner
from tpop3d_py.maildrop.maildir_snapshot import Signature, Snapshot

NAME = ".pypop3d-index"
_MAGIC = b"pypop3d maildir index 3 " + sys.byteorder.encode() + b"\n"
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
        return _read(CheckedReader(fd, _MAGIC, uid))
    except (OSError, ValueError):
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
    places = snapshot.places
    facts = array("Q", [len(folders), len(marks), len(places), len(places.blob), snapshot.names_serve])
    columns = (snapshot.stored, snapshot.mtimes, snapshot.sizes, places.ends)
    return [facts, marks, *columns, folders, places.blob]


def _read(reader: CheckedReader) -> Snapshot:
    """Return the snapshot in an index file; ValueError if that is not a whole one."""
    folder_octets, mark_count, count, blob_octets, names_serve = reader.column("Q", 5)
    marks = reader.column("Q", mark_count)
    stored, mtimes, sizes = (reader.column(kind, count) for kind in "QqQ")
    ends = reader.column("I", count + 1)
    folders, blob = reader.octets(folder_octets), reader.octets(blob_octets)
    reader.finish()
    snapshot = Snapshot(_signature(folders, marks), Octets.joined(blob, ends), stored, mtimes, sizes)
    snapshot.names_serve = bool(names_serve)
    return snapshot


def _signature(folders: bytes, marks: array[int]) -> Signature:
    names = folders.split(b"\0")[:-1]
    if len(marks) != 5 * len(names):
        raise ValueError("marks do not fit")
    rows = [marks[at : at + 5] for at in range(0, len(marks), 5)]
    return tuple(
        (name, (row[1], row[2], row[3], row[4]) if row[0] else None)
        for name, row in zip(names, rows, strict=True)
    )
