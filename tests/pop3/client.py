"""A strict, slow client: takes a server's octets apart one by one and accepts no liberty."""

from __future__ import annotations

from dataclasses import dataclass


class Malformed(Exception):
    """The octets are not what RFC 1939 and RFC 2449 allow a server to send."""


@dataclass
class Answer:
    status: bytes
    lines: list[bytes] | None

    @property
    def ok(self) -> bool:
        return self.status.startswith(b"+OK")


def read_line(octets: bytes, at: int) -> tuple[bytes, int]:
    """Read to CRLF, octet by octet; a lone LF is not allowed."""
    line = bytearray()
    while at < len(octets):
        if octets[at : at + 2] == b"\r\n":
            return bytes(line), at + 2
        if octets[at : at + 1] == b"\n":
            raise Malformed("lone LF")
        line.append(octets[at])
        at += 1
    raise Malformed("no line end")


def read_answer(octets: bytes, at: int, *, multi_line: bool) -> tuple[Answer, int]:
    """Read one answer; a multi-line one only if it is a success."""
    status, end = read_line(octets, at)
    if end - at > 512:
        raise Malformed("status line over 512 octets")
    if not status.startswith((b"+OK ", b"-ERR ")) or not status.decode("utf-8").isprintable():
        raise Malformed(f"bad status line {status!r}")
    if not (multi_line and status.startswith(b"+OK")):
        return Answer(status, None), end
    lines: list[bytes] = []
    while True:
        line, end = read_line(octets, end)
        if line == b".":
            return Answer(status, lines), end
        if line.startswith(b"."):
            line = line[1:]
            if not line.startswith(b"."):
                raise Malformed(f"unstuffed dot {line!r}")
        lines.append(line)


def read_message(octets: bytes) -> bytes:
    """Read one multi-line answer that must be all there is, and put its lines together again."""
    answer, end = read_answer(octets, 0, multi_line=True)
    if end != len(octets) or answer.lines is None:
        raise Malformed("not one multi-line answer")
    return b"".join(line + b"\r\n" for line in answer.lines)
