"""Where log lines go: syslog, a file, standard error.

Rules: a sink takes a finished text, puts before it what its place is used to, and makes one
system call.  Nothing here waits for anybody: sockets, pipes and terminals are written to without
blocking.  A line that was written in part is ended before the next one begins, so that two lines
never become one.  Sinks of several processes may share a file: it is opened for appending.

A file may have been moved away by whoever rotates logs.  `reopen` puts the new file behind the
descriptor that other threads are perhaps writing to, so that no line of theirs can go anywhere else.
The master opens it first and hands it to the others, which may have given up the right to open it.

When things fail: `put` returns False, the line is lost and the caller counts it; `reopen` keeps what
there was and returns why.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import stat
import time
import weakref
from typing import Protocol

from tpop3d_py.loghanding import Handing

#: Where the syslog daemon listens.
SYSLOG = "/dev/log"
#: Seconds until a syslog daemon that was not there is looked for again.
_LOOK_AGAIN = 1.0
_STDERR = 2
_APPENDING = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


class Sink(Protocol):
    """One place that log lines go to."""

    def put(self, level: int, text: str) -> bool:
        """Write a line at a level (RFC 5424 section 6.2.1, 0 to 7); False if it was lost."""

    def reopen(self, processes: int = 0) -> str:
        """Open anew what may have been moved or restarted; return what went wrong, or nothing.

        Args:
            processes: how many others will do the same and are to have what was opened; the master's to say.
        """


class _Stamp:
    """The local time as syslog files write it, made once a second."""

    def __init__(self) -> None:
        self._of = (0, "")

    def now(self) -> str:
        second = int(time.time())
        of = self._of  # one tuple: another thread may be replacing it
        if of[0] != second:
            self._of = of = second, time.strftime("%b %e %H:%M:%S", time.localtime(second))
        return of[1]


class Syslog:
    """The syslog daemon of this machine.

    Args:
        ident: the program's name.
        facility: code of RFC 5424 section 6.2.1.
    """

    def __init__(self, ident: str, facility: int) -> None:
        self._ident = ident
        self._facility = facility << 3
        self._stamp = _Stamp()
        self._socket = _connect()
        self._absent_until = 0.0

    def put(self, level: int, text: str) -> bool:
        """Send a line; the daemon may have started after us, or again, so there is a second try.

        One that is not there is looked for once a second: with many clients looking costs more than they do.
        """
        if self._socket is None and time.monotonic() < self._absent_until:
            return False
        head = f"<{self._facility | level}>{self._stamp.now()} {self._ident}[{os.getpid()}]: "
        data = (head + text).encode("utf-8", "backslashreplace")
        try:
            return self._send(data)
        except BlockingIOError:  # it is there, and does not read fast enough
            return False
        except OSError:
            self._socket = _connect()
        try:
            return self._send(data)
        except OSError:
            self._absent_until = time.monotonic() + _LOOK_AGAIN
            return False

    def reopen(self, processes: int = 0) -> str:
        """Connect anew."""
        self._socket = _connect()
        self._absent_until = 0.0
        return ""  # that nobody listens is no news for a log

    def _send(self, data: bytes) -> bool:
        sock = self._socket  # another thread may be replacing it
        if sock is None:
            raise ConnectionError
        sock.send(data)
        return True


def _connect() -> socket.socket | None:
    try:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    except OSError:  # there is no descriptor left
        return None
    sock.setblocking(False)
    try:
        sock.connect(SYSLOG)
    except OSError:
        sock.close()
        return None
    return sock


class File:
    """A file of its own, with lines as syslog daemons write them.

    Args:
        path: absolute.
        ident: the program's name; empty: lines are written as they are.
        owner: user id that a file created here is given to, because processes of that user open it after
            a rotation; None leaves it ours.
        handing: brings the file to processes that may not open it.

    Raises:
        OSError: it cannot be opened, or is no regular file.
    """

    def __init__(
        self, path: str, ident: str, owner: int | None = None, handing: Handing | None = None
    ) -> None:
        self._path = path
        self._handing = handing or Handing()
        self._owner = owner
        self._stamp = _Stamp()
        self._host = os.uname().nodename.partition(".")[0]
        self._ident = ident
        self._torn = False
        self._fd = _open_file(path, owner)
        # Each reading of the settings makes a log; of those before only the number would be left.
        weakref.finalize(self, os.close, self._fd).atexit = False

    def follow(self) -> None:
        """In a process that is not the master: go where that goes."""
        self._handing.follow()

    def put(self, _level: int, text: str) -> bool:
        """Append a line."""
        if self._ident:
            text = f"{self._stamp.now()} {self._host} {self._ident}[{os.getpid()}]: {text}"
        data = b"\n" * self._torn + text.encode("utf-8", "backslashreplace") + b"\n"
        try:
            count = os.write(self._fd, data)
        except OSError:
            return False
        self._torn = count < len(data)
        return not self._torn

    def reopen(self, processes: int = 0) -> str:
        """Go over to the file that has the name now.

        Args:
            processes: how many others are to have it too; the master's to say.
        """
        if processes:
            self._handing.clear()
        handed = None if processes else self._handing.take()
        try:
            fd = _open_file(self._path, self._owner) if handed is None else handed
        except OSError as error:
            return f"log-file {self._path}: {error.strerror}; going on with the file as it was opened"
        self._handing.give(fd, processes)
        os.dup2(fd, self._fd, inheritable=False)
        os.close(fd)
        self._torn = False
        return ""


def _open_file(path: str, owner: int | None) -> int:
    try:
        fd = os.open(path, _APPENDING | os.O_CREAT | os.O_EXCL, 0o640)
    except FileExistsError:
        fd = os.open(path, _APPENDING)
    else:
        # Only what was made here is given away: whoever may write in the folder could have put another
        # file, or a link to one, in this place, and it is root who runs this.
        if owner is not None and os.geteuid() == 0:
            # For root's group as well: a root with few capabilities (systemd) has to open it again.
            os.fchmod(fd, 0o660)
            os.fchown(fd, owner, -1)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a regular file")
    return fd


class Stderr:
    """Standard error, whatever it is: the journal's socket, a pipe, a terminal or a file."""

    def __init__(self) -> None:
        self._fd = -1
        self._torn = False
        self._socket: socket.socket | None = None
        self.reopen()

    def put(self, _level: int, text: str) -> bool:
        """Write a line."""
        data = b"\n" * self._torn + text.encode("utf-8", "backslashreplace") + b"\n"
        try:
            count = self._write(data)
        except OSError:
            return False
        self._torn = 0 < count < len(data)
        return count == len(data)

    def reopen(self, processes: int = 0) -> str:
        """Look again what standard error is: another one, after we have left the terminal."""
        private = _private_end()
        if private is None:
            self._fd = _STDERR if self._fd == -1 else self._fd
        elif self._fd in (-1, _STDERR):
            self._fd = private
            weakref.finalize(self, os.close, private).atexit = False
        else:
            os.dup2(private, self._fd, inheritable=False)
            os.close(private)
        self._socket = _socket_end()
        return ""

    def _write(self, data: bytes) -> int:
        if self._socket is not None:
            return self._socket.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        if self._fd == _STDERR and not _takes_now(_STDERR):
            return 0
        return os.write(self._fd, data)


def _private_end() -> int | None:
    """Open a pipe or terminal once more, to write without blocking.

    The switch belongs to what was opened, which we share with whoever started us and expects it to block.
    """
    try:
        mode = os.fstat(_STDERR).st_mode
        if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
            return os.open(f"/proc/self/fd/{_STDERR}", _APPENDING & ~os.O_NOFOLLOW)
    except OSError:  # another user's pipe, or no /proc
        return None
    return None


def _socket_end() -> socket.socket | None:
    with contextlib.suppress(OSError):
        if stat.S_ISSOCK(os.fstat(_STDERR).st_mode):
            return socket.socket(fileno=os.dup(_STDERR))
    return None


def _takes_now(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return bool(poll.poll(0))
