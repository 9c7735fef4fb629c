"""What an operator may choose about maildirs, and which folders of one that makes visible.

``maildir-recursion`` shows the mail of all Maildir++ subfolders (``.Name`` beside ``new`` and ``cur``) as if
it lay in the mailbox itself.  ``maildir-ignore-folders`` leaves folders out: a plain word is the whole name
without its leading dot, a word that begins with ``^`` is a regular expression, matched from the start.

When things fail: a pattern that is none is a `ValueError` for the operator; a subfolder that is a symbolic
link, or no folder, is not there.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from tpop3d_py.maildrop.uidl import Style

#: The folders of a maildir without subfolders; ``new`` first, as messages move from it to ``cur``.
PLAIN = (b"new", b"cur")


@dataclass(frozen=True, slots=True)
class FolderPattern:
    """One word of ``maildir-ignore-folders``."""

    text: str
    pattern: re.Pattern[bytes]

    @classmethod
    def parse(cls, word: str) -> FolderPattern:
        """Read a word; `ValueError` says what is wrong with it."""
        expression = word if word.startswith("^") else f"(?:{re.escape(word)})\\Z"
        try:
            return cls(word, re.compile(os.fsencode(expression)))
        except re.error as error:
            raise ValueError(f"{word}: {error}") from None

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class MaildirOptions:
    """How maildirs are read.

    Args:
        recursion: show subfolders' messages as well.
        ignored: subfolders left out.
        trusts_names: do not examine a counted file again if its name tells the size that was counted.
        size_string: what stands before a size in a name.
        exclusive: take ``.poplock``.
        style: how identifiers are made.
    """

    recursion: bool = False
    ignored: tuple[FolderPattern, ...] = ()
    trusts_names: bool = False
    size_string: bytes = b",S="
    exclusive: bool = False
    style: Style = Style.STABLE

    def folders(self, path: str) -> tuple[bytes, ...]:
        """Return the folders of a maildir that hold messages, relative to it.

        Raises:
            OSError: the maildir cannot be listed.
        """
        if not self.recursion:
            return PLAIN
        with os.scandir(os.fsencode(path)) as entries:
            names = sorted(entry.name for entry in entries if self._is_shown(entry))
        return PLAIN + tuple(name + b"/" + folder for name in names for folder in PLAIN)

    def size_in(self, name: bytes) -> int | None:
        """Return the size that a file name tells; None if it tells none."""
        found = name.partition(self.size_string)[2]
        digits = re.match(rb"\d{1,18}", found)
        return int(digits[0]) if digits else None

    def _is_shown(self, entry: os.DirEntry[bytes]) -> bool:
        name = entry.name
        if not name.startswith(b".") or name in (b".", b".."):
            return False
        if any(word.pattern.match(name[1:]) for word in self.ignored):
            return False
        return entry.is_dir(follow_symlinks=False)
