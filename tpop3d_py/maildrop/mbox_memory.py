"""What is known of mboxes: read, and remembered between sessions, in memory and in index files.

An index file is read only if this process knows nothing, and written only when so much was read that others
should be spared it.  Of a large mailbox that grew, only the end is read if samples of the rest are in
place.

When things fail: reading raises `OSError` and `NotMboxError`; what cannot be remembered is read again.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tpop3d_py import libc
from tpop3d_py.contracts import Identity
from tpop3d_py.maildrop import mbox_index
from tpop3d_py.maildrop.columns import MANY, Cache
from tpop3d_py.maildrop.files import Files
from tpop3d_py.maildrop.mbox_index import BESIDE, IndexPattern
from tpop3d_py.maildrop.mbox_scan import scan, seems_to_fit
from tpop3d_py.maildrop.mbox_snapshot import Mark, MboxSnapshot
from tpop3d_py.maildrop.uidl import Style

RACY_NS = 50_000_000


@dataclass(frozen=True, slots=True)
class MboxOptions:
    """How mboxes are handled.

    Args:
        methods: locks against the MTA, in order.
        timeout: seconds to wait for them.
        style: how identifiers are made.
        index: where index files lie; None for none.
        reserve: octets to keep on the disk in each folder of mboxes, for updates on a full disk.
        window: octets per step of an update; by default as many as there is room for; for tests.
    """

    methods: tuple[str, ...] = ("dotlock", "fcntl")
    timeout: float = 2.0
    style: Style = Style.STABLE
    index: IndexPattern | None = BESIDE
    reserve: int = 0
    window: int | None = None


class MboxMemory:
    """Snapshots of mboxes; safe for several threads."""

    def __init__(self, files: Files, cache: Cache[MboxSnapshot], options: MboxOptions) -> None:
        self._files = files
        self._cache = cache
        self._options = options

    def recall(self, path: str, size: int, identity: Identity) -> MboxSnapshot | None:
        """Return what is known of a mailbox that is now `size` octets long; it may be out of date."""
        held = self._cache.get(path)
        if held is None and self._options.index is not None and size >= mbox_index.WORTH_OCTETS:
            where = self._options.index.expand(path)
            held = mbox_index.load(self._files, where, identity, self._options.style)
            if held is not None:
                self._cache.put(path, held)
        return held

    def read(self, fd: int, path: str, held: MboxSnapshot | None, identity: Identity) -> MboxSnapshot:
        """Index a mailbox, only its end where that is enough, and remember the result; locks are held."""
        before, now_ns = Mark.of(fd), time.time_ns()
        grown = held if held is not None and _may_have_grown(fd, held, before) else None
        if grown is not None and grown.mark == before:
            return grown
        snapshot = scan(fd, before.size, grown, self._options.style)
        is_settled = now_ns - max(before.mtime_ns, before.ctime_ns) > RACY_NS
        snapshot.mark = before
        snapshot.is_proven = is_settled and grown is None and Mark.of(fd) == before
        self._cache.put(path, snapshot)
        if before.size - (grown.length if grown is not None else 0) >= mbox_index.WORTH_OCTETS:
            self.save(path, snapshot, identity)
        if len(snapshot) >= MANY:
            libc.return_memory()
        return snapshot

    def update(
        self, fd: int, path: str, snapshot: MboxSnapshot, deleted: Sequence[int], identity: Identity
    ) -> None:
        """Remember what is left of a large mailbox after an update; locks are held."""
        if snapshot.length < mbox_index.WORTH_OCTETS:
            return
        self.forget(path)
        left = snapshot.without(deleted)
        if left.length < mbox_index.WORTH_OCTETS:
            return
        with contextlib.suppress(OSError):
            self._files.utime(fd, time.time_ns())
            left.mark = Mark.of(fd)
            left.is_proven = left.mark.size == left.length
        if left.is_proven:
            self._cache.put(path, left)
            self.save(path, left, identity)

    def save(self, path: str, snapshot: MboxSnapshot, identity: Identity) -> None:
        """Write the index file, if the mailbox is worth one; the session lock is held."""
        if self._options.index is not None and snapshot.length >= mbox_index.WORTH_OCTETS:
            where = self._options.index.expand(path)
            mbox_index.save(self._files, where, snapshot, identity, self._options.style)

    def drop(self, path: str) -> None:
        """Forget a mailbox in this process."""
        self._cache.drop(path)

    def forget(self, path: str) -> None:
        """Forget a mailbox, its index file too."""
        self._cache.drop(path)
        if self._options.index is not None:
            mbox_index.drop(self._files, self._options.index.expand(path))


def _may_have_grown(fd: int, held: MboxSnapshot, now: Mark) -> bool:
    """Tell whether a large mailbox is what was indexed, with nothing but mail appended."""
    same = (held.mark.device, held.mark.inode) == (now.device, now.inode)
    if not same or not mbox_index.WORTH_OCTETS <= held.length <= now.size:
        return False
    return seems_to_fit(fd, held)
