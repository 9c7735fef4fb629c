"""Replies as values, and how they become octets.

Rules: a status line is built from the server's own words only and never exceeds 512
octets (RFC 2449 section 4); a reply without a message is one bytes object, so that it
leaves in one piece (clients and virus-scanning proxies exist that want it so); a
message is streamed in large pieces, every line that begins with a dot gets another
one, and the final dot follows only a complete message (RFC 1939 section 3).

When things fail: `BodyInterrupted`, raised while a message is streamed, passes
through `Outgoing`; the connection must then be dropped, without a final dot.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from tpop3d_py.contracts import Body, ResponseCode, Whole
from tpop3d_py.libc import contains

#: Smallest piece, but for the last, that a message is sent in, in octets.
LARGE_PIECE = 64 * 1024

_LF = 10
_CODES = {code.value: code.value.encode("ascii") for code in ResponseCode}


class Then(Enum):
    """What the connection does once the reply has been sent."""

    CONTINUE = "read the next command"
    WAIT = "a login is under way: send nothing and read nothing until Session.login_finished"
    START_TLS = "negotiate TLS"
    CLOSE = "close the connection"


@dataclass(slots=True)
class Reply:
    """The answer to one command.

    Args:
        ok: ``+OK`` or ``-ERR``.
        text: behind it; one of the catalog's, or numbers; never anything a client sent.
        code: response code for mail programs (RFC 2449 section 8, RFC 3206).
        listing: lines of a multi-line reply, each ended by CRLF, none beginning with a dot.
        body: an opened message, or a long list, sent with dots stuffed; never together with `listing`.
        then: what the connection does next.
        challenge: ``+`` instead of ``+OK``: the next line is a SASL response (RFC 5034 section 4).
        delay: seconds to hold the reply back.
        detail: one line for the log about a failure that nobody but the session has seen; never sent.
    """

    ok: bool
    text: bytes
    code: ResponseCode | None = None
    listing: bytes | None = None
    body: Body | None = None
    then: Then = Then.CONTINUE
    challenge: bool = False
    delay: float = 0.0
    detail: str = ""


def encode(reply: Reply) -> bytes | Outgoing:
    """Make octets of a reply; nothing (``b""``) of one that says to wait.

    Returns:
        The whole reply, or, if it has a body, an iterator of its pieces.
    """
    if reply.then is Then.WAIT:
        return b""
    status = _status_line(reply)
    if reply.body is not None:
        body = reply.body
        return _in_one_piece(status, body.octets) if type(body) is Whole else Outgoing(status, body)
    if reply.listing is not None:
        return b"%b%b.\r\n" % (status, reply.listing)
    return status


def _status_line(reply: Reply) -> bytes:
    if reply.challenge:
        return b"+ %b\r\n" % reply.text
    if reply.code is not None:
        sign = b"+OK" if reply.ok else b"-ERR"
        return b"%b [%b] %b\r\n" % (sign, _CODES[reply.code.value], reply.text)
    return b"+OK %b\r\n" % reply.text if reply.ok else b"-ERR %b\r\n" % reply.text


def _in_one_piece(status: bytes, message: bytes) -> bytes:
    """Do for a message that is there what `Outgoing` does for one that has to be read."""
    if contains(message, b"\n."):
        message = message.replace(b"\n.", b"\n..")
    if message[:1] == b".":
        message = b"." + message
    return b"%b%b%b" % (status, message, b"\r\n.\r\n" if message and message[-1] != _LF else b".\r\n")


class Outgoing:
    """A reply with a body, as pieces ready for the socket.

    Pieces have at least `LARGE_PIECE` octets, but for the last; a small message is one piece with its status
    line and final dot.  The message is closed at its end, at the first error, and by `close`.

    Args:
        status: the status line with its CRLF.
        body: the message.
    """

    __slots__ = ("_body", "_done", "_line_start", "_status")

    def __init__(self, status: bytes, body: Body) -> None:
        self._status = status
        self._body = body
        self._line_start = True
        self._done = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        """Return the next piece.

        Raises:
            BodyInterrupted: the message cannot be completed: drop the connection.
        """
        if self._done:
            raise StopIteration
        try:
            return self._next_piece()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Release the message; needed when the connection breaks before the last piece."""
        self._done = True
        self._body.close()

    def _next_piece(self) -> bytes:
        pieces = [self._status] if self._status else []
        self._status = b""
        size = 0
        for chunk in self._body:
            pieces.append(self._stuff(chunk))
            size += len(chunk)
            if size >= LARGE_PIECE:
                return b"".join(pieces)
        # A message that does not end its last line must not swallow the final dot; maildrops promise it does.
        pieces.append(b".\r\n" if self._line_start else b"\r\n.\r\n")
        self.close()
        return b"".join(pieces)

    def _stuff(self, chunk: bytes) -> bytes:
        """Double the dots that begin lines; a line begins after LF, whatever stands before it.

        Going by LF alone, and not by CRLF, also disarms ``\\n.\\n``: no lone LF that a maildrop might let
        through can make a lenient client see the end of the message in its middle.
        """
        if not chunk:
            return chunk
        # Most chunks have no such dot, and to look first is fifty times as fast as to replace.
        stuffed = chunk.replace(b"\n.", b"\n..") if contains(chunk, b"\n.") else chunk
        if self._line_start and stuffed.startswith(b"."):
            stuffed = b"." + stuffed
        self._line_start = chunk[-1] == _LF
        return stuffed
