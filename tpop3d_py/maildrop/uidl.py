"""Unique identifiers for UIDL, in three styles.

RFC 1939 section 7: an identifier is one to 70 octets of 0x21 to 0x7E, names one message for as long as it
exists, and the server should never use it for another.

``stable``, the default.  Maildir: the base name (up to ``:``), which delivery made unique, if it fits; else
a digest of it.  Flags and the move from ``new`` to ``cur`` do not touch it.

Mbox: the SHA-256, cut to half, of the From_ line, the header without the fields that mail programs change
(Status, X-UID and their like), the length of the body and its CRC-32.  So it outlives status changes,
deliveries, expunges and the loss of every index.  The From_ line stays in: it holds the envelope sender and
the second of delivery, nobody rewrites it, and it tells apart copies of one mail delivered twice.  A header
ends with the first empty line, with the message, or after 64 KiB.

Why a checksum of the body is enough: the header is what tells messages apart, and who sends mail does not
choose all of it, since every MTA adds a Received field with its queue identifier and the time.  Two messages
share an identifier only if From_ line, header, length of the body and CRC-32 are the same.  Delivered mail
never gets as far as the last two.  Mail that a local program appends without Received and Message-ID may, if
it writes two messages with the same header and of the same length within one second.  If their bodies differ
at all, within 32 bits the checksum differs for certain, else but for one such pair in four thousand million.
Who can forge that can write into the mailbox, and needs no tricks.  The whole body counts, wherever it
differs, and at memory speed: SHA-256 of 900 MB takes 510 ms, CRC-32 160.

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

When things fail: nothing can; octets that are no mail at all have an identifier too.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum

from tpop3d_py.maildrop.columns import Octets

LONGEST = 70  # octets of an identifier
#: Octets of a digest.
DIGEST = 32
#: Octets of a message, behind its From_ line, in which the end of its header is looked for.
LONGEST_HEADER = 64 * 1024
_CLEAN = re.compile(rb"[\x21-\x7e]{1,70}")
_VOLATILE = re.compile(
    rb"\n(?:Status|X-Status|X-UID|X-Keywords|X-IMAP|X-IMAPbase|Content-Length):[^\n]*(?:\n[ \t][^\n]*)*",
    re.IGNORECASE,
)


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


def tpop3d_digest(octets: bytes) -> bytes:
    """Digest one mbox message as tpop3d did.

    Args:
        octets: the first 512 from the From_ line on; fewer if the next message, with the empty line before
            it, begins earlier.
    """
    return hashlib.md5(octets, usedforsecurity=False).hexdigest().encode()


def mbox_digest(head: bytes, body_length: int, body_crc: int) -> bytes:
    """Digest one mbox message.

    Args:
        head: its From_ line and its header, the empty line included.
        body_length: octets behind that.
        body_crc: the CRC-32 of these.
    """
    # Numbers first: where they end nobody can move, whatever stands in the header.
    return _digest(b"%d %08x\n%b" % (body_length, body_crc, _VOLATILE.sub(b"", head)))


def _digest(octets: bytes) -> bytes:
    return hashlib.sha256(octets).hexdigest()[:DIGEST].encode()
