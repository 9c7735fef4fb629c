"""The pid file: tells whether the daemon runs, and keeps a second one from starting.

As in the ancestor the file holds the bare number, a stale one is replaced and a
live one refused.  A lock on the open file, not the number, decides which it is,
so a recycled pid fools nobody.  What holds anything but a number is no pid file and is left alone:
a name mistyped after ``-p`` must not cost the operator the file of that name.

When things fail: `PidFileError` with the file's name.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat

_LONGEST = 20  # octets; longer is not a process id


class PidFileError(Exception):
    """The pid file cannot be used, or its owner is alive."""


class PidFile:
    """An open, locked pid file; created as root and emptied after root has been given up."""

    def __init__(self, path: str) -> None:
        self._path = os.path.abspath(path)  # removed after the daemon has left this directory
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise PidFileError(f"pid file {path}: {error.strerror}") from None
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            pid = os.read(self._fd, 32).decode("ascii", "replace").strip()
            os.close(self._fd)
            raise PidFileError(f"pid file {path}: process {pid or '?'} is running") from None
        if not self._is_ours():
            os.close(self._fd)
            raise PidFileError(f"pid file {path}: it holds something else than a process id; not touched")

    def _is_ours(self) -> bool:
        """Whether the file may be overwritten: it is new, was emptied, or holds a number and no more."""
        if not stat.S_ISREG(os.fstat(self._fd).st_mode):
            return False
        held = os.pread(self._fd, 32, 0).strip()
        return not held or (held.isdigit() and len(held) < _LONGEST)

    def write(self, pid: int) -> None:
        """Store a process id; called after detaching, which changes it."""
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{pid}\n".encode(), 0)

    def remove(self) -> None:
        """Remove the file, or at least empty it where the directory belongs to root."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._fd, 0)
        with contextlib.suppress(OSError):
            os.unlink(self._path)
        os.close(self._fd)
