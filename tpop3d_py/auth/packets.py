"""The packets that authentication programs exchange with us: the ancestor's format, both ways.

A packet is pairs of texts, each ended by NUL, and one more NUL: ``key NUL value NUL ...  NUL``.  One
without pairs is two NULs.  It has at most 4,096 octets, which is what a pipe takes in one piece.

When things fail: `BadPacket`.
"""

from __future__ import annotations

from collections.abc import Mapping

#: Most octets of a packet.
LONGEST = 4096


class BadPacket(ValueError):
    """Octets that are no packet, or texts that fit in none."""


def pack(pairs: Mapping[bytes, bytes]) -> bytes:
    """Write a packet.

    Raises:
        BadPacket: it would be too long, or a key or value contains NUL, or a key is empty.
    """
    if any(not key or b"\0" in key + value for key, value in pairs.items()):
        raise BadPacket("a key is empty, or a text contains NUL")
    packet = b"".join(b"%s\0%s\0" % pair for pair in pairs.items()) + b"\0"
    if not pairs:
        packet = b"\0\0"
    if len(packet) > LONGEST:
        raise BadPacket(f"a packet of {len(packet)} octets is too long")
    return packet


def unpack(octets: bytes, *, terse: bool = False) -> dict[bytes, bytes] | None:
    """Read a packet; None if it has only begun.

    Of keys that come twice the first counts.  NULs behind the end, which some programs send, mean nothing;
    they may come late, and then stand before the next packet.

    Args:
        octets: what has come so far.
        terse: whether one NUL is a whole packet, as the grammar has it and some programs do.

    Raises:
        BadPacket: it can become none.
    """
    pairs: dict[bytes, bytes] = {}
    octets = octets.lstrip(b"\0") or octets
    place = 0
    while True:
        key, place = _text(octets, place)
        if place < 0:
            break
        if not key:
            return _ended(octets, place, pairs, 1 if terse else 2)
        value, place = _text(octets, place)
        if place < 0:
            break
        pairs.setdefault(key, value)
    if len(octets) > LONGEST:
        raise BadPacket(f"no packet ends within {LONGEST} octets")
    return None


def _ended(octets: bytes, end: int, pairs: dict[bytes, bytes], least: int) -> dict[bytes, bytes] | None:
    if octets[end:].strip(b"\0") or end > LONGEST:
        raise BadPacket("a packet is too long, or something stands behind its end")
    return None if len(octets) < least else pairs


def _text(octets: bytes, start: int) -> tuple[bytes, int]:
    """Return the text at a place and the place behind its NUL; -1 if it has not ended."""
    end = octets.find(b"\0", start)
    return (octets[start:end], end + 1) if end >= 0 else (b"", -1)
