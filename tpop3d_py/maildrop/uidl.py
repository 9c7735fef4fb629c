"""Unique identifiers for UIDL, in three styles.

RFC 1939 section 7: an identifier is one to 70 octets of 0x21 to 0x7E, names one message for as long as it
exists, and the server should never use it for another.

``stable``, the default.  Maildir: the base name (up to ``:``), which delivery made unique, if it fits; else
a digest of it.  Flags and the move from ``new`` to ``cur`` do not touch it.

Mbox: a digest of the From_ line and the content without the header fields that mail programs change
(Status, X-UID and their like), so it outlives status changes, deliveries, expunges and the loss of every
index.  The From_ line stays in: it holds the envelope sender and the second of delivery, nobody rewrites
it, and it tells apart copies of one mail delivered twice.  Of a body over 64 KiB only its length and both
its ends count, so that the work per message is bounded; two such mails that agree in every header line,
Received and Message-ID included, and in length, do not happen.

Twins, equal in all of that, are numbered in file order: ``ID``, ``ID-2``, ``ID-3``.  When the first twin
is deleted the second takes over its number.  This is the harmless choice: what a client has seen under an
identifier is, octet for octet, what it would get again.  Numbering from the end would rename kept twins
at every delivery instead.

``tpop3d``, for mail programs that remember what tpop3d told them, bit for bit.  Maildir: the MD5 of the base
name.  Mbox: the MD5 of the first 512 octets from the From_ line on, or of all there is up to the next one.
It has that server's weaknesses: a changed Status field changes it, and messages that agree in 512 octets
share it.

``qmail``, for maildirs that qmail-pop3d served: the base name, which is the same as ``stable``.  It says
nothing of an mbox, which gets ``tpop3d``.

When things fail: whatever `read` raises goes up; octets that are no mail at all have an identifier too.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum

from tpop3d_py.maildrop.columns import Octets

LONGEST = 70  # octets of an identifier
_WHOLE = 64 * 1024  # a body up to this size is digested whole, and so much of a message is read at first
_EDGE = 32 * 1024
_CLEAN = re.compile(rb"[\x21-\x7e]{1,70}")
_HEADER_END = re.compile(rb"^\r?\n", re.MULTILINE)
_VOLATILE = re.compile(
    rb"^(?:Status|X-Status|X-UID|X-Keywords|X-IMAP|X-IMAPbase|Content-Length):[^\n]*\n(?:[ \t][^\n]*\n)*",
    re.MULTILINE | re.IGNORECASE,
)

Read = Callable[[int, int], bytes]


class Style(Enum):
    """How identifiers are made."""

    STABLE = "stable"
    TPOP3D = "tpop3d"
    QMAIL = "qmail"


def maildir_uids(base_names: Sequence[bytes], style: Style = Style.STABLE) -> Octets:
    """Return one identifier per base name; a name that occurs again is counted in."""
    if style is Style.TPOP3D:
        return Octets(hashlib.md5(name, usedforsecurity=False).hexdigest().encode() for name in base_names)
    seen: dict[bytes, int] = {}
    return Octets(_maildir_uid(name, seen) for name in base_names)


def _maildir_uid(name: bytes, seen: dict[bytes, int]) -> bytes:
    count = seen[name] = seen.get(name, 0) + 1
    if count > 1:
        # "/" cannot occur in a file name, so this digests nothing that another message is called.
        return _digest(name + b"/%d" % count)
    return name if _CLEAN.fullmatch(name) else _digest(name)


def mbox_uids(digests: Octets) -> Octets:
    """Return one identifier per message digest, twins numbered in file order."""
    return Octets(_numbered(digests))


def _numbered(digests: Iterable[bytes]) -> Iterator[bytes]:
    seen: dict[bytes, int] = {}
    for digest in digests:
        count = seen[digest] = seen.get(digest, 0) + 1
        yield digest if count == 1 else b"%s-%d" % (digest, count)


def tpop3d_digest(read: Read, extent: int) -> bytes:
    """Digest one mbox message as tpop3d did.

    Args:
        read: returns octets by offset (from the start of the From_ line) and length.
        extent: octets from the From_ line to the next one, the empty line between them included.
    """
    octets = read(0, min(extent, 512))
    return hashlib.md5(octets, usedforsecurity=False).hexdigest().encode()


def mbox_digest(read: Read, from_length: int, length: int) -> bytes:
    """Digest one mbox message.

    Args:
        read: returns octets by offset (from the start of the From_ line) and length.
        from_length: octets of the From_ line with its line end.
        length: octets of the content behind it.
    """
    start = read(0, from_length + min(length, _WHOLE))
    content = start[from_length:]
    end = _HEADER_END.search(content)
    headers = content[: end.end()] if end else b""  # no end within 64 KiB: all of it counts as body
    body_length = length - len(headers)
    body = content[len(headers) :]
    body_at = from_length + len(headers)
    if len(body) < body_length <= _WHOLE:
        body = read(body_at, body_length)
    elif body_length > _WHOLE:
        body = read(body_at, _EDGE) + read(from_length + length - _EDGE, _EDGE)
    return _digest(b"%s%s\0%d\0%s" % (start[:from_length], _VOLATILE.sub(b"", headers), body_length, body))


def _digest(octets: bytes) -> bytes:
    return hashlib.sha256(octets).hexdigest()[:32].encode()
