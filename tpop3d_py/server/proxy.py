"""The PROXY protocol, versions 1 and 2: what a proxy says of a client before the client's first octet.

(HAProxy's "The PROXY protocol", 2020; the numbers are its sections.)

Rules: the header is read to its last octet and no further, since what follows is TLS or POP3.  A proxy that
speaks for itself (version 2's LOCAL, version 1's UNKNOWN), or of addresses that are not of the Internet
(UNSPEC, UNIX), leaves the addresses as they are.  Who may send a header is not decided here.

When things fail: `BadHeader`, whose text is for the log; the connection must be closed, as nobody knows
where in the stream we are.
"""

from __future__ import annotations

import ipaddress
import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

from tpop3d_py.log import printable
from tpop3d_py.server.networks import plain

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_WORD = b"PROXY "
#: Version 1: "the worst-case" line has 107 octets with its CRLF (2.1).
_LONGEST_LINE = 107
_FIXED = 16
#: Version 2: addresses have 216 octets at most, what comes from a client's certificate some hundreds.
_LONGEST_BODY = 4096
_PORT = re.compile(r"0|[1-9][0-9]{0,4}")
_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,253}[A-Za-z0-9])?")

_LOCAL, _PROXY = 0x20, 0x21  # version and command (2.2)
_TCP4, _TCP6 = 0x11, 0x21  # family and protocol
_UNSPEC, _UNIX = 0x00, 0x31
_FAMILIES = {"TCP4": ipaddress.IPv4Address, "TCP6": ipaddress.IPv6Address}
_AUTHORITY, _CRC32C, _SSL = 0x02, 0x03, 0x20  # types of what follows the addresses (2.2.1 to 2.2.5)
_CLIENT_SSL = 0x01


class BadHeader(ValueError):
    """Octets that are no PROXY header; the text is for the log."""


class Introduction(NamedTuple):
    """What a proxy says of a client.

    Args:
        client: the client's address and port; None: there is no client but the proxy itself.
        server: address and port that the client connected to; None with `client`.
        tls: whether the client speaks TLS with the proxy.
        name: the server's name that the client asked for in TLS (SNI); empty if not told.
    """

    client: tuple[str, int] | None = None
    server: tuple[str, int] | None = None
    tls: bool = False
    name: str = ""


NOBODY = Introduction()


class HeaderReader:
    """Collects one header out of a stream that goes on behind it."""

    __slots__ = ("_read",)

    def __init__(self) -> None:
        self._read = b""

    @property
    def begun(self) -> bool:
        """Whether a part of a header has come."""
        return bool(self._read)

    def take(self, waiting: bytes) -> tuple[int, Introduction | None]:
        """Look at the octets that wait in the stream.

        Args:
            waiting: the next octets, at least one; none of them was taken yet.

        Returns:
            How many of them belong to the header and are to be taken, and what it says once it is complete.

        Raises:
            BadHeader: it is none.
        """
        have = len(self._read)
        octets = self._read + waiting
        size = _size(octets)
        if size is None or len(octets) < size:
            self._read = octets
            return len(waiting), None
        self._read = b""
        return size - have, _understand(octets[:size])


def _size(octets: bytes) -> int | None:
    """Tell how many octets the header has; None while that cannot be known."""
    if octets[:1] == _SIGNATURE[:1]:
        return _size_of_binary(octets)
    if not octets.startswith(_WORD[: len(octets)]):
        raise BadHeader(f"no header: {printable(octets[:32])}")
    end = octets.find(b"\r\n", 0, _LONGEST_LINE)
    if end >= 0:
        return end + 2
    if len(octets) >= _LONGEST_LINE or b"\n" in octets:
        raise BadHeader("a line without end")
    return None


def _size_of_binary(octets: bytes) -> int | None:
    if not octets.startswith(_SIGNATURE[: len(octets)]):
        raise BadHeader("neither version 1 nor 2")
    if len(octets) < _FIXED:
        return None
    (body,) = struct.unpack_from("!H", octets, 14)
    if body > _LONGEST_BODY:
        raise BadHeader(f"{body} octets of a header are too many")
    return _FIXED + int(body)


