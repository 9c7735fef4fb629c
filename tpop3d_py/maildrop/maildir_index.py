"""The index file of a maildir: counted sizes for processes that have not read it yet.

``.pypop3d-index`` in the maildir itself (not in ``new``, ``cur`` or ``tmp``) holds, by base name, a
message's stored octets, modification time and octets on the wire.  Its rows are only hints: a scan
believes one when the file's size and time still match.  Layout: magic with version and byte order,
SHA-256 of the rest, count, three columns, names ended by NUL.

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

from tpop3d_py.maildrop.files import Files, give_to, is_owner, read_all, write_all
from tpop3d_py.maildrop.maildir_scan import Known, Scanner, Snapshot

NAME = ".pypop3d-index"
_MAGIC = b"pypop3d maildir index 1 " + sys.byteorder.encode() + b"\n"
_DIGEST = 32
_LARGEST = 256 * 1024 * 1024
_WORTH_MESSAGES = 100
_WORTH_OCTETS = 1024 * 1024


def is_worth_saving(scanner: Scanner) -> bool:
    """Tell whether a scan had to read so much that others should be spared it."""
    return scanner.messages_read >= _WORTH_MESSAGES or scanner.octets_read >= _WORTH_OCTETS


def load(files: Files, path: str, uid: int) -> Known:
    """Return the rows of a maildir's index; none if there is no usable one."""
    try:
        fd = files.open(f"{path}/{NAME}")
    except (OSError, ValueError):
        return {}
    try:
        st = os.fstat(fd)
        if not (stat.S_ISREG(st.st_mode) and is_owner(st.st_uid, uid) and st.st_size <= _LARGEST):
            return {}
        return _decode(read_all(fd, st.st_size, 0))
    except (OSError, ValueError):
        return {}
    finally:
        files.close(fd)


def save(files: Files, path: str, snapshot: Snapshot, uid: int, gid: int) -> None:
    """Write a maildir's index, if possible."""
    temporary = "/".join((path, "tmp", f"pypop3d-index.{os.getpid()}.{threading.get_ident()}"))
    with contextlib.suppress(OSError):
        fd = files.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            give_to(files, fd, uid, gid)
            write_all(files, fd, _encode(snapshot.known()), 0)
            files.rename(temporary, f"{path}/{NAME}")
        except OSError:
            files.unlink(temporary)
        finally:
            files.close(fd)


def _encode(known: Known) -> bytes:
    columns = [array("Q", [len(known)])]
    columns += [array(kind, [row[at] for row in known.values()]) for at, kind in enumerate("QqQ")]
    names = b"".join(base + b"\0" for base in known)
    rest = b"".join(column.tobytes() for column in columns) + names
    return _MAGIC + hashlib.sha256(rest).digest() + rest


def _decode(data: bytes) -> Known:
    """Return the rows of an index file's octets; ValueError if they are not a whole one."""
    start = len(_MAGIC) + _DIGEST
    rest = data[start:]
    if not data.startswith(_MAGIC) or hashlib.sha256(rest).digest() != data[len(_MAGIC) : start]:
        raise ValueError("damaged")
    count = array("Q", rest[:8])[0]
    stored, mtimes, wire = (
        array(kind, rest[8 + at * 8 * count : 8 + (at + 1) * 8 * count]) for at, kind in enumerate("QqQ")
    )
    names = rest[8 + 24 * count :].split(b"\0")[:-1]
    return dict(zip(names, zip(stored, mtimes, wire, strict=True), strict=True))
