r"""Where the messages of an mbox lie, found at memory speed.

A separator is a From_ line at the start of the file or after an empty line (``LF LF``, ``CRLF CRLF``)
that looks like one: ``From``, a sender, and a date in the manner of asctime(3), with or without seconds
and time zone, as Exim, Postfix, procmail and mail readers write it.  "From here on ..." in a body is
text.  ``Content-Length`` is not believed.

The one empty line before the next From_ line (or at the end of the file) was put there by the MTA and
belongs to no message, so sizes do not change when the next mail is appended.  Everything else is left as
stored: ``>From``, Status fields, CR. A first message of folder data that the c-client library keeps
("DON'T DELETE THIS MESSAGE") is no message of ours.

The file is read in blocks of 1 MiB rather than mapped: a mapping kills the process when somebody who
ignores locks cuts the file.

When things fail: `NotMboxError` if the file does not begin with a From_ line; `OSError` if it cannot be
read.
"""

from __future__ import annotations

import errno
import os
import re
import zlib
from array import array
from collections.abc import Sequence

from tpop3d_py.maildrop.columns import Octets
from tpop3d_py.maildrop.files import read_all

SAMPLE = 512
_BLOCK = 1024 * 1024
_OVERLAP = 2048  # longer than any From_ line we accept, and than a sample
_DATE = (
    rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) +(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) +\d\d?"
    rb" +\d\d?:\d\d(?::\d\d)?(?: +[A-Za-z0-9()+-]{1,9}){0,2}? +\d{4}"
)
_FROM = rb"From (?:[^\r\n]{1,600}? +| *)" + _DATE + rb"(?: [^\r\n]{0,100})?\r?\n"
_FROM_LINE = re.compile(_FROM)
_SEPARATOR = re.compile(rb"\n\r?\n(?=(" + _FROM + rb"))")
_INTERNAL_SUBJECT = b"\nsubject: don't delete this message -- folder internal data"
_HEADER_END = re.compile(rb"\n\r?\n")


class NotMboxError(Exception):
    """The file does not begin like an mbox."""


class MboxSnapshot:
    """The messages of an mbox, in columns.

    Attributes:
        length: octets of the file that were indexed.
        starts: offset of each message's From_ line.
        ends: offset behind each message and its empty line.
        heads: octets of each From_ line.
        tails: octets of the empty line behind each message: 0, 1 or 2.
        sizes: octets on the wire.
        samples: CRC-32 of the first octets, at most 512, from the From_ line on.
        signature: device, inode, size, mtime and ctime under which to trust it later; None for never.
        digests: what identifiers are made of; None until they are asked for.
        uids: identifiers; None until they are asked for.
    """

    __slots__ = (
        "digests",
        "ends",
        "heads",
        "length",
        "samples",
        "signature",
        "sizes",
        "starts",
        "tails",
        "uids",
    )

    def __init__(self) -> None:
        self.length = 0
        self.starts = array("Q")
        self.ends = array("Q")
        self.heads = array("H")
        self.tails = array("B")
        self.sizes = array("Q")
        self.samples = array("I")
        self.signature: Sequence[int] | None = None
        self.digests: Octets | None = None
        self.uids: Octets | None = None

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def weight(self) -> int:
        """Approximate memory in octets, identifiers included."""
        return 120 * len(self.starts) + 500

    def content_length(self, index: int) -> int:
        """Return the stored octets of a message, without From_ line and without the empty line behind it."""
        return self.ends[index] - self.starts[index] - self.heads[index] - self.tails[index]

    def sample_length(self, index: int) -> int:
        """Return how many octets a message's sample covers."""
        return min(SAMPLE, self.heads[index] + self.content_length(index))

    def begins_with(self, older: MboxSnapshot) -> bool:
        """Tell whether every message of an older snapshot is here, at its old place and unchanged."""
        count = len(older)
        columns = ("starts", "heads", "sizes", "samples")
        return all(getattr(self, column)[:count] == getattr(older, column) for column in columns)

    def inherit(self, older: MboxSnapshot) -> None:
        """Take over digests of messages that did not change, so that they are not read again."""
        if older.digests is not None and self.begins_with(older):
            self.digests = older.digests


