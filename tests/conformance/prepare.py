"""Puts messages into the maildrop that is checked: through its MTA, or into its files.

When things fail: what the system or the MTA says goes up as it is; the run ends.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import smtplib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from tests.conformance.messages import Message

_count = itertools.count()


class Preparer(Protocol):
    """A way into the maildrop."""

    kind: str  #: ``maildir``, ``mbox``, ``smtp``

    def deliver(self, messages: Sequence[Message]) -> None:
        """Deliver messages; they may arrive a little later."""


class Maildir:
    """Writes files into a maildir, for its owner."""

    kind = "maildir"

    def __init__(self, path: Path) -> None:
        self._path = path

    def deliver(self, messages: Sequence[Message]) -> None:
        """Write each into tmp, then move it to new."""
        for message in messages:
            now = time.time_ns()
            micro, number = now // 1000 % 1_000_000, next(_count)
            name = f"{now // 1_000_000_000}.M{micro:06}P{os.getpid()}Q{number}.conformance"
            temporary = self._path / "tmp" / name
            temporary.write_bytes(message.octets)
            _give_as(self._path, temporary)
            temporary.rename(self._path / "new" / name)


class Mbox:
    """Appends to an mbox under an fcntl lock and a dotlock, for its owner."""

    kind = "mbox"

    def __init__(self, path: Path) -> None:
        self._path = path

    def deliver(self, messages: Sequence[Message]) -> None:
        """Append each with a From_ line before it and an empty line behind it."""
        dotlock = self._path.with_name(f"{self._path.name}.lock")
        os.close(_patiently_create(dotlock))
        try:
            with self._path.open("ab") as file:
                fcntl.lockf(file, fcntl.LOCK_EX)
                _give_as(self._path.parent, self._path)
                for message in messages:
                    stored = message.octets if message.octets.endswith(b"\n") else message.octets + b"\n"
                    file.write(b"From conformance@example.org Mon Jan  5 10:00:00 2026\n" + stored + b"\n")
        finally:
            dotlock.unlink()


class Smtp:
    """Sends to a recipient."""

    kind = "smtp"

    def __init__(self, host: str, port: int, recipient: str) -> None:
        self._host, self._port, self._recipient = host, port, recipient

    def deliver(self, messages: Sequence[Message]) -> None:
        """Send each in a transaction of its own."""
        with smtplib.SMTP(self._host, self._port, timeout=60) as client:
            for message in messages:
                sender, options = "conformance@example.org", ["BODY=8BITMIME"]
                client.sendmail(sender, [self._recipient], message.wire, options)


def _patiently_create(path: Path) -> int:
    for _ in range(200):
        try:
            return os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            time.sleep(0.05)
    raise TimeoutError(f"{path} is held by somebody else")


def _give_as(model: Path, path: Path) -> None:
    owner = model.stat()
    if os.geteuid() == 0:
        os.chown(path, owner.st_uid, owner.st_gid)