def _understand(header: bytes) -> Introduction:
    return _binary(header) if header.startswith(_SIGNATURE) else _line(header)


def _line(header: bytes) -> Introduction:
    """Read ``PROXY TCP4 SOURCE DESTINATION SOURCEPORT DESTINATIONPORT`` (2.1)."""
    words = header[:-2].decode("latin-1").split(" ")
    if words[1] == "UNKNOWN":  # "the receiver must ignore anything presented before the CRLF"
        return NOBODY
    try:
        family, source, destination, sport, dport = words[1:]
        client, server = _host(family, source), _host(family, destination)
        return Introduction((client, _port(sport)), (server, _port(dport)))
    except (KeyError, ValueError):
        raise BadHeader(f"not understood: {printable(header[:-2])}") from None


def _host(family: str, text: str) -> str:
    if "%" in text:  # zones mean nothing on another machine
        raise ValueError("no address")
    return plain(str(_FAMILIES[family](text)))


def _port(text: str) -> int:
    if not _PORT.fullmatch(text) or int(text) > 65535:
        raise ValueError("no port")
    return int(text)


def _binary(header: bytes) -> Introduction:
    command, family = header[12], header[13]
    body = header[_FIXED:]
    if command not in (_LOCAL, _PROXY):
        raise BadHeader(f"version and command {command:#04x} are unknown")
    if command == _LOCAL:
        return NOBODY
    if family == _UNSPEC:
        return NOBODY
    if family == _UNIX:
        return _with_extras(header, NOBODY, body[216:])
    if family not in (_TCP4, _TCP6):
        raise BadHeader(f"family and protocol {family:#04x} are unknown")
    width = 4 if family == _TCP4 else 16
    size = 2 * width + 4
    if len(body) < size:
        raise BadHeader(f"{len(body)} octets are too few for addresses")
    source, destination, sport, dport = struct.unpack_from(f"!{width}s{width}sHH", body)
    said = Introduction((_address(source), sport), (_address(destination), dport))
    return _with_extras(header, said, body[size:])


def _address(octets: bytes) -> str:
    return plain(str(ipaddress.ip_address(octets)))


def _with_extras(header: bytes, said: Introduction, extras: bytes) -> Introduction:
    """Add what follows the addresses: types, lengths and values (2.2)."""
    start = len(header) - len(extras)
    for kind, at, value in _values(extras):
        if kind == _SSL and len(value) >= 5:
            said = said._replace(tls=bool(value[0] & _CLIENT_SSL))
        elif kind == _AUTHORITY:
            name = value.decode("latin-1")
            if _HOST_NAME.fullmatch(name):
                said = said._replace(name=name.lower())
        elif kind == _CRC32C:
            _check(header, start + at, value)
    return said


def _values(extras: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield type, place and value of each; a UNIX header may have no room for any."""
    at = 0
    while at < len(extras):
        if at + 3 > len(extras):
            raise BadHeader("what follows the addresses is cut off")
        kind, length = struct.unpack_from("!BH", extras, at)
        at += 3
        if at + length > len(extras):
            raise BadHeader("what follows the addresses is cut off")
        yield kind, at, extras[at : at + length]
        at += length


def _check(header: bytes, at: int, value: bytes) -> None:
    """Compare the checksum, which counts its own place as zeros (2.2.3)."""
    blank = header[:at] + b"\0" * len(value) + header[at + len(value) :]
    if value != struct.pack("!I", _crc32c(blank)):
        raise BadHeader("the checksum is wrong")


def _crc32c(octets: bytes) -> int:
    """Compute the Castagnoli CRC (RFC 9260 appendix A), which zlib has not."""
    crc = 0xFFFFFFFF
    for octet in octets:
        crc = _TABLE[(crc ^ octet) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _table() -> Iterator[int]:
    for crc in range(256):
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)  # noqa: PLW2901 - that is how a CRC is made
        yield crc


_TABLE = tuple(_table())
