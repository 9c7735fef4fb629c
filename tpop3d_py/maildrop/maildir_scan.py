"""A maildir's messages at one moment: names in order, exact sizes, and how to trust them later.

Order: by what delivery wrote into the name, ``SECONDS.M<microseconds>...`` (``H`` at some Exims), then by
the rest of the name; a name of another shape is placed by its file's modification time.

Sizes: what RETR sends cannot be told from a file's size, and hints in names (``,S=``, ``,W=``) may lie,
so each message is read once.  The result is remembered with the file's size and modification time, which
must both match before it is believed again: in the previous snapshot, and in the index file for other
processes.

A later open may use the whole snapshot without looking at a single message if `signature()` is what it
was: every delivery, removal or rename changes the modification time of ``new`` or ``cur``.  A folder
modified within the last 50 ms could change again within the same tick of the clock, so a snapshot of it
has no signature and is not trusted (the rule git calls racy).

When things fail: a message that vanishes during the scan is left out; so is one that may not be read, or
is no regular file, with a line in the log, so that one bad file does not shut its owner out; other errors
go up as `OSError`.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from array import array
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from tpop3d_py.log import Log, printable
from tpop3d_py.maildrop.columns import Octets
from tpop3d_py.maildrop.files import Files
from tpop3d_py.maildrop.uidl import maildir_uids
from tpop3d_py.maildrop.wire import SizeCounter

RACY_NS = 50_000_000
_STEP = 256 * 1024
_SCANS = 3  # a folder that changes while it is read is read again, but not for ever
_NAME_TIME = re.compile(rb"(\d{1,18})\.(?:[^.]*?[MH](\d{1,18}))?")
_LEFT_OUT = frozenset({errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENXIO})

Known = Mapping[bytes, tuple[int, int, int]]
"""By base name: stored octets, modification time in ns, octets on the wire."""

FolderMark = tuple[int, int, int, int] | None
Signature = tuple[FolderMark, FolderMark]
"""For ``new`` and ``cur``: device, inode, modification time in ns, owner; None if the folder is not there."""


class Entry(NamedTuple):
    """One message of a scan; the fields are in the order by which messages are sorted."""

    seconds: int
    microseconds: int
    base: bytes
    place: bytes
    stored: int
    mtime_ns: int
    wire: int


class Snapshot:
    """The messages of a maildir, in columns; immutable and shared by sessions."""

    __slots__ = ("_uids", "mtimes", "places", "signature", "sizes", "stored")

    def __init__(self, entries: list[Entry], signature: Signature | None) -> None:
        entries.sort()
        self.signature = signature
        self.places = Octets(entry.place for entry in entries)
        self.stored = array("Q", [entry.stored for entry in entries])
        self.mtimes = array("q", [entry.mtime_ns for entry in entries])
        self.sizes = array("Q", [entry.wire for entry in entries])
        self._uids: Octets | None = None

    @property
    def uids(self) -> Octets:
        """Identifiers, made when first asked for."""
        if self._uids is None:  # two threads may both make them: they make the same
            self._uids = Octets(maildir_uids(map(base_name, self.places)))
        return self._uids

    @property
    def weight(self) -> int:
        """Approximate memory in octets, identifiers included."""
        return 2 * self.places.weight + 24 * len(self.sizes) + 500

    def known(self) -> dict[bytes, tuple[int, int, int]]:
        """Return what a later scan need not read again."""
        rows: dict[bytes, tuple[int, int, int]] = {}
        twice = set()
        for place, *row in zip(self.places, self.stored, self.mtimes, self.sizes, strict=True):
            base = base_name(place)
            if base in rows:
                twice.add(base)  # two files of one base name cannot be told apart by it
            rows[base] = (row[0], row[1], row[2])
        for base in twice:
            del rows[base]
        return rows


def base_name(place: bytes) -> bytes:
    """Return the part of ``new/NAME`` or ``cur/NAME:FLAGS`` that never changes."""
    return place[4:].partition(b":")[0]


def signature(path: str) -> Signature:
    """Describe both folders of a maildir so that any delivery or removal changes the description.

    Raises:
        OSError: one is not a folder, or cannot be examined.
    """
    return _folder_mark(f"{path}/new"), _folder_mark(f"{path}/cur")


def _folder_mark(path: str) -> FolderMark:
    try:
        st = os.lstat(path)
    except FileNotFoundError:
        return None  # not delivered to yet
    if not stat.S_ISDIR(st.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
    return st.st_dev, st.st_ino, st.st_mtime_ns, st.st_uid


def is_settled(mark: Signature, now_ns: int) -> bool:
    """Tell whether both folders have been quiet long enough for their times to be trusted."""
    return all(folder is None or now_ns - folder[2] > RACY_NS for folder in mark)


class Scanner:
    """Reads one maildir.

    Args:
        path: the maildir, without a final slash.
        known: sizes that were counted before.
    """

    def __init__(self, files: Files, log: Log, path: str, known: Known) -> None:
        self.octets_read = 0
        self.messages_read = 0
        self._files = files
        self._log = log
        self._path = path
        self._folder = os.fsencode(path) + b"/"
        self._known = known

    def scan(self) -> Snapshot:
        """Read both folders and return their messages.

        Raises:
            OSError: a folder cannot be read, or the machine is short of something.
        """
        for _ in range(_SCANS):
            before, now_ns = signature(self._path), time.time_ns()
            # new before cur: a message that moves meanwhile is seen twice rather than not at all.
            places = [*list_folder(self._path, b"new"), *list_folder(self._path, b"cur")]
            if signature(self._path) == before:
                break
        else:
            before, places = (None, None), _without_moved(places)
            now_ns = 0
        entries = [entry for place in places if (entry := self._entry(place)) is not None]
        return Snapshot(entries, before if now_ns and is_settled(before, now_ns) else None)

    def _entry(self, place: bytes) -> Entry | None:
        full = self._folder + place
        try:
            st = os.lstat(full)
            if not stat.S_ISREG(st.st_mode):
                self._leave_out(place, "is not a regular file")
                return None
            base = base_name(place)
            seconds, microseconds = _delivery_time(base, st.st_mtime_ns)
            known = self._known.get(base)
            if known is not None and known[0] == st.st_size and known[1] == st.st_mtime_ns:
                return Entry(seconds, microseconds, base, place, *known)
            stored, wire = self._count(full)
            return Entry(seconds, microseconds, base, place, stored, st.st_mtime_ns, wire)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno not in _LEFT_OUT:
                raise
            self._leave_out(place, error.strerror or "cannot be read")
            return None

    def _count(self, full: bytes) -> tuple[int, int]:
        """Read a whole message and return its stored octets and its octets on the wire."""
        counter, stored = SizeCounter(), 0
        fd = self._files.open(os.fsdecode(full))
        try:
            while chunk := os.read(fd, _STEP):
                counter.feed(chunk)
                stored += len(chunk)
        finally:
            self._files.close(fd)
        self.messages_read += 1
        self.octets_read += stored
        return stored, counter.total()

    def _leave_out(self, place: bytes, why: str) -> None:
        self._log.warning(f"maildir {printable(self._path)}: {printable(place)} left out: {why}")


def list_folder(path: str, folder: bytes) -> Iterator[bytes]:
    """Yield ``FOLDER/NAME`` for each name in one folder of a maildir that may be a message."""
    try:
        with os.scandir(os.fsencode(path) + b"/" + folder) as entries:
            yield from (folder + b"/" + entry.name for entry in entries if not entry.name.startswith(b"."))
    except FileNotFoundError:
        return


def _without_moved(places: list[bytes]) -> list[bytes]:
    """Keep one place per base name, the last seen: in a restless maildir the earlier was moved."""
    return list({base_name(place): place for place in places}.values())


def _delivery_time(base: bytes, mtime_ns: int) -> tuple[int, int]:
    match = _NAME_TIME.match(base)
    if match is None:
        return mtime_ns // 1_000_000_000, mtime_ns // 1000 % 1_000_000
    return int(match[1]), int(match[2] or 0)
