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
from collections.abc import Iterator

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
from tpop3d_py.maildrop.wire import SizeCounter, wire_size

_STEP = 128 * 1024
_OPEN_FOLDERS = 16  # of a mailbox with more subfolders, the others' messages are opened by their path
_SCANS = 3  # a folder that changes while it is read is read again, but not for ever
_NAME_TIME = re.compile(rb"(\d{1,18})\.(?:[^.]*?[MH](\d{1,18}))?")
_LEFT_OUT = frozenset({errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENXIO})


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

    def _snapshot(self, marks: Signature, quiet: frozenset[bytes], places: list[bytes]) -> Snapshot:
        """Put messages in order and describe them; `places` are those in folders that changed."""
        self.messages_listed = len(places)
        known = self._known(places)
        kept = self._kept(quiet)
        places += kept
        # In order before they are read, so that the columns grow as they shall stay.
        places.sort(key=self._sort_key)
        columns = _Columns()
        folders: dict[bytes, int] = {}
        try:
            for place in places:
                if place in kept:
                    self._take_over(place, kept[place], columns)
                else:
                    self._look(place, known, folders, columns)
        finally:
            for fd in folders.values():
                self._files.close(fd)
        return columns.snapshot(marks)

    def _sort_key(self, place: bytes) -> bytes:
        """Return octets by which messages sort: seconds and microseconds in 18 digits each, then the name."""
        base = base_name(place)
        match = _NAME_TIME.match(base)
        if match is None:
            mtime_ns = self._mtime_ns(place)
            return b"%018d%018d%b" % (mtime_ns // 1_000_000_000, mtime_ns // 1000 % 1_000_000, base)
        seconds, microseconds = match.groups(b"")
        return seconds.rjust(18, b"0") + microseconds.rjust(18, b"0") + base

    def _mtime_ns(self, place: bytes) -> int:
        try:
            return os.lstat(self._root + place).st_mtime_ns
        except OSError:
            return 0  # gone, or to be found out when it is opened

    def _kept(self, quiet: frozenset[bytes]) -> dict[bytes, int]:
        """Return by place which messages of the snapshot lie in folders that did not change."""
        if self._held is None or not quiet:
            return {}
        places = enumerate(self._held.places)
        return {place: index for index, place in places if place.rpartition(b"/")[0] in quiet}

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

    def _look(
        self, place: bytes, known: dict[bytes, int], folders: dict[bytes, int], columns: _Columns
    ) -> None:
        """Describe one message, reading it if need be; one that is not to be shown is left out."""
        try:
            if known and (index := known.get(base_name(place))) is not None and self._holds(place, index):
                self._take_over(place, index, columns)
            else:
                self._count(place, folders, columns)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno not in _LEFT_OUT:
                raise
            self._leave_out(place, error.strerror or "cannot be read")

    def _holds(self, place: bytes, index: int) -> bool:
        """Tell whether what is known of a message can still be believed."""
        held = self._held
        if held is None:
            return False
        stored = held.stored[index]
        if self._options.trusts_names and self._options.size_in(place) == stored:
            return True
        st = os.lstat(self._root + place)
        return st.st_size == stored and st.st_mtime_ns == held.mtimes[index]

    def _take_over(self, place: bytes, index: int, columns: _Columns) -> None:
        held = self._held
        if held is not None:
            columns.add(place, held.stored[index], held.mtimes[index], held.sizes[index])

    def _count(self, place: bytes, folders: dict[bytes, int], columns: _Columns) -> None:
        """Read a whole message and count its octets on the wire."""
        fd = self._open(place, folders)
        try:
            st = os.fstat(fd)
            octets = st.st_size
            if not stat.S_ISREG(st.st_mode):
                self._leave_out(place, "is not a regular file")
                return
            if st.st_nlink > 1 and is_link_to_foreign(st, self._uid):
                self._leave_out(place, f"is a link to a file of uid {st.st_uid}")
                return
            # One octet more than there should be: if it does not come, this is the end.
            if octets < _STEP and len(stored := os.read(fd, octets + 1)) == octets:
                wire = wire_size(stored)
            else:
                octets, wire = _count_long(fd)
        finally:
            self._files.close(fd)
        self.messages_read += 1
        self.octets_read += octets
        columns.add(place, octets, st.st_mtime_ns, wire)

    def _open(self, place: bytes, folders: dict[bytes, int]) -> int:
        """Open a message from its folder, if possible: the whole path takes half as long again."""
        folder, _, name = place.rpartition(b"/")
        at = folders.get(folder)
        if at is None and len(folders) < _OPEN_FOLDERS:
            at = folders[folder] = self._files.open(self._root + folder, os.O_RDONLY | os.O_DIRECTORY)
        return self._files.open(self._root + place) if at is None else self._files.open(name, folder=at)

    def _leave_out(self, place: bytes, why: str) -> None:
        self._log.warning(f"maildir {printable(self._path)}: {printable(place)} left out: {why}")


class _Columns:
    """The columns of a snapshot in the making; a tuple for each message would cost more than the rest."""

    __slots__ = ("_blob", "_ends", "_mtimes", "_sizes", "_stored")

    def __init__(self) -> None:
        self._blob, self._ends = bytearray(), array("I", [0])
        self._stored, self._mtimes, self._sizes = array("Q"), array("q"), array("Q")

    def add(self, place: bytes, stored: int, mtime_ns: int, size: int) -> None:
        """Add one message."""
        self._blob += place
        self._ends.append(len(self._blob))
        self._stored.append(stored)
        self._mtimes.append(mtime_ns)
        self._sizes.append(size)

    def snapshot(self, marks: Signature) -> Snapshot:
        """Return what was added."""
        places = Octets.joined(bytes(self._blob), self._ends)
        return Snapshot(marks, places, self._stored, self._mtimes, self._sizes)


def _count_long(fd: int) -> tuple[int, int]:
    """Return the octets of a file, stored and on the wire, reading it from its start."""
    counter, stored = SizeCounter(), 0
    while piece := os.pread(fd, _STEP, stored):
        counter.feed(piece)
        stored += len(piece)
    return stored, counter.total()


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
