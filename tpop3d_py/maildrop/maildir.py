"""A maildir as a maildrop.

Opening: an unchanged maildir is served from the snapshot of an earlier session after two `lstat` calls, or
from the index file; see `maildir_scan` and `maildir_index`.  No lock is taken unless the operator wants
``.poplock``: the format needs none for delivery, and two sessions may run.

During a session other programs may deliver, rename (flags, ``new`` to ``cur``) and remove.  A message
that is not where the snapshot saw it is looked for by its base name; one that is gone, or whose size
changed, is `MessageGone`.  A file that changed under its name, which the format forbids, makes all that was
remembered of the maildir forgotten, so that the next session counts it again.

UPDATE: deleted messages are unlinked; one that is gone already counts as removed.  Other errors do not
stop the rest and are told at the end with how many messages remain.  The folders are fsynced before
success is reported, or a power cut could bring deletions back.  Retrieved messages are marked as seen,
and only those: in ``new`` they move to ``cur`` with ``:2,S``, in ``cur`` they get the ``S`` flag, as any
mail reader would do.  Marking is a courtesy: a failure is not an error, nor is it waited for.  What was
removed is taken off the Maildir++ quota file; see `maildir_quota`.

When things fail: `MaildropError` with MAILBOX where somebody has to mend the maildir, UNAVAILABLE for
what may pass, LOCKED for ``.poplock``.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Sequence

from tpop3d_py import libc
from tpop3d_py.contracts import Body, Identity, MaildropError, MessageGone, Reason
from tpop3d_py.log import Log, printable
from tpop3d_py.maildrop import maildir_index, maildir_quota
from tpop3d_py.maildrop.body import FileSource, opened
from tpop3d_py.maildrop.columns import MANY, Cache
from tpop3d_py.maildrop.files import Files, is_link_to_foreign, sync_folder, unusable
from tpop3d_py.maildrop.maildir_lock import PopLock
from tpop3d_py.maildrop.maildir_options import PLAIN, MaildirOptions
from tpop3d_py.maildrop.maildir_scan import Scanner, list_folder
from tpop3d_py.maildrop.maildir_snapshot import Signature, Snapshot, base_name, settled, signature

_SEARCHES = 3  # listings for deleted messages that others keep renaming; what is not found then is gone


class MaildirDriver:
    """Opens maildirs; one per process, shared by its threads."""

    def __init__(
        self, files: Files, log: Log, cache: Cache[Snapshot], options: MaildirOptions | None = None
    ) -> None:
        self.files = files
        self.log = log
        self.cache = cache
        self.options = options or MaildirOptions()

    def open(self, path: str, identity: Identity) -> Maildir:
        """Open the maildir at `path`, an existing folder named without a final slash.

        Raises:
            MaildropError: it is not a maildir of `identity.uid`, or cannot be read.
        """
        lock = None
        try:
            if self.options.exclusive:
                self._check_owner(path, identity)
                lock = PopLock(self.files, path, identity)
            return Maildir(self, path, self._snapshot(path, identity), identity.uid, lock)
        except BaseException as error:
            if lock is not None:
                lock.release()
            if isinstance(error, OSError):
                raise unusable(error, path, "opening maildir") from error
            raise

    def forget(self, path: str) -> None:
        """Drop what is remembered of a maildir, in memory and on the disk."""
        self.cache.drop(path)
        maildir_index.drop(self.files, path)

    def _snapshot(self, path: str, identity: Identity) -> Snapshot:
        now = signature(path, self.options.folders(path))
        held = self.cache.get(path)
        if held is not None and held.signature == now and _owned(now, identity.uid):
            return held
        self._check_owner(path, identity)
        if not _owned(now, identity.uid):
            raise _foreign(path, identity)
        if held is None:
            held = maildir_index.load(self.files, path, identity.uid)
            if held is not None and held.signature == now:
                self.cache.put(path, held)
                return held
        return self._scan(path, identity, held)

    def _scan(self, path: str, identity: Identity, held: Snapshot | None) -> Snapshot:
        scanner = Scanner(self.files, self.log, path, self.options, held, identity.uid)
        snapshot = scanner.scan()
        self.cache.put(path, snapshot)
        if maildir_index.is_worth_saving(scanner):
            maildir_index.save(self.files, path, snapshot, identity.uid, identity.gid)
        if scanner.messages_listed >= MANY:
            libc.return_memory()
        return snapshot

    @staticmethod
    def _check_owner(path: str, identity: Identity) -> None:
        st = os.lstat(path)
        if not stat.S_ISDIR(st.st_mode) or st.st_uid != identity.uid:
            raise _foreign(path, identity)


def _foreign(path: str, identity: Identity) -> MaildropError:
    return MaildropError(Reason.MAILBOX, f"{printable(path)} is not a maildir owned by uid {identity.uid}")


def _owned(marks: Signature, uid: int) -> bool:
    return all(mark is None or mark[3] == uid for _, mark in marks)


class Maildir:
    """One session's view of a maildir; see `contracts.Maildrop`."""

    __slots__ = ("_driver", "_files", "_lock", "_moved", "_moved_at", "_path", "_snapshot", "_uid")

    def __init__(
        self, driver: MaildirDriver, path: str, snapshot: Snapshot, uid: int, lock: PopLock | None
    ) -> None:
        self._driver = driver
        self._files = driver.files
        self._path = path
        self._snapshot = snapshot
        self._uid = uid
        self._lock = lock
        self._moved: dict[bytes, bytes] = {}
        self._moved_at: Signature | None = None

    @property
    def sizes(self) -> Sequence[int]:
        """Exact octets on the wire."""
        return self._snapshot.sizes

    @property
    def uids(self) -> Sequence[bytes]:
        """Base names, or digests of them."""
        return self._snapshot.uids(self._driver.options.style)

    def open(self, index: int) -> Body:
        """Open one message."""
        if self._lock is not None:
            self._lock.refresh()
        try:
            fd = self._open(self._snapshot.places[index])
            if fd is None and (place := self._find(index)) is not None:
                fd = self._open(place)
        except OSError as error:
            raise MessageGone(Reason.UNAVAILABLE, f"message cannot be opened: {error.strerror}") from error
        if fd is None:
            raise MessageGone(Reason.UNAVAILABLE, "message is no longer there")
        return self._body(index, fd)

    def commit(self, deleted: Sequence[int], retrieved: Sequence[int]) -> None:
        """Unlink `deleted`, then mark the rest of `retrieved` as seen."""
        if self._lock is not None and deleted:
            self._lock.refresh()
        gone = set(deleted)
        removed: list[bytes] = []
        failures = self._remove_all(deleted, removed)
        for index in retrieved:
            if index not in gone:
                self._mark_seen(index)
        if not deleted:
            return
        self._subtract(deleted, removed)
        self._sync({_subfolder(self._snapshot.places[index]) for index in deleted})
        if failures:
            detail = f"{len(failures)} of {len(deleted)} messages were not removed: {failures[0].strerror}"
            raise MaildropError(Reason.UNAVAILABLE, detail)

    def close(self) -> None:
        """Release the lock, if there is one; nothing else is held."""
        if self._lock is not None:
            self._lock.release()

    def _body(self, index: int, fd: int) -> Body:
        """Return the body of an opened message, if its file is still what was counted."""
        source = FileSource(self._files, fd)
        stored = self._snapshot.stored[index]
        st = os.fstat(fd)
        try:
            is_same = stat.S_ISREG(st.st_mode) and st.st_size == stored
            if not is_same or is_link_to_foreign(st, self._uid):
                source.close()
                raise MessageGone(Reason.UNAVAILABLE, "message is not what it was when the session began")
            return opened(source, stored, self._snapshot.sizes[index])
        except MessageGone:
            self._driver.forget(self._path)
            raise

    def _full(self, place: bytes) -> str:
        return f"{self._path}/{os.fsdecode(place)}"

    def _open(self, place: bytes | None) -> int | None:
        if place is None:
            return None
        try:
            return self._files.open(self._full(place))
        except FileNotFoundError:
            return None

    def _find(self, index: int) -> bytes | None:
        """Return where a message lies that is not where the snapshot saw it."""
        now = signature(self._path, self._folders())
        if now != self._moved_at:  # list the folders once per change, not once per message
            self._moved = _by_base(self._path, self._folders())
            self._moved_at = settled(now, time.time_ns())
        return self._moved.get(base_name(self._snapshot.places[index]))

    def _folders(self) -> Sequence[bytes]:
        return [folder for folder, _ in self._snapshot.signature]

    def _remove_all(self, deleted: Sequence[int], removed: list[bytes]) -> list[OSError]:
        """Unlink messages where the snapshot saw them, then those that moved; return what went wrong."""
        failures: list[OSError] = []
        missing = self._remove([self._snapshot.places[index] for index in deleted], removed, failures)
        for _ in range(_SEARCHES):
            if not missing:
                break
            # One listing for all: a mail reader may just have moved the whole of new to cur.
            try:
                found = _by_base(self._path, self._folders())
            except OSError as error:
                return failures + [error] * len(missing)
            names = (base_name(place) for place in missing)
            missing = self._remove([found[name] for name in names if name in found], removed, failures)
        return failures

    def _remove(self, places: Sequence[bytes], removed: list[bytes], failures: list[OSError]) -> list[bytes]:
        """Unlink what can be unlinked, and return the places where nothing lies any more."""
        missing = []
        for place in places:
            try:
                self._files.unlink(self._full(place))
                removed.append(place)
            except FileNotFoundError:
                missing.append(place)
            except OSError as error:
                failures.append(error)
        return missing

    def _subtract(self, deleted: Sequence[int], removed: Sequence[bytes]) -> None:
        """Take what was removed off the quota file."""
        snapshot, size_in = self._snapshot, self._driver.options.size_in
        stored = {base_name(snapshot.places[index]): snapshot.stored[index] for index in deleted}
        told = ((place, size_in(place), stored.get(base_name(place), 0)) for place in removed)
        maildir_quota.subtract(
            self._files,
            self._path,
            [(place, counted if hint is None else hint) for place, hint, counted in told],
        )

    def _mark_seen(self, index: int) -> None:
        place = self._snapshot.places[index]
        if place.startswith(b"cur/") and b"S" in place.partition(b":2,")[2]:
            return  # as most are that a client fetches again
        seen = seen_place(place)
        if seen == place:
            return
        with contextlib.suppress(OSError):
            # rename() would replace a file of that name; base names are unique, so nobody makes
            # one between the look and the move.
            if not os.path.lexists(self._full(seen)):
                self._files.rename(self._full(place), self._full(seen))

    def _sync(self, subfolders: set[bytes]) -> None:
        for place in (subfolder + folder for subfolder in sorted(subfolders) for folder in PLAIN):
            try:
                sync_folder(self._files, self._full(place))
            except FileNotFoundError:
                continue
            except OSError as error:
                raise unusable(error, self._path, "waiting for deletions to reach the disk in") from error


def _subfolder(place: bytes) -> bytes:
    """Return the Maildir++ subfolder of a place, with its final slash; empty for the maildir itself."""
    return place[: place.rindex(b"/", 0, place.rindex(b"/")) + 1] if place.count(b"/") > 1 else b""


def _by_base(path: str, folders: Sequence[bytes]) -> dict[bytes, bytes]:
    """List a maildir by base name; a name that lies there twice could be either message and is left out."""
    found: dict[bytes, bytes] = {}
    twice = set()
    for folder in folders:
        for place, _ in list_folder(path, folder):
            base = base_name(place)
            if base in found:
                twice.add(base)
            found[base] = place
    return {base: place for base, place in found.items() if base not in twice}


def seen_place(place: bytes) -> bytes:
    """Return where a message lies once it is marked as seen.

    Flags stand after ``:2,`` in ASCII order; a name with another kind of information is left alone.
    """
    name, colon, info = place.rpartition(b"/")[2].partition(b":")
    if colon and not info.startswith(b"2,"):
        return place
    flags = set(info[2:].decode("latin-1")) | {"S"}
    return _subfolder(place) + b"cur/" + name + b":2," + "".join(sorted(flags)).encode("latin-1")