def scan(fd: int, length: int) -> MboxSnapshot:
    """Index the first `length` octets of an mbox.

    Raises:
        NotMboxError: it does not begin with a From_ line.
        OSError: it cannot be read, or is shorter.
    """
    builder = _Builder()
    buffer = bytearray(min(length, _BLOCK + _OVERLAP))
    base = 0
    with memoryview(buffer) as view:
        while base < length:
            got = _fill(fd, view[: min(len(buffer), length - base)], base)
            limit = got if base + got == length else _BLOCK
            if buffer[limit - 1] == 13 and base + limit < length:
                limit -= 1  # do not cut a CRLF in two
            builder.block(buffer, base, limit, got)
            base += limit
    snapshot = builder.end(length, read_all(fd, 3, max(0, length - 3)))
    if len(snapshot) and _is_internal(read_all(fd, min(_OVERLAP * 4, snapshot.ends[0]), 0)):
        _hide_first(snapshot)
    return snapshot


def _fill(fd: int, view: memoryview, offset: int) -> int:
    done = 0
    while done < len(view):
        got = os.preadv(fd, [view[done:]], offset + done)
        if not got:
            raise OSError(errno.EIO, "mailbox became shorter while it was read")
        done += got
    return done


class _Builder:
    """Turns blocks of an mbox into columns; offsets are absolute unless called `at`."""

    def __init__(self) -> None:
        self._snapshot = MboxSnapshot()
        self._counted = 0  # content up to here is in `_extra`
        self._extra = 0  # bare LFs of the open message: each is one octet more on the wire
        self._sample = b""

    def block(self, buffer: bytearray, base: int, limit: int, got: int) -> None:
        """Take in the octets before `limit`; those up to `got` only complete a From_ line or a sample."""
        has_cr = buffer.find(b"\r", 0, limit) >= 0
        if base == 0:
            first = _FROM_LINE.match(buffer, 0, got)
            if first is None:
                raise NotMboxError
            self._begin(buffer, 0, 0, first.end())
        at = max(0, self._counted - base)
        # The line end of a From_ line may be the first half of the empty line before the next one.
        search_at = max(0, at - 1)
        while (found := _SEPARATOR.search(buffer, search_at, got)) and found.start() < limit:
            end, following = found.start() + 1, found.end()
            self._count(buffer, at, end, has_cr)
            self._finish(base + following, following - end)
            at = following + len(found[1])
            self._begin(buffer, base, following, at)
            search_at = at - 1
        self._count(buffer, at, limit, has_cr)
        self._counted = base + max(at, limit)

    def end(self, length: int, last: bytes) -> MboxSnapshot:
        """Close the last message, given the last three octets of the file, and return the columns."""
        snapshot = self._snapshot
        snapshot.length = length
        if not length:
            return snapshot
        content = length - snapshot.starts[-1] - snapshot.heads[-1]
        tail = 0
        if content >= 1 and last.endswith(b"\n\n"):
            tail, self._extra = 1, self._extra - 1
        elif content >= 2 and last.endswith(b"\n\r\n"):
            tail = 2
        elif content and not last.endswith(b"\n"):
            self._extra += 2  # the wire filter completes the last line
        self._finish(length, tail)
        return snapshot

    def _begin(self, buffer: bytearray, base: int, at: int, content_at: int) -> None:
        self._snapshot.starts.append(base + at)
        self._snapshot.heads.append(content_at - at)
        self._sample = bytes(buffer[at : at + SAMPLE])
        self._extra = 0
        self._counted = base + content_at

    def _count(self, buffer: bytearray, at: int, end: int, has_cr: bool) -> None:
        if at < end:
            self._extra += buffer.count(b"\n", at, end)
            if has_cr:
                self._extra -= buffer.count(b"\r\n", at, end)

    def _finish(self, end: int, tail: int) -> None:
        snapshot = self._snapshot
        start = snapshot.starts[-1]
        snapshot.ends.append(end)
        snapshot.tails.append(tail)
        snapshot.sizes.append(end - start - snapshot.heads[-1] - tail + self._extra)
        snapshot.samples.append(zlib.crc32(self._sample[: end - start - tail]))


def _is_internal(start: bytes) -> bool:
    end = _HEADER_END.search(start)
    headers = start[: end.start() + 1].lower() if end else start.lower()
    return b"\nx-imap:" in headers and _INTERNAL_SUBJECT in headers


def _hide_first(snapshot: MboxSnapshot) -> None:
    for column in (snapshot.starts, snapshot.ends, snapshot.heads, snapshot.tails):
        del column[0]
    del snapshot.sizes[0]
    del snapshot.samples[0]
