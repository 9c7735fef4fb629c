"""The lock of c-client programs (UW imapd, pine, alpine): a flock on ``/tmp/.DEVICE.INODE``.

The file holds the pid of whoever has the mailbox open.  Such programs hold it for hours, and have a custom
for that: who wants the mailbox sends the holder SIGUSR2 (the "kiss of death"), upon which it gives up
writing, and the lock.  We do the same, once, and wait as long as for any lock.

``/tmp`` belongs to everybody, and the custom makes the file writable for everybody.  So the file is opened
without following links; it counts only if it is a regular file with one name that belongs to the mailbox's
owner or to us, or anybody could lock anybody out, and it is compared with its name after it was locked.  The
pid in it counts only if the kernel says that this process holds the lock, and if that process belongs to
the mailbox's owner: or anybody could have us signal anything.

When things fail: a file that cannot be trusted or made is passed over with a warning, because the other
methods hold; other errors are `OSError`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import stat

from tpop3d_py.log import Log, printable
from tpop3d_py.maildrop.files import Files, is_owner, read_all
from tpop3d_py.maildrop.session_lock import CANNOT_MAKE

FOLDER = "/tmp"  # noqa: S108 - where c-client programs look
_MODE = 0o666
_PASSED_OVER = CANNOT_MAKE | {errno.ELOOP, errno.ENXIO, errno.EISDIR}


class CClientLock:
    """The lock on one mailbox.

    Args:
        mailbox: its status.
        uid: its owner.
        folder: where lock files lie; tests use another.
    """

    name = "c-client"

    def __init__(
        self, files: Files, log: Log, mailbox: os.stat_result, uid: int, folder: str = FOLDER
    ) -> None:
        self._files = files
        self._log = log
        self._uid = uid
        self._path = f"{folder}/.{mailbox.st_dev:x}.{mailbox.st_ino:x}"
        self._fd = -1
        self._has_kissed = False

    def attempt(self) -> bool:
        """Lock if nobody else has it; else ask its holder, once, to give it up."""
        try:
            fd = self._open()
        except OSError as error:
            if error.errno not in _PASSED_OVER:
                raise
            return self._pass_over(error.strerror or "cannot be opened")
        try:
            held = self._lock(fd)
        except BaseException:
            self._files.close(fd)
            raise
        if self._fd != fd:
            self._files.close(fd)
        return held

    def release(self) -> None:
        """Remove the file, then the lock."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            try:
                self._files.unlink(self._path)
            finally:
                self._files.close(fd)

    def _open(self) -> int:
        try:
            return self._files.open(self._path, os.O_RDWR)
        except FileNotFoundError:
            return self._files.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, _MODE)

    def _lock(self, fd: int) -> bool:
        st = os.fstat(fd)
        if not stat.S_ISREG(st.st_mode) or st.st_nlink > 1 or not is_owner(st.st_uid, self._uid):
            return self._pass_over("is not a lock file of the mailbox's owner")
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._kiss(fd, st)
            return False
        if not self._is_named(st):
            return False  # its holder removed it as we opened it
        self._fd = fd
        with contextlib.suppress(OSError):  # a full disk: an empty lock file locks as well
            self._files.ftruncate(fd, 0)
            self._files.pwrite(fd, b"%d" % os.getpid(), 0)
        return True

    def _is_named(self, st: os.stat_result) -> bool:
        try:
            named = os.lstat(self._path)
        except FileNotFoundError:
            return False
        return (named.st_dev, named.st_ino) == (st.st_dev, st.st_ino)

    def _kiss(self, fd: int, st: os.stat_result) -> None:
        """Ask the holder to give the mailbox up, if it is who the file says, and the owner's."""
        if self._has_kissed:
            return
        self._has_kissed = True
        text = read_all(fd, 16, 0).strip()
        pid = int(text) if text.isdigit() else 0
        if pid <= 1 or pid == os.getpid() or pid not in _holders(st) or not self._is_the_owners(pid):
            return
        self._log.notice(f"asking process {pid} to give up the mailbox locked by {self._path}")
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGUSR2)

    def _is_the_owners(self, pid: int) -> bool:
        try:
            return os.stat(f"/proc/{pid}").st_uid == self._uid
        except OSError:
            return False

    def _pass_over(self, why: str) -> bool:
        self._log.warning(f"c-client lock {printable(self._path)} {why}; going on without")
        return True


def _holders(st: os.stat_result) -> set[int]:
    """Return who holds a flock on a file, as the kernel sees it."""
    name = f"{os.major(st.st_dev):02x}:{os.minor(st.st_dev):02x}:{st.st_ino}"
    try:
        with open("/proc/locks", encoding="ascii") as table:
            rows = [line.split() for line in table]
    except OSError:
        return set()
    # "1: FLOCK ADVISORY WRITE 4711 fe:01:1234 0 EOF"
    return {int(row[4]) for row in rows if len(row) > 5 and row[1] == "FLOCK" and row[5] == name}
