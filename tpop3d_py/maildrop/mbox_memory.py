"""What is remembered of mboxes between sessions: in memory for this process, in index files for all.

An index file is read only if this process knows nothing, and written only when so much was read that others
should be spared it.

When things fail: nothing is raised; what cannot be remembered is read again.
"""

from __future__ import annotations

from dataclasses import dataclass

from tpop3d_py.contracts import Identity
from tpop3d_py.maildrop import mbox_index
from tpop3d_py.maildrop.columns import Cache
from tpop3d_py.maildrop.files import Files
from tpop3d_py.maildrop.mbox_index import BESIDE, IndexPattern
from tpop3d_py.maildrop.mbox_scan import MboxSnapshot
from tpop3d_py.maildrop.uidl import Style


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

    def keep(self, path: str, snapshot: MboxSnapshot) -> None:
        """Remember a snapshot in this process."""
        self._cache.put(path, snapshot)

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
