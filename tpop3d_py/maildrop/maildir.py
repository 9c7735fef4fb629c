"""A maildir as a maildrop.

Opening: an unchanged maildir is served from the snapshot of an earlier session after two `lstat` calls;
see `maildir_scan`.  No lock is taken: the format needs none for delivery, and two sessions may run.

During a session other programs may deliver, rename (flags, ``new`` to ``cur``) and remove.  A message
that is not where the snapshot saw it is looked for by its base name; one that is gone, or whose size
changed, is `MessageGone`.

UPDATE: deleted messages are unlinked; one that is gone already counts as removed.  Other errors do not
stop the rest and are told at the end with how many messages remain.  The folders are fsynced before
success is reported, or a power cut could bring deletions back.  Retrieved messages are marked as seen,
and only those: in ``new`` they move to ``cur`` with ``:2,S``, in ``cur`` they get the ``S`` flag, as any
mail reader would do.  Marking is a courtesy: a failure is not an error, nor is it waited for.  After
deletions the Maildir++ quota file ``maildirsize`` is removed, so that it is counted anew.

When things fail: `MaildropError` with MAILBOX where somebody has to mend the maildir, UNAVAILABLE for
what may pass.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Sequence

from tpop3d_py.contracts import Body, Identity, MaildropError, MessageGone, Reason
from tpop3d_py.log import Log, printable
from tpop3d_py.maildrop import maildir_index
from tpop3d_py.maildrop.body import FileSource, StoredBody
from tpop3d_py.maildrop.columns import Cache
from tpop3d_py.maildrop.files import Files, sync_folder, unusable
from tpop3d_py.maildrop.maildir_scan import (
    Scanner,
    Signature,
    Snapshot,
    base_name,
    is_settled,
    list_folder,
    signature,
)

_SEARCHES = 3  # listings for deleted messages that others keep renaming; what is not found then is gone


class MaildirDriver:
    """Opens maildirs; one per process, shared by its threads."""

    def __init__(self, files: Files, log: Log, cache: Cache[Snapshot]) -> None:
        self._files = files
        self._log = log
        self._cache = cache

    def open(self, path: str, identity: Identity) -> Maildir:
        """Open the maildir at `path`, an existing folder named without a final slash.

        Raises:
            MaildropError: it is not a maildir of `identity.uid`, or cannot be read.
        """
        try:
            now = signature(path)
            held = self._cache.get(path)
            if held is None or held.signature != now or not _owned(now, identity.uid):
                held = self._scan(path, identity, held)
        except OSError as error:
            raise unusable(error, path, "opening maildir") from error
        return Maildir(self._files, self._log, path, held)

    def _scan(self, path: str, identity: Identity, held: Snapshot | None) -> Snapshot:
        st = os.lstat(path)
        if (
            not stat.S_ISDIR(st.st_mode)
            or st.st_uid != identity.uid
            or not _owned(signature(path), identity.uid)
        ):
            raise MaildropError(
                Reason.MAILBOX, f"{printable(path)} is not a maildir owned by uid {identity.uid}"
            )
        known = held.known() if held is not None else maildir_index.load(self._files, path, identity.uid)
        scanner = Scanner(self._files, self._log, path, known)
        snapshot = scanner.scan()
        self._cache.put(path, snapshot)
        if maildir_index.is_worth_saving(scanner):
            maildir_index.save(self._files, path, snapshot, identity.uid, identity.gid)
        return snapshot


def _owned(mark: Signature, uid: int) -> bool:
    return all(folder is None or folder[3] == uid for folder in mark)


class Maildir:
    """One session's view of a maildir; see `contracts.Maildrop`."""

    __slots__ = ("_files", "_log", "_moved", "_moved_at", "_path", "_snapshot")

    def __init__(self, files: Files, log: Log, path: str, snapshot: Snapshot) -> None:
        self._files = files
        self._log = log
        self._path = path
        self._snapshot = snapshot
        self._moved: dict[bytes, bytes] = {}
        self._moved_at: Signature | None = None

    @property
    def sizes(self) -> Sequence[int]:
        """Exact octets on the wire."""
        return self._snapshot.sizes

    @property
    def uids(self) -> Sequence[bytes]:
        """Base names, or digests of them."""
        return self._snapshot.uids

    def open(self, index: int) -> Body:
        """Open one message."""
        place: bytes | None = self._snapshot.places[index]
        try:
            fd = self._open(place)
            if fd is None and (place := self._find(index)) is not None:
                fd = self._open(place)
        except OSError as error:
            raise MessageGone(Reason.UNAVAILABLE, f"message cannot be opened: {error.strerror}") from error
        if fd is None:
            raise MessageGone(Reason.UNAVAILABLE, "message is no longer there")
        source = FileSource(self._files, fd)
        stored = self._snapshot.stored[index]
        st = os.fstat(fd)
        if not stat.S_ISREG(st.st_mode) or st.st_size != stored:
            source.close()
            raise MessageGone(Reason.UNAVAILABLE, "message is not what it was when the session began")
        return StoredBody(source, stored, self._snapshot.sizes[index])

    def commit(self, deleted: Sequence[int], retrieved: Sequence[int]) -> None:
        """Unlink `deleted`, then mark the rest of `retrieved` as seen."""
        gone = set(deleted)
        failures = self._remove_all(deleted)
        for index in retrieved:
            if index not in gone:
                self._mark_seen(index)
        if not deleted:
            return
        with contextlib.suppress(OSError):
            self._files.unlink(f"{self._path}/maildirsize")
        self._sync()
        if failures:
            detail = f"{len(failures)} of {len(deleted)} messages were not removed: {failures[0].strerror}"
            raise MaildropError(Reason.UNAVAILABLE, detail)

    def close(self) -> None:
        """Do nothing: a maildir session holds no file and no lock."""

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
        now = signature(self._path)
        if now != self._moved_at:  # list the folders once per change, not once per message
            self._moved = _by_base(self._path)
            self._moved_at = now if is_settled(now, time.time_ns()) else None
        return self._moved.get(base_name(self._snapshot.places[index]))

    def _remove_all(self, deleted: Sequence[int]) -> list[OSError]:
        """Unlink messages where the snapshot saw them, then those that moved; return what went wrong."""
        failures: list[OSError] = []
        missing = self._remove([self._snapshot.places[index] for index in deleted], failures)
        for _ in range(_SEARCHES):
            if not missing:
                break
            # One listing for all: a mail reader may just have moved the whole of new to cur.
            try:
                found = _by_base(self._path)
            except OSError as error:
                return failures + [error] * len(missing)
            names = (base_name(place) for place in missing)
            missing = self._remove([found[name] for name in names if name in found], failures)
        return failures

    def _remove(self, places: Sequence[bytes], failures: list[OSError]) -> list[bytes]:
        """Unlink what can be unlinked, collect errors, and return the places where nothing lies any more."""
        missing = []
        for place in places:
            try:
                self._files.unlink(self._full(place))
            except FileNotFoundError:
                missing.append(place)
            except OSError as error:
                failures.append(error)
        return missing

    def _mark_seen(self, index: int) -> None:
        place = self._snapshot.places[index]
        seen = seen_place(place)
        if seen == place:
            return
        with contextlib.suppress(OSError):
            # rename() would replace a file of that name; base names are unique, so nobody makes
            # one between the look and the move.
            if not os.path.lexists(self._full(seen)):
                self._files.rename(self._full(place), self._full(seen))

    def _sync(self) -> None:
        for folder in ("new", "cur"):
            try:
                sync_folder(self._files, f"{self._path}/{folder}")
            except FileNotFoundError:
                continue
            except OSError as error:
                raise unusable(error, self._path, "waiting for deletions to reach the disk in") from error


def _by_base(path: str) -> dict[bytes, bytes]:
    """List a maildir by base name; a name that lies there twice could be either message and is left out."""
    found: dict[bytes, bytes] = {}
    twice = set()
    for folder in (b"new", b"cur"):
        for place in list_folder(path, folder):
            base = base_name(place)
            if base in found:
                twice.add(base)
            found[base] = place
    return {base: place for base, place in found.items() if base not in twice}


def seen_place(place: bytes) -> bytes:
    """Return where a message lies once it is marked as seen.

    Flags stand after ``:2,`` in ASCII order; a name with another kind of information is left alone.
    """
    name, colon, info = place[4:].partition(b":")
    if colon and not info.startswith(b"2,"):
        return place
    flags = set(info[2:].decode("latin-1")) | {"S"}
    return b"cur/" + name + b":2," + "".join(sorted(flags)).encode("latin-1")
