"""What the maildrop tests share: mailboxes to fill, and file calls that fail on demand."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tpop3d_py.contracts import Identity, Maildrop
from tpop3d_py.log import Fields, Log
from tpop3d_py.maildrop.columns import Cache
from tpop3d_py.maildrop.files import Files
from tpop3d_py.maildrop.maildir import MaildirDriver
from tpop3d_py.maildrop.maildir_options import MaildirOptions
from tpop3d_py.maildrop.mbox import MboxDriver
from tpop3d_py.maildrop.mbox_memory import MboxOptions

FROM = b"From nadawca@x.pl Tue Jun 05 19:06:13 2001\n"


class Recorder(Log):
    """A log that keeps its lines."""

    def __init__(self) -> None:
        super().__init__("test", to_stderr=False)
        self.lines: list[str] = []

    def write(self, level: int, text: str, event: str = "", fields: Fields | None = None) -> None:
        self.lines.append(text)


def identity(**fields: str) -> Identity:
    """Return an identity that owns what this test process makes."""
    return Identity("luser@klient1.pl", "test", os.getuid(), os.getgid(), **fields)


def mail(number: int, lines: int = 2) -> bytes:
    """Return a distinct message as stored."""
    head = b"Message-Id: <m%d@x.pl>\nSubject: %d\n\n" % (number, number)
    return head + b"".join(b"line %d of %d\n" % (line, number) for line in range(lines))


def mbox(messages: Iterable[bytes]) -> bytes:
    """Return an mbox as an MTA writes it."""
    return b"".join(FROM + message + b"\n" for message in messages)


def age(path: str | Path, seconds: float = 10.0) -> None:
    """Set the modification time back."""
    then = time.time() - seconds
    os.utime(path, (then, then))


def mbox_driver(
    files: Files | None = None, log: Log | None = None, *, timeout: float = 0.0, **options: Any
) -> MboxDriver:
    return MboxDriver(
        files or QuickFiles(), log or Recorder(), Cache(1 << 20), MboxOptions(timeout=timeout, **options)
    )


def maildir_driver(
    files: Files | None = None, log: Log | None = None, options: MaildirOptions | None = None
) -> MaildirDriver:
    return MaildirDriver(files or QuickFiles(), log or Recorder(), Cache(1 << 20), options)


def make_maildir(path: Path, new: Iterable[bytes] = (), cur: Iterable[bytes] = ()) -> str:
    """Make a settled maildir with messages named by number, ``new`` first."""
    for folder in ("new", "cur", "tmp"):
        (path / folder).mkdir(parents=True)
    number = 0
    for folder, messages, flags in (("new", new, ""), ("cur", cur, ":2,")):
        for message in messages:
            (path / folder / f"{1000 + number}.M{number}P1.host{flags}").write_bytes(message)
            number += 1
    settle(path)
    return str(path)


def settle(path: str | Path) -> None:
    """Make a maildir look unchanged for some seconds."""
    for folder in ("new", "cur"):
        age(Path(path) / folder)


def bodies(drop: Maildrop) -> list[bytes]:
    """Read every message of a maildrop and check its size."""
    found = []
    for index, size in enumerate(drop.sizes):
        body = drop.open(index)
        found.append(b"".join(body))
        body.close()
        assert len(found[-1]) == size
    return found


class Killed(BaseException):
    """The process is gone."""


class QuickFiles(Files):
    """Does everything but wait for the disk."""

    def fsync(self, fd: int) -> None:
        os.fstat(fd)


class FaultyFiles(Files):
    """Stops or fails at the k-th call that changes something; fsync only counts."""

    def __init__(self) -> None:
        self.calls = 0
        self.dead = False
        self._at = 0
        self._error = 0
        self._torn = False
        self._sticky = False
        self._opens = False
        self._fds: set[int] = set()

    def arm(
        self, at: int = 0, *, error: int = 0, torn: bool = False, sticky: bool = False, opens: bool = False
    ) -> None:
        """Choose the call: kill there (after half a write if `torn`), or raise an errno.

        A `sticky` errno is raised once there and, as on a full disk, by every later call that needs room.
        With `opens`, calls that only open something count as well: they may run out of descriptors.
        """
        self.calls, self._at = 0, at
        self._error, self._torn, self._sticky, self._opens = error, torn, sticky, opens

    def bury(self) -> None:
        """Do what the system does for a dead process: close its files, and so drop its locks."""
        for fd in self._fds:
            os.close(fd)
        self._fds.clear()

    def _tick(self, *, needs_room: bool = False) -> bool:
        """Count a call; raise what is due; tell whether half of it is to be done before dying."""
        if self.dead:
            raise Killed
        self.calls += 1
        due = self.calls == self._at or (self._sticky and needs_room and 0 < self._at < self.calls)
        if not due:
            return False
        if self._error:
            raise OSError(self._error, os.strerror(self._error))
        self.dead = True
        if self._torn:
            return True
        raise Killed

    def open(
        self, path: str | bytes, flags: int = os.O_RDONLY, mode: int = 0o600, folder: int | None = None
    ) -> int:
        creates = bool(flags & os.O_CREAT)
        if (creates or self._opens) and self._tick(needs_room=creates):
            raise Killed
        fd = super().open(path, flags, mode, folder)
        self._fds.add(fd)
        return fd

    def close(self, fd: int) -> None:
        if not self.dead:
            self._fds.discard(fd)
            super().close(fd)

    def pwrite(self, fd: int, data: bytes | memoryview, offset: int) -> int:
        if self._tick(needs_room=True):
            super().pwrite(fd, data[: len(data) // 2], offset)
            raise Killed
        return super().pwrite(fd, data, offset)

    def ftruncate(self, fd: int, length: int) -> None:
        torn = self._tick()
        super().ftruncate(fd, length)
        self._die(torn)

    def fallocate(self, fd: int, length: int) -> None:
        torn = self._tick(needs_room=True)
        super().fallocate(fd, length)
        self._die(torn)

    def fsync(self, fd: int) -> None:
        self._die(self._tick())

    def fchown(self, fd: int, uid: int, gid: int) -> None:
        torn = self._tick()
        super().fchown(fd, uid, gid)
        self._die(torn)

    def unlink(self, path: str) -> None:
        torn = self._tick()
        super().unlink(path)
        self._die(torn)

    def rename(self, old: str, new: str) -> None:
        torn = self._tick()
        super().rename(old, new)
        self._die(torn)

    def link(self, old: str, new: str) -> None:
        torn = self._tick(needs_room=True)
        super().link(old, new)
        self._die(torn)

    def mkdir(self, path: str, mode: int = 0o700) -> None:
        torn = self._tick(needs_room=True)
        super().mkdir(path, mode)
        self._die(torn)

    def rmdir(self, path: str) -> None:
        torn = self._tick()
        super().rmdir(path)
        self._die(torn)

    def utime(self, fd: int, ns: int) -> None:
        torn = self._tick()
        super().utime(fd, ns)
        self._die(torn)

    def _die(self, torn: bool) -> None:
        if torn:
            raise Killed
