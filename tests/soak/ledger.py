"""What was delivered, and what became of it: the truth that every client is compared with.

A letter is known by its token, a word of its body.  It is *removed* once a client has heard `+OK` to a QUIT
that removes it, and *doubtful* if the connection broke off after QUIT was sent: both ends are right then.
"""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field

#: What a message body may hold to be a nuisance.
_NUISANCES = (
    b".", b"..", b".\r", b">From here on", b"From", b"", b" From the left", b"Status: RO", b"a" * 900,
    b"\xc5\xbc\xc3\xb3\xc5\x82w", b"Content-Length: 3", b"X-UID: 7",
)  # fmt: skip


def compose(token: str, dice: random.Random) -> bytes:
    """Write a letter, with LF at the ends of lines, as an MTA stores it."""
    lines = [f"From: a@klient1.pl\nMessage-ID: <{token}@soak>\nSubject: {token}\n".encode()]
    lines += [dice.choice(_NUISANCES) for _ in range(dice.choice((1, 5, 40, 400)))]
    return b"\n".join([*lines, f"token {token} ends".encode()]) + b"\n"


def as_sent(letter: bytes) -> bytes:
    """Return what RETR has to send for a stored letter, stuffing and final dot left out."""
    return letter.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


@dataclass(slots=True)
class Box:
    """The truth about one mailbox.

    Attributes:
        name: local part.
        kind: ``maildir`` or ``bsd``.
        letters: what was delivered, by token.
        removed, doubtful: tokens, see above.
        uids: the identifier under which each token was seen.
    """

    name: str
    kind: str
    letters: dict[str, bytes] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    doubtful: set[str] = field(default_factory=set)
    uids: dict[str, bytes] = field(default_factory=dict)


class Ledger:
    """All boxes, and what went wrong or was counted; may be used by several threads."""

    def __init__(self, boxes: list[Box]) -> None:
        self.boxes = boxes
        self.wrongs: list[str] = []
        self.counts: dict[str, int] = {}
        self._lock = threading.Lock()

    def wrong(self, text: str) -> None:
        """Note a broken promise."""
        with self._lock:
            self.wrongs.append(text)

    def count(self, what: str) -> None:
        """Count an event."""
        with self._lock:
            self.counts[what] = self.counts.get(what, 0) + 1

    def check_listing(self, box: Box, found: dict[bytes, bytes]) -> None:
        """Compare what a client read, by identifier, with the truth.

        Args:
            box: the mailbox.
            found: whole messages as received, by identifier.
        """
        seen: set[str] = set()
        for uid, message in found.items():
            token = token_of(message)
            letter = box.letters.get(token)
            if letter is None or message != as_sent(letter):
                self.wrong(
                    f"{box.name}: {uid!r} is not what was delivered ({len(message)} octets, {token!r})"
                )
                continue
            if token in seen:
                self.wrong(f"{box.name}: {token} is there twice")
            if token in box.removed:
                self.wrong(f"{box.name}: {token} was removed and is there again")
            if box.uids.setdefault(token, uid) != uid:
                self.wrong(f"{box.name}: {token} was {box.uids[token]!r} and is {uid!r} now")
            seen.add(token)

    def check_complete(self, box: Box, present: set[str]) -> None:
        """Compare what is left at the end with what must be left."""
        for token in box.letters.keys() - present - box.removed - box.doubtful:
            self.wrong(f"{box.name}: {token} is lost")


def token_of(message: bytes) -> str:
    """Return the token that a letter ends with; empty if it is damaged."""
    words = message[-200:].split()
    return words[-2].decode("latin-1") if words[-1:] == [b"ends"] and len(words) > 2 else ""
