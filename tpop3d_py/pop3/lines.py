"""Splits what the network brings into command lines, within fixed memory.

A line ends with LF; one CR before it belongs to the line end (RFC 1939 section 3
says CRLF, the ancestor and every test by hand with a terminal also know LF).
Rules: what is held after `next_line()` has returned None is less than one line of
its limit; no octet is searched for a line end twice; a line that is too long
is reported once, in its place among the others, and the rest of it is dropped
unseen.  The caller takes every line before it feeds more: that is its flow
control, and what keeps the memory at one line plus one piece.  Whoever takes a line says
what it expects, for SASL needs longer ones than commands do.

When things fail: nothing here can fail; an overlong line is a value, `TOO_LONG`.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, Literal

from tpop3d_py.pop3.sasl import RESPONSE_LIMIT

#: RFC 2449 section 4 lets a client send lines of at most 255 octets, CRLF included.  Twice that leaves room
#: for the long names and passwords people really have (the RFC counts 40 octets an argument).
COMMAND_LIMIT = 512

_CR = 13
_AUTH = b"AUTH "


class Expected(Enum):
    """What the next line may be, which decides how long it may be."""

    COMMAND = "a command"
    LOGIN = "a command, of which AUTH may carry a response"
    RESPONSE = "a SASL response"


class TooLong(Enum):
    """The type of `TOO_LONG`."""

    TOO_LONG = "a line over the limit"


TOO_LONG: Final = TooLong.TOO_LONG


class LineBuffer:
    """Octets in, lines out.

    Args:
        limit: longest command accepted, in octets, its line end included.
        response_limit: the same for SASL responses, and for AUTH before a login.
    """

    __slots__ = ("_data", "_discarding", "_limit", "_response_limit", "_scanned", "_start")

    def __init__(self, limit: int = COMMAND_LIMIT, response_limit: int = RESPONSE_LIMIT) -> None:
        self._limit = limit
        self._response_limit = max(limit, response_limit)
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

    @property
    def rest(self) -> bytes:
        """The octets of `pending`."""
        return self._data[self._start :]

    def whole(self, data: bytes) -> bytes | None:
        """Return the line if octets from the network are one command and nothing else, as nearly always.

        None: nothing is known about them, and they have to be fed.
        """
        end = len(data) - 1
        if self._data or self._discarding or end >= self._limit or data.find(b"\n") != end:
            return None
        return data[: end - 1] if end and data[end - 1] == _CR else data[:end]

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

    def next_line(self, expected: Expected = Expected.COMMAND) -> bytes | Literal[TooLong.TOO_LONG] | None:
        """Take the next line, without its line end.

        Args:
            expected: what it may be.

        Returns:
            The line; None if no complete line is there; `TOO_LONG` exactly once for every overlong line.
        """
        start = self._start
        end = self._data.find(b"\n", self._scanned)
        if end < 0:
            return self._incomplete(expected)
        too_long = end - start >= self._limit and end - start >= self._limit_of(expected)
        self._start = self._scanned = end + 1
        if too_long:
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

    def _limit_of(self, expected: Expected) -> int:
        """Tell how long the line at hand may be; asked only of lines that are too long for a command."""
        may_be_long = expected is Expected.RESPONSE or (
            expected is Expected.LOGIN and self._data[self._start : self._start + len(_AUTH)].upper() == _AUTH
        )
        return self._response_limit if may_be_long else self._limit

    def _incomplete(self, expected: Expected) -> Literal[TooLong.TOO_LONG] | None:
        self._drop_taken()
        self._scanned = len(self._data)
        if self._scanned < self._limit or self._scanned < self._limit_of(expected):
            return None
        self.clear()
        self._discarding = True
        return TOO_LONG
