"""A maildir's messages at one moment: names in order, exact sizes, and how to trust them later.

Order: by what delivery wrote into the name, ``SECONDS.M<microseconds>...`` (``H`` at some Exims), then by
the rest of the name; a name of another shape is placed by its file's modification time.

Sizes: what RETR sends cannot be told from a file's size, and hints in names (``,S=``, ``,W=``) may lie,
so no number out of a name ever reaches a client: each message is read once.  The result is remembered with
the file's size and modification time, which must both match before it is believed again.  A hint can do one
thing, where the operator wants it (``maildir-evaluate-filename``): if it repeats the size that was counted,
the file is not examined again.

A later open may use the whole snapshot without looking at a single message if `signature()` is what it
was: every delivery, removal or rename changes the modification time of its folder.  What lies in a folder
that did not change is taken over even if another one did.  A folder modified within the last 50 ms could
change again within the same tick of the clock, so it gets a mark that no folder has (the rule git calls
racy).

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
from collections.abc import Iterator, Sequence
from itertools import chain
from operator import sub
from typing import overload

from tpop3d_py.log import Log, printable
from tpop3d_py.maildrop.columns import Octets
from tpop3d_py.maildrop.files import Files, is_link_to_foreign
from tpop3d_py.maildrop.maildir_options import MaildirOptions
from tpop3d_py.maildrop.uidl import LONGEST, Style, maildir_uids
from tpop3d_py.maildrop.wire import SizeCounter

RACY_NS = 50_000_000
_STEP = 256 * 1024
_LF = 10
_SCANS = 3  # a folder that changes while it is read is read again, but not for ever
_NAME_TIME = re.compile(rb"(\d{1,18})\.(?:[^.]*?[MH](\d{1,18}))?")
_CLEAN = re.compile(rb"[\x21-\x7e]*")
_LEFT_OUT = frozenset({errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENXIO})

FolderMark = tuple[int, int, int, int] | None
"""Device, inode, modification time in ns, owner; None if the folder is not there."""

Signature = tuple[tuple[bytes, FolderMark], ...]
"""Each folder, relative to the maildir, and its mark."""

#: Stands in a snapshot for a folder whose time cannot be trusted.
UNSETTLED: FolderMark = (0, 0, 0, 0)


Row = tuple[bytes, int, int, int]
"""One message of a scan: place, stored octets, modification time in ns, octets on the wire."""


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
        return len(set(map(hash, self))) == len(self) and all(self)

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


class Scanner:
    """Reads one maildir.

    Args:
        path: the maildir, without a final slash.
        held: what was known of it before.
        uid: its owner.
    """

    def __init__(
        self, files: Files, log: Log, path: str, options: MaildirOptions, held: Snapshot | None, uid: int
    ) -> None:
        self._uid = uid
        self.octets_read = 0
        self.messages_read = 0
        self.messages_listed = 0
        self._files = files
        self._log = log
        self._path = path
        self._root = os.fsencode(path) + b"/"
        self._options = options
        self._held = held
        self._buffer = bytearray(_STEP)
        self._buffers = (self._buffer,)

    def scan(self) -> Snapshot:
        """Read all folders that changed and return the messages of all.

        Raises:
            OSError: a folder cannot be read, or the machine is short of something.
        """
        for _ in range(_SCANS):
            before, now_ns = signature(self._path, self._options.folders(self._path)), time.time_ns()
            quiet = self._unchanged(before)
            # new before cur: a message that moves meanwhile is seen twice rather than not at all.
            listed = [place for folder, _ in before if folder not in quiet for place in self._list(folder)]
            if signature(self._path, self._options.folders(self._path)) == before:
                return self._snapshot(settled(before, now_ns), quiet, listed)
        restless = tuple((folder, UNSETTLED) for folder, _ in before)
        return self._snapshot(restless, frozenset(), _without_moved(self._list_all(before)))

    def _unchanged(self, marks: Signature) -> frozenset[bytes]:
        """Return the folders whose content is that of the snapshot held."""
        if self._held is None:
            return frozenset()
        return frozenset(folder for folder, _ in set(marks) & set(self._held.signature))

    def _list_all(self, marks: Signature) -> list[bytes]:
        return [place for folder, _ in marks for place in self._list(folder)]

    def _list(self, folder: bytes) -> Iterator[bytes]:
        """Yield the messages in one folder; what lies there and is no file is left out."""
        for place, is_file in list_folder(self._path, folder):
            if is_file:
                yield place
            else:
                self._leave_out(place, "is not a regular file")

    def _snapshot(self, marks: Signature, quiet: frozenset[bytes], listed: list[bytes]) -> Snapshot:
        self.messages_listed = len(listed)
        # Columns from the start: a tuple for each of 50,000 messages would cost more than all the rest.
        places, keys = [], []
        stored, mtimes, sizes = array("Q"), array("q"), array("Q")
        for place, octets, mtime_ns, wire in chain(self._kept(quiet), self._rows(listed)):
            places.append(place)
            keys.append(_sort_key(place, mtime_ns))
            stored.append(octets)
            mtimes.append(mtime_ns)
            sizes.append(wire)
        order = sorted(range(len(keys)), key=keys.__getitem__)
        del keys
        columns = (_ordered(column, order) for column in (stored, mtimes, sizes))
        return Snapshot(marks, Octets(map(places.__getitem__, order)), *columns)

    def _kept(self, quiet: frozenset[bytes]) -> Iterator[Row]:
        """Yield what is known of messages in folders that did not change."""
        held = self._held
        if held is None or not quiet:
            return
        for row in zip(held.places, held.stored, held.mtimes, held.sizes, strict=True):
            if row[0].rpartition(b"/")[0] in quiet:
                yield row

    def _rows(self, listed: list[bytes]) -> Iterator[Row]:
        known = self._known(listed)
        for place in listed:
            row = self._row(place, known.get(base_name(place)) if known else None)
            if row is not None:
                yield row

    def _known(self, listed: list[bytes]) -> dict[bytes, int]:
        """Return by base name which message of the snapshot held each listed one is."""
        held = self._held
        if held is None or not listed:
            return {}
        wanted = set(map(base_name, listed))
        known: dict[bytes, int] = {}
        for index, place in enumerate(held.places):
            base = base_name(place)
            if base in wanted:
                # Two files of one base name cannot be told apart by it.
                known[base] = -1 if base in known else index
        return {base: index for base, index in known.items() if index >= 0}

    def _row(self, place: bytes, known: int | None) -> Row | None:
        """Describe one message, reading it if need be; None if it is not to be shown."""
        try:
            if known is not None and (row := self._known_row(place, known)) is not None:
                return row
            return self._count(place)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno not in _LEFT_OUT:
                raise
            self._leave_out(place, error.strerror or "cannot be read")
            return None

    def _known_row(self, place: bytes, known: int) -> Row | None:
        """Return what is known of a message, if it can still be believed."""
        held = self._held
        if held is None:
            return None
        stored, mtime_ns = held.stored[known], held.mtimes[known]
        if not (self._options.trusts_names and self._options.size_in(place) == stored):
            st = os.lstat(self._root + place)
            if st.st_size != stored or st.st_mtime_ns != mtime_ns:
                return None
        return place, stored, mtime_ns, held.sizes[known]

    def _count(self, place: bytes) -> Row | None:
        """Read a whole message and count its octets on the wire."""
        fd = self._files.open(self._root + place)
        try:
            st = os.fstat(fd)
            if not stat.S_ISREG(st.st_mode):
                self._leave_out(place, "is not a regular file")
                return None
            if is_link_to_foreign(st, self._uid):
                self._leave_out(place, f"is a link to a file of uid {st.st_uid}")
                return None
            buffer = self._buffer
            stored = os.readv(fd, self._buffers)
            if stored == st.st_size < _STEP:
                # As `wire.wire_size` counts, but without a copy: most mail is small, and there is much of it.
                wire = stored + buffer.count(b"\n", 0, stored)
                if buffer.find(b"\r", 0, stored) >= 0:
                    wire -= buffer.count(b"\r\n", 0, stored)
                if stored and buffer[stored - 1] != _LF:
                    wire += 2
            else:
                stored, wire = self._count_long(fd, stored)
        finally:
            self._files.close(fd)
        self.messages_read += 1
        self.octets_read += stored
        return place, stored, st.st_mtime_ns, wire

    def _count_long(self, fd: int, got: int) -> tuple[int, int]:
        counter, stored = SizeCounter(), 0
        while got:
            counter.feed(bytes(memoryview(self._buffer)[:got]))
            stored += got
            got = os.readv(fd, self._buffers)
        return stored, counter.total()

    def _leave_out(self, place: bytes, why: str) -> None:
        self._log.warning(f"maildir {printable(self._path)}: {printable(place)} left out: {why}")


def _ordered(column: array[int], order: Sequence[int]) -> array[int]:
    return array(column.typecode, map(column.__getitem__, order))


def list_folder(path: str, folder: bytes) -> Iterator[tuple[bytes, bool]]:
    """Yield ``FOLDER/NAME`` for each name in a folder of a maildir that may be a message's.

    With it comes whether it is a regular file.
    """
    try:
        with os.scandir(os.fsencode(path) + b"/" + folder) as entries:
            prefix = folder + b"/"
            for entry in entries:
                name = entry.name
                if not name.startswith(b"."):
                    yield prefix + name, entry.is_file(follow_symlinks=False)
    except FileNotFoundError:
        return


def _without_moved(places: list[bytes]) -> list[bytes]:
    """Keep one place per base name, the last seen: in a restless maildir the earlier was moved."""
    return list({base_name(place): place for place in places}.values())


def _sort_key(place: bytes, mtime_ns: int) -> bytes:
    """Return octets by which messages sort: seconds and microseconds in 18 digits each, then the name."""
    base = base_name(place)
    match = _NAME_TIME.match(base)
    if match is None:
        return b"%018d%018d%b" % (mtime_ns // 1_000_000_000, mtime_ns // 1000 % 1_000_000, base)
    seconds, microseconds = match.groups(b"")
    return seconds.rjust(18, b"0") + microseconds.rjust(18, b"0") + base
