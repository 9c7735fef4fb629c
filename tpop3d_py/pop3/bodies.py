"""What goes out in many pieces: messages whole for RETR and cut for TOP, and long lists.

Rules (RFC 1939 sections 5 and 7): all are a `Body`, and the messages wrap the
maildrop's.  Lines end with CRLF, as the maildrop contract says; what TOP leaves out is
neither read nor kept; whole chunks are searched at memory speed, never line by line.
A message without a blank line is all headers, and TOP sends it whole.

When things fail: `BodyInterrupted` of the message passes through; the message is closed,
and does not count as retrieved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from tpop3d_py.contracts import Body

_LINES_AT_ONCE = 1000
_BLANK_LINE = b"\r\n\r\n"


class LongList:
    """The lines of a list too long for one piece, made as they are sent; itself a `Body`."""

    __slots__ = ("_lines",)

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines = lines

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        """Return the next thousand lines in one piece."""
        piece = b"".join(islice(self._lines, _LINES_AT_ONCE))
        if not piece:
            raise StopIteration
        return piece

    def close(self) -> None:
        """There is nothing to release."""


class Retrieval:
    """A message on its way out that tells when it has been read to the end; itself a `Body`."""

    __slots__ = ("_at_end", "_body")

    def __init__(self, body: Body, at_end: Callable[[], None]) -> None:
        self._body = body
        self._at_end = at_end

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        """Return the next chunk."""
        try:
            return next(self._body)
        except StopIteration:
            self._at_end()
            raise

    def close(self) -> None:
        """Release the message."""
        self._body.close()


class Top:
    """A message cut short; itself a `Body`.

    Args:
        body: the whole message; closed as soon as enough of it has been read.
        lines: number of lines wanted after the blank line.
    """

    __slots__ = ("_body", "_ended", "_in_headers", "_lines", "_tail")

    def __init__(self, body: Body, lines: int) -> None:
        self._body = body
        self._lines = lines
        self._in_headers = True
        self._ended = False
        # As if a line had ended before the first octet: a message may begin with its blank line.
        self._tail = b"\r\n"

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        """Return the next chunk of what is wanted."""
        if self._ended:
            raise StopIteration
        try:
            chunk = next(self._body)
        except BaseException:
            self.close()
            raise
        end = self._cut(chunk)
        if end is None:
            return chunk
        self.close()
        return chunk[:end]

    def close(self) -> None:
        """Release the message."""
        self._ended = True
        self._body.close()

    def _cut(self, chunk: bytes) -> int | None:
        """Find where in this chunk the wanted part ends; None if all of it is wanted."""
        start = self._end_of_headers(chunk) if self._in_headers else 0
        return None if start is None else self._end_of_lines(chunk, start)

    def _end_of_headers(self, chunk: bytes) -> int | None:
        # Three octets of the chunks before are enough to find a blank line that lies across the border.
        window = self._tail + chunk
        found = window.find(_BLANK_LINE)
        if found < 0:
            self._tail = window[-3:]
            return None
        self._in_headers = False
        return found + len(_BLANK_LINE) - len(self._tail)

    def _end_of_lines(self, chunk: bytes, start: int) -> int | None:
        there = chunk.count(b"\n", start)
        if there < self._lines:
            self._lines -= there
            return None
        rest = chunk[start:].split(b"\n", self._lines)[-1]
        return len(chunk) - len(rest)
