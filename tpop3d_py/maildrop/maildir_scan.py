"""Reading a maildir: names in order, exact sizes.

Order: by what delivery wrote into the name, ``SECONDS.M<microseconds>...`` (``H`` at some Exims), then by
the rest of the name; a name of another shape is placed by its file's modification time.

Sizes: what RETR sends cannot be told from a file's size, and hints in names (``,S=``, ``,W=``) may lie,
so no number out of a name ever reaches a client: each message is read once.  The result is remembered with
the file's size and modification time, which must both match before it is believed again.  A hint can do one
thing, where the operator wants it (``maildir-evaluate-filename``): if it repeats the size that was counted,
the file is not examined again.

What lies in a folder that did not change is taken over even if another one did.

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

from tpop3d_py.log import Log, printable
from tpop3d_py.maildrop.columns import Octets
from tpop3d_py.maildrop.files import Files, is_link_to_foreign
from tpop3d_py.maildrop.maildir_options import MaildirOptions
from tpop3d_py.maildrop.maildir_snapshot import (
    UNSETTLED,
    Signature,
    Snapshot,
    base_name,
    settled,
    signature,
)
from tpop3d_py.maildrop.wire import SizeCounter

_STEP = 256 * 1024
_LF = 10
_SCANS = 3  # a folder that changes while it is read is read again, but not for ever
_NAME_TIME = re.compile(rb"(\d{1,18})\.(?:[^.]*?[MH](\d{1,18}))?")
_LEFT_OUT = frozenset({errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENXIO})

Row = tuple[bytes, int, int, int]
"""One message of a scan: place, stored octets, modification time in ns, octets on the wire."""


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
