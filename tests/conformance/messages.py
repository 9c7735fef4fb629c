"""Awkward messages, as they lie on a disk, and what a client must get for them.

A message is marked by a line with the run's number and its name, so that it is found among others.  On the
wire every LF that has no CR before it gets one, and a last line without an end gets one; nothing else is
changed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

#: Kinds of preparation that can put a message into a maildrop without changing it.
FILES = frozenset({"maildir", "mbox"})
EVERY = frozenset({"maildir", "mbox", "smtp"})
ONLY_MAILDIR = frozenset({"maildir"})

_BARE_LF = re.compile(rb"(?<!\r)\n")
_CHUNK = 65_536


@dataclass(frozen=True, slots=True)
class Message:
    """One message.

    Args:
        name: of letters and digits.
        octets: as stored.
        ways: kinds of preparation that do not change it.
        mark: the line that tells it from others; empty for a message that has no lines.
    """

    name: str
    octets: bytes
    ways: frozenset[str] = EVERY
    mark: bytes = b""

    @property
    def wire(self) -> bytes:
        """What RETR sends, unstuffed."""
        octets = self.octets
        if octets and not octets.endswith(b"\n"):
            octets += b"\n"
        return _BARE_LF.sub(b"\r\n", octets)

    @property
    def from_mark(self) -> bytes:
        """What follows the headers that mail servers put in front."""
        return self.wire[self.wire.find(self.mark) :]


def awkward(run: str) -> list[Message]:
    """Make the messages of a run."""
    messages = [_marked(run, name, head, body, ways) for name, (head, body, ways) in _SHAPES.items()]
    twin = next(message for message in messages if message.name == "plain")
    return [
        *messages,
        Message("twin", twin.octets, twin.ways, twin.mark),
        Message("empty", b"", ONLY_MAILDIR),
    ]


def ordinary(run: str, count: int) -> list[Message]:
    """Make small messages of different sizes."""
    return [
        _marked(run, f"small{number}", _HEAD, b"\n" + b"line %d\n" % number * (number + 1), EVERY)
        for number in range(count)
    ]


def _marked(run: str, name: str, head: bytes, body: bytes, ways: frozenset[str]) -> Message:
    mark = f"X-Conformance: {run}-{name}".encode()
    end = b"\n" if b"\r\n" not in head else b"\r\n"
    if not head:  # a message that begins with an empty line is marked in its body
        return Message(name, body + mark + b"\n", ways, mark)
    return Message(name, head + mark + end + body, ways, mark)


_HEAD = b"From: Conformance <conformance@example.org>\nTo: You <you@example.org>\nSubject: a check\n"
_LINE = b"A line of seventy-one octets, with which to fill messages up to some size.\n"


def _across_chunks() -> bytes:
    """Put lines that begin with dots, and line ends, at every place around the usual sizes of buffers."""
    text = b"\n"
    for size in (4096, 8192, 16_384, 32_768, _CHUNK, 2 * _CHUNK):
        for shift in range(-300, -240, 7):
            fill = size + shift - len(text)
            if fill > 1:
                text += (b"x" * 71 + b"\n") * (fill // 72) + b"y" * (fill % 72) + b"\n.\n..\n"
        text += b".dot\n" * 60
    return text


_SHAPES: dict[str, tuple[bytes, bytes, frozenset[str]]] = {
    "plain": (_HEAD, b"\none\ntwo\nthree\n", EVERY),
    "dots": (_HEAD, b"\n.\n..\n...\n.QUIT\n. \nno dot\n.\n", EVERY),
    "dotsonly": (_HEAD, b"\n.\n", EVERY),
    "dotfirst": (_HEAD, b"\n.first\nlast\n", EVERY),
    "dotcr": (_HEAD, b"\n.\r\n.\r\nafter what looks like an end\r\n\r\n.\r\n", FILES),
    "nobody": (_HEAD, b"", FILES),
    "emptybody": (_HEAD, b"\n", FILES),
    "emptylines": (_HEAD, b"\n\n\n\ntext\n\n\n\n", EVERY),
    "nolineend": (_HEAD, b"\nthe last line has no end", FILES),
    "nolineenddot": (_HEAD, b"\nthe last line is a dot\n.", FILES),
    "noheader": (b"", b"\nno header at all\n", FILES),
    "utf8": (_HEAD, "\nZażółć gęślą jaźń\n".encode() * 200, EVERY),
    "octets": (
        _HEAD,
        b"\n" + bytes(octet for octet in range(1, 256) if octet not in (10, 13)) + b"\n",
        FILES,
    ),
    "nul": (_HEAD, b"\nbefore\0after\n\0\n.\0\n", FILES),
    "barecr": (_HEAD, b"\none\rtwo\r\rthree\n\r.\n\rfour\n", FILES),
    "crlf": (_HEAD.replace(b"\n", b"\r\n"), b"\r\none\r\n.two\r\n\r\n", FILES),
    "mixed": (_HEAD, b"\none\r\ntwo\nthree\r\n.four\nfive\r\n", FILES),
    "crcrlf": (_HEAD, b"\none\r\r\ntwo\r\r\n", FILES),
    "line998": (_HEAD, b"\n" + b"x" * 998 + b"\n." + b"y" * 997 + b"\n", EVERY),
    "longline": (_HEAD, b"\n." + b"x" * 200_000 + b"\nend\n", FILES),
    "longheader": (_HEAD + b"X-Long: " + b"h" * 20_000 + b"\n folded\n\tagain\n", b"\nbody\n", FILES),
    "manylines": (_HEAD, b"\n" + b".\n" * 5000, EVERY),
    "chunks": (_HEAD, _across_chunks(), EVERY),
    "big": (_HEAD, b"\n" + _LINE * 28_000, EVERY),
    "status": (_HEAD + b"Status: RO\nX-Status: A\nX-UID: 7\n", b"\nthe MTA wrote these\n", FILES),
    "from": (_HEAD, b"\n>From here on\n >From too\nit is text\n", EVERY),
    "utf8head": (_HEAD + "X-Name: Łukasz\n".encode(), b"\nan internationalized message\n", FILES),
}
