"""The MTA's locks on an mbox, for the moments of indexing and updating.

A table of methods, each of which can be switched off; always taken in this order, which is that of Exim and
Postfix, and released in reverse:

- dotlock ``NAME.lock``: a hard link to the session lock file.  Linking is atomic and needs no free inode,
  and a dotlock with the inode of the session lock file is known to be ours: whoever holds the session
  lock may take it over, no matter whose pid it names or whether that number lives again.  After a SIGKILL
  in the middle of an update it stays and keeps other programs out of the mailbox until the recovery.  A
  foreign one is broken ten minutes after its last change of status (`ctime`, which nobody can set back).
  Where it cannot be made, the next method must do.
- fcntl, over the whole file, as an open-file-description lock: it conflicts with the POSIX locks of MTAs,
  but closing some other descriptor of the mailbox in this process does not drop it.
- flock, for programs that take that one.
- c-client: see `cclient`.

When things fail: `MaildropError` LOCKED if a lock is not to be had within the time allowed, UNAVAILABLE
or MAILBOX for errors.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
import time
from collections.abc import Sequence
from typing import Protocol

from tpop3d_py.contracts import MaildropError, Reason
from tpop3d_py.log import Log, printable
from tpop3d_py.maildrop.files import Files, unusable
from tpop3d_py.maildrop.session_lock import CANNOT_MAKE, SessionLock

METHODS = ("dotlock", "fcntl", "flock", "c-client")
STALE_SECONDS = 600.0
_POLL_SECONDS = 0.01


class Method(Protocol):
    """One way to lock a mailbox against its MTA."""

    name: str

    def attempt(self) -> bool:
        """Try to lock, without waiting; tell whether this method is satisfied."""

    def release(self) -> None:
        """Unlock, if locked."""


class Dotlock:
    """The file ``NAME.lock``."""

    name = "dotlock"

    def __init__(self, files: Files, log: Log, mailbox: str, session: SessionLock) -> None:
        self._files = files
        self._log = log
        self._path = f"{mailbox}.lock"
        self._session = session
        self._held = False

    def attempt(self) -> bool:
        """Link the session lock file to the dotlock's name."""
        if not self._session.has_file:
            return True
        self._session.stamp()
        try:
            self._files.link(self._session.path, self._path)
        except FileExistsError:
            self._held = self._is_ours_or_gone()
            return self._held
        except OSError as error:
            if error.errno not in CANNOT_MAKE:
                raise
            self._log.warning(f"{printable(self._path)} cannot be made ({error.strerror}); going on without")
            return True
        self._held = True
        return True

    def release(self) -> None:
        """Remove the dotlock."""
        if self._held:
            self._held = False
            self._files.unlink(self._path)

    def _is_ours_or_gone(self) -> bool:
        try:
            st = os.lstat(self._path)
        except FileNotFoundError:
            return False
        ours = self._session.status
        if ours is not None and (st.st_dev, st.st_ino) == (ours.st_dev, ours.st_ino):
            return True  # left by a killed session: we hold the session lock, so nobody else can use it
        if time.time() - st.st_ctime > STALE_SECONDS:
            # Between this look and the removal somebody else may break it and make a fresh one; the fcntl
            # lock, which MTAs take as well, still stands between us then.
            self._log.warning(f"breaking {printable(self._path)}, unchanged for {STALE_SECONDS:.0f} seconds")
            with contextlib.suppress(FileNotFoundError):
                self._files.unlink(self._path)
        return False


class FcntlLock:
    """A write lock over the whole mailbox, also beyond its end, as MTAs take it."""

    name = "fcntl"

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._held = False

    def attempt(self) -> bool:
        """Set the lock if nobody else has one."""
        try:
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, _whole_file(fcntl.F_WRLCK))
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            return False
        self._held = True
        return True

    def release(self) -> None:
        """Remove the lock."""
        if self._held:
            self._held = False
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, _whole_file(fcntl.F_UNLCK))


class FlockLock:
    """A flock on the mailbox.

    Args:
        session: where there is no room for its lock file, it has flocked the mailbox already.
    """

    name = "flock"

    def __init__(self, fd: int, session: SessionLock) -> None:
        self._fd = fd
        self._session = session
        self._held = False

    def attempt(self) -> bool:
        """Set the lock if nobody else has one."""
        if not self._session.has_file:
            return True
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        self._held = True
        return True

    def release(self) -> None:
        """Remove the lock."""
        if self._held:
            self._held = False
            fcntl.flock(self._fd, fcntl.LOCK_UN)


def _whole_file(kind: int) -> bytes:
    """Build a `struct flock`: kind, whence, start, length (0: for ever), pid (0 is demanded by F_OFD_*)."""
    return struct.pack("@hhqqi0q", kind, os.SEEK_SET, 0, 0, 0)


class MtaLock:
    """All methods together, as a context manager; waits a bounded time for each other's holder.

    Args:
        mailbox: its path, for errors.
        methods: in the order in which they are taken; released in reverse.
        timeout: seconds to wait at most.
    """

    def __init__(self, log: Log, mailbox: str, methods: Sequence[Method], timeout: float) -> None:
        self._log = log
        self._mailbox = mailbox
        self._methods = methods
        self._timeout = timeout

    def __enter__(self) -> MtaLock:
        deadline = time.monotonic() + self._timeout
        try:
            for method in self._methods:
                self._take(method, deadline)
        except OSError as error:
            self._release()
            raise unusable(error, self._mailbox, "locking") from error
        except MaildropError:
            self._release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._release()

    def _take(self, method: Method, deadline: float) -> None:
        pause = _POLL_SECONDS
        while not method.attempt():
            if time.monotonic() >= deadline:
                detail = f"{printable(self._mailbox)}: {method.name} is held by another program"
                raise MaildropError(Reason.LOCKED, detail)
            time.sleep(pause)
            pause = min(2 * pause, 0.1)

    def _release(self) -> None:
        for method in reversed(self._methods):
            try:
                method.release()
            except OSError as error:
                self._log.warning(f"{printable(self._mailbox)}: {method.name} not released: {error.strerror}")
