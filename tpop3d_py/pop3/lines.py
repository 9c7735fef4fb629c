"""Splits what the network brings into command lines, within fixed memory.

A line ends with LF; one CR before it belongs to the line end (RFC 1939 section 3
says CRLF, the ancestor and every test by hand with a terminal also know LF).
Rules: what is held after `next_line()` has returned None is less than one line of
`limit` octets; no octet is searched for a line end twice; a line that is too long
is reported once, in its place among the others, and the rest of it is dropped
unseen.  The caller takes every line before it feeds more: that is its flow
control, and what keeps the memory at one line plus one piece.

When things fail: nothing here can fail; an overlong line is a value, `TOO_LONG`.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, Literal

#: RFC 2449 section 4 lets a client send lines of at most 255 octets, CRLF included.  Twice that leaves room
#: for the long names and passwords people really have (the RFC counts 40 octets an argument).
COMMAND_LIMIT = 512

_CR = 13


class TooLong(Enum):
    """The type of `TOO_LONG`."""

    TOO_LONG = "a line over the limit"


TOO_LONG: Final = TooLong.TOO_LONG


class LineBuffer:
    """Octets in, lines out.

    Args:
        limit: longest line accepted, in octets, its line end included.
    """

    __slots__ = ("_data", "_discarding", "_limit", "_scanned", "_start")

    def __init__(self, limit: int = COMMAND_LIMIT) -> None:
        self._limit = limit
        self.clear()

    def clear(self) -> None:
        """Forget everything unread, a half discarded line too: what follows starts a new stream."""
        self._data = b""
        self._start = 0
        self._scanned = 0
        self._discarding = False

    @property
    def pending(self) -> int:
        """Octets held that no line has been made of yet."""
        return len(self._data) - self._start

    def feed(self, data: bytes) -> None:
        """Append octets from the network; all lines should have been taken before."""
        if self._discarding:
            end_of_line = data.find(b"\n")
            if end_of_line < 0:
                return
            self._discarding = False
            data = data[end_of_line + 1 :]
        self._drop_taken()
        self._data += data

    def next_line(self) -> bytes | Literal[TooLong.TOO_LONG] | None:
        """Take the next line, without its line end.

        Returns:
            The line; None if no complete line is there; `TOO_LONG` exactly once for every overlong line.
        """
        start = self._start
        end = self._data.find(b"\n", self._scanned)
        if end < 0:
            return self._incomplete()
        self._start = self._scanned = end + 1
        if end - start >= self._limit:
            return TOO_LONG
        if end > start and self._data[end - 1] == _CR:
            end -= 1
        return self._data[start:end]

    def _drop_taken(self) -> None:
        # Here and not line by line: so each piece costs one copy of what is left, however many lines it has.
        if self._start:
            self._data = self._data[self._start :]
            self._scanned -= self._start
            self._start = 0

    def _incomplete(self) -> Literal[TooLong.TOO_LONG] | None:
        self._drop_taken()
        self._scanned = len(self._data)
        if self._scanned < self._limit:
            return None
        self.clear()
        self._discarding = True
        return TOO_LONG
