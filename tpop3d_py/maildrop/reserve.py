"""Disk space set aside, so that mail can be deleted when the disk is full.

``.pypop3d-reserve-UID`` in a folder of mboxes holds blocks for one journal.  When no journal can be made, for
want of space, quota or inodes, the reserve is renamed into the journal's place, which needs none of them;
afterwards it is renamed back, with its first octets blank, so that what is in it is no plan for anybody.
Two updates at once on a full disk: one gets it, the other fails and may be tried again.  A folder without one
may use its parent's, where the daemon makes one when it starts: so even a mailbox that nobody opened before
the disk was full can be emptied.

When things fail: making a reserve never fails, there is just none; `take` raises the `OSError` that sent its
caller here if there is none; `release` raises `OSError`.
"""

from __future__ import annotations

import contextlib
import os
import stat

from tpop3d_py.contracts import Identity
from tpop3d_py.maildrop.files import Files, give_to, is_owner, sync_folder, write_all

_BLANK = 512  # a journal whose first octets are these has no plan
_STEP = 64 * 1024


class Reserve:
    """The reserve for the mailboxes of one owner in one folder.

    Args:
        mailbox: the path of a mailbox.
        identity: its owner.
        size: octets to set aside; 0 for no reserve.
    """

    def __init__(self, files: Files, mailbox: str, identity: Identity, size: int) -> None:
        self.size = size
        self._files = files
        self._identity = identity
        self._folder = os.path.dirname(mailbox)
        self._name = f".pypop3d-reserve-{identity.uid}"
        self._path = f"{self._folder}/{self._name}"

    def make(self) -> None:
        """Set space aside, if that is wanted, not done yet, and possible."""
        if not self.size or self._is_whole(self._path):
            return
        with contextlib.suppress(OSError):
            with contextlib.suppress(FileNotFoundError):
                self._files.unlink(self._path)  # one of another size, or a killed process's
            self._make()

    def take(self, journal: str, error: OSError) -> int:
        """Rename the reserve to be a journal and return its descriptor.

        Args:
            journal: the path it gets.
            error: why an ordinary journal cannot be made; raised if there is no reserve either.
        """
        for path in (self._path, f"{os.path.dirname(self._folder)}/{self._name}"):
            if self.size and self._is_whole(path):
                try:
                    self._files.rename(path, journal)
                except OSError:  # another process was faster, or the parent is another disk
                    continue
                return self._files.open(journal, os.O_RDWR)
        raise error

    def release(self, journal: str) -> None:
        """Remove a journal, or make it the reserve again; return when that is on the disk."""
        if self.size and self._is_whole(journal) and not os.path.lexists(self._path):
            fd = self._files.open(journal, os.O_RDWR)
            try:
                write_all(self._files, fd, bytes(_BLANK), 0)
                self._files.fsync(fd)
            finally:
                self._files.close(fd)
            self._files.rename(journal, self._path)
        else:
            self._files.unlink(journal)
        sync_folder(self._files, self._folder)

    def _make(self) -> None:
        fd = self._files.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            give_to(self._files, fd, self._identity.uid, self._identity.gid)
            # Written, not only allocated: some file systems need room to turn the one into the other.
            for offset in range(0, self.size, _STEP):
                write_all(self._files, fd, bytes(min(_STEP, self.size - offset)), offset)
        except OSError:
            self._files.unlink(self._path)
        finally:
            self._files.close(fd)

    def _is_whole(self, path: str) -> bool:
        try:
            st = os.lstat(path)
        except OSError:
            return False
        is_file = stat.S_ISREG(st.st_mode) and st.st_nlink == 1
        return is_file and st.st_size == self.size and is_owner(st.st_uid, self._identity.uid)
