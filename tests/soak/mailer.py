"""Delivers letters as an MTA does, into maildirs and mboxes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import random
import threading
import time
from pathlib import Path

from tests.soak.ledger import Box, Ledger, compose

#: Seconds that a delivery waits for a lock file before it is put off.
_PATIENCE = 15.0


class Mailer(threading.Thread):
    """Delivers to boxes in turn until told to stop.

    Args:
        ledger: knows the boxes, and what was delivered.
        root: the domain's folder.
        owner: of the mail.
        over: set to stop it.
        pause: seconds between two letters, on average.
        seed: of its random choices.
    """

    def __init__(
        self,
        ledger: Ledger,
        root: Path,
        owner: pwd.struct_passwd,
        over: threading.Event,
        pause: float,
        seed: int,
    ) -> None:
        super().__init__(daemon=True)
        self._ledger, self._root, self._owner, self._over, self._pause = ledger, root, owner, over, pause
        self._dice = random.Random(seed)
        self._seed, self._number = seed, 0

    def run(self) -> None:
        """Deliver."""
        while not self._over.wait(self._dice.uniform(0, 2 * self._pause)):
            self.deliver(self._dice.choice(self._ledger.boxes))

    def deliver(self, box: Box) -> None:
        """Deliver one letter."""
        self._number += 1
        token = f"t{self._seed}x{self._number}"
        letter = compose(token, self._dice)
        if box.kind == "maildir":
            box.letters[token] = letter  # a client may see it before we are back
            self._into_maildir(self._root / box.name, token, letter)
        elif not self._into_mbox(self._root / box.name, token, letter, box):
            self._ledger.count("deliveries put off")
            return
        self._ledger.count("delivered")

    def _into_maildir(self, folder: Path, token: str, letter: bytes) -> None:
        name = f"{time.time_ns() // 10**9}.{token}.soak"
        path = folder / "tmp" / name
        path.write_bytes(letter)
        os.chown(path, self._owner.pw_uid, self._owner.pw_gid)
        path.rename(folder / "new" / name)

    def _into_mbox(self, path: Path, token: str, letter: bytes, box: Box) -> bool:
        """Append with the two locks that Exim takes: PATH.lock, then fcntl on the mailbox."""
        lock = path.with_name(path.name + ".lock")
        if not _take(lock):
            return False
        try:
            with path.open("ab") as file:
                os.chown(path, self._owner.pw_uid, self._owner.pw_gid)
                fcntl.lockf(file, fcntl.LOCK_EX)
                box.letters[token] = letter
                file.write(b"From a@klient1.pl Mon Nov  2 10:00:00 2026\n" + letter + b"\n")
        finally:
            lock.unlink()
        return True


def _take(lock: Path) -> bool:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        with contextlib.suppress(FileExistsError):
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            return True
        time.sleep(0.05)
    return False
