"""``.poplock``: one POP3 session per maildir at a time, where the operator wants that.

As tpop3d has it, the lock is a folder made by mkdir, which is atomic on NFS too; it is refused at once, not
waited for, and a lock that nobody refreshed for 1,800 seconds is stale.  The weaknesses of that rule are
mended: between sessions of this program a flock on the maildir decides, so a lock whose process died is
taken over at once, a living one is never broken however long its session is idle, and of two sessions that
find a stale lock one gets it.  A stale lock is taken over in place, never removed and made again.  A lock
that this program made is known by its sticky bit.  On a full disk the flock must do, or nobody could log in
to delete something.

When things fail: `MaildropError`: LOCKED if another session has it; what `unusable` makes of an error that
stops us from locking, for the operator asked for exclusive access.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time

from tpop3d_py.contracts import Identity, MaildropError, Reason
from tpop3d_py.log import printable
from tpop3d_py.maildrop.files import Files, give_to, unusable

NAME = ".poplock"
STALE_SECONDS = 1800.0
_REFRESH_SECONDS = 60.0
_OURS = 0o1700  # the sticky bit says: flock knows whether the holder lives
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


class PopLock:
    """A maildir's lock, held.

    Args:
        maildir: its path.
        identity: who should own the lock.

    Raises:
        MaildropError: another session has it, or it cannot be made.
    """

    def __init__(self, files: Files, maildir: str, identity: Identity) -> None:
        self.path = f"{maildir}/{NAME}"
        self._files = files
        self._folder = -1
        self._mark: tuple[int, ...] | None = None
        self._refreshed = 0.0
        try:
            self._folder = files.open(maildir, os.O_RDONLY | os.O_DIRECTORY)
            knows = self._flock()
            self._acquire(identity, knows)
        except BaseException as error:
            self._close()
            if isinstance(error, OSError):
                raise unusable(error, self.path, "locking") from error
            raise

    def refresh(self) -> None:
        """Renew the lock, at most once a minute.

        Raises:
            MaildropError: LOCKED if another program broke it.
        """
        if self._mark is None or time.monotonic() - self._refreshed < _REFRESH_SECONDS:
            return
        try:
            fd = self._files.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            raise self._locked("was broken by another program") from None
        try:
            if _mark(os.fstat(fd)) != self._mark:
                raise self._locked("was broken by another program")
            self._stamp(fd)
        finally:
            self._files.close(fd)

    def release(self) -> None:
        """Give the maildir free; may be called more than once."""
        with contextlib.suppress(OSError):
            if self._mark is not None and _mark(os.lstat(self.path)) == self._mark:
                self._files.rmdir(self.path)
        self._mark = None
        self._close()

    def _flock(self) -> bool:
        """Lock out other sessions of ours; tell whether the file system can do that."""
        try:
            fcntl.flock(self._folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise self._locked("is held by another session") from None
        except OSError:
            return False
        return True

    def _acquire(self, identity: Identity, knows: bool) -> None:
        made = True
        try:
            self._files.mkdir(self.path, _OURS)
        except FileExistsError:
            made = False
        except OSError as error:
            if knows and error.errno in _NO_ROOM:
                return
            raise
        fd = self._files.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            if made:
                give_to(self._files, fd, identity.uid, identity.gid)
            else:
                self._check_dead(os.fstat(fd), knows)
            self._stamp(fd)
        finally:
            self._files.close(fd)

    def _check_dead(self, st: os.stat_result, knows: bool) -> None:
        """Accept a lock that exists if its holder is dead or it is stale."""
        is_dead = knows and st.st_mode & stat.S_ISVTX
        if not is_dead and time.time() - st.st_mtime <= STALE_SECONDS:
            raise self._locked("is held by another program")

    def _stamp(self, fd: int) -> None:
        self._refreshed = time.monotonic()
        self._files.utime(fd, time.time_ns())
        self._mark = _mark(os.fstat(fd))

    def _close(self) -> None:
        if self._folder >= 0:
            fd, self._folder = self._folder, -1
            with contextlib.suppress(OSError):
                self._files.close(fd)

    def _locked(self, why: str) -> MaildropError:
        return MaildropError(Reason.LOCKED, f"{printable(self.path)} {why}")


def _mark(st: os.stat_result) -> tuple[int, ...]:
    # The time is ours to the nanosecond; an inode number may come back at once.
    return st.st_dev, st.st_ino, st.st_mtime_ns
