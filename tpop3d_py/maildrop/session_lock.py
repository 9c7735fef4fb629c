"""Our own lock on an mbox, for a whole session.

RFC 1939 section 4 wants exclusive access.  It is a flock on ``.NAME.pypop3d-lock`` beside the mailbox: per
open file description, so it excludes threads and processes alike, gone with its process, and no MTA looks at
it, so mail is delivered during a session.  The file stays when the session ends, as removing a lock file is
a race.  Where it cannot be made (full disk, folder without rights) the mailbox itself is flocked instead,
and nobody is refused because of that.

When things fail: `MaildropError` LOCKED if another session has the mailbox, UNAVAILABLE or MAILBOX for
errors.
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
from tpop3d_py.maildrop.files import Files, beside, give_to, is_owner, unusable

_RETRIES = 5
_POLL_SECONDS = 0.01
#: The folder or the disk does not let us make a file; nothing is wrong with the mailbox.
CANNOT_MAKE = frozenset(
    {
        errno.EACCES,
        errno.EDQUOT,
        errno.EMLINK,
        errno.ENAMETOOLONG,
        errno.ENOSPC,
        errno.EPERM,
        errno.EROFS,
    }
)


class SessionLock:
    """Exclusive access to one mailbox.

    Args:
        mailbox: its path.
        mailbox_fd: its open descriptor, for when there can be no lock file.
        identity: who should own the lock file.
        timeout: seconds to wait for an MTA that flocks the mailbox while it delivers.

    Raises:
        MaildropError: LOCKED if another session has it.
    """

    def __init__(
        self, files: Files, mailbox: str, mailbox_fd: int, identity: Identity, timeout: float = 0.0
    ) -> None:
        self.path = beside(mailbox, "lock")
        self._files = files
        self._mailbox = mailbox
        self._deadline = time.monotonic() + timeout
        self._fd: int | None = None
        self.status = self._acquire(mailbox_fd, identity)

    @property
    def has_file(self) -> bool:
        """Whether there is a lock file, which a dotlock can be linked to."""
        return self._fd is not None

    @property
    def left_behind(self) -> bool:
        """Whether a killed session of ours left its dotlock; told by the link count, for free."""
        return self.status is not None and self.status.st_nlink > 1

    def release(self) -> None:
        """Give the mailbox free."""
        if self._fd is not None:
            self._files.close(self._fd)
            self._fd = None

    def stamp(self) -> None:
        """Write our pid into the lock file, for whoever looks at the dotlock.

        Every dotlock gets a new stamp: the file may be old, and programs that judge a dotlock by its mtime
        would take a fresh one for stale.
        """
        if self._fd is not None:
            with contextlib.suppress(OSError):  # a full disk: an empty lock file locks as well
                self._files.pwrite(self._fd, b"%-10d\n" % os.getpid(), 0)

    def _acquire(self, mailbox_fd: int, identity: Identity) -> os.stat_result | None:
        for _ in range(_RETRIES):
            try:
                fd = self._open(identity)
            except OSError as error:
                if error.errno not in CANNOT_MAKE:
                    raise unusable(error, self.path, "opening lock file") from error
                self._flock_patiently(mailbox_fd)  # held until the mailbox is closed
                return None
            try:
                status = self._check(fd, mailbox_fd, identity)
            except BaseException:
                self._files.close(fd)
                raise
            if status.st_nlink:
                self._fd = fd
                return status
            self._files.close(fd)  # somebody removed the file between our open and our flock
        raise MaildropError(Reason.LOCKED, f"lock file {printable(self.path)} keeps vanishing")

    def _open(self, identity: Identity) -> int:
        try:
            return self._files.open(self.path, os.O_RDWR)
        except FileNotFoundError:
            pass
        try:
            fd = self._files.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        except FileExistsError:
            return self._files.open(self.path, os.O_RDWR)
        try:
            give_to(self._files, fd, identity.uid, identity.gid)
        except BaseException:
            self._files.close(fd)
            raise
        return fd

    def _check(self, fd: int, mailbox_fd: int, identity: Identity) -> os.stat_result:
        self._flock(fd)
        # A session that found no room for a lock file holds the mailbox itself; so may an MTA, for a moment.
        self._flock_patiently(mailbox_fd)
        fcntl.flock(mailbox_fd, fcntl.LOCK_UN)
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or not is_owner(status.st_uid, identity.uid):
            raise MaildropError(Reason.MAILBOX, f"{printable(self.path)} is not a lock file of ours")
        return status

    def _flock_patiently(self, fd: int) -> None:
        while True:
            try:
                return self._flock(fd)
            except MaildropError:
                if time.monotonic() >= self._deadline:
                    raise
            time.sleep(_POLL_SECONDS)

    def _flock(self, fd: int) -> None:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MaildropError(
                Reason.LOCKED, f"{printable(self._mailbox)} is open in another session"
            ) from None
