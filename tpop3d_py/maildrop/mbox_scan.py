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

from tpop3d_py.maildrop.files import read_all
from tpop3d_py.maildrop.mbox_snapshot import COLUMNS, SAMPLE, MboxSnapshot

_BLOCK = 1024 * 1024
_HEADERS = 8192
_CHOSEN = 62
_OVERLAP = 2048  # longer than any From_ line we accept, and than a sample
_DATE = (
    rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) +(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) +\d\d?"
    rb" +\d\d?:\d\d(?::\d\d)?(?: +[A-Za-z0-9()+-]{1,9}){0,2}? +\d{4}"
)
_FROM = rb"From (?:[^\r\n]{1,600}? +| *)" + _DATE + rb"(?: [^\r\n]{0,100})?\r?\n"
_FROM_LINE = re.compile(_FROM)
# The word first, what stands before it second: the search for a literal is four times as fast.
_SEPARATOR = re.compile(rb"From (?:(?<=\n\nFrom )|(?<=\n\r\nFrom ))" + _FROM.removeprefix(b"From "))
_INTERNAL_SUBJECT = b"\nsubject: don't delete this message -- folder internal data"
_HEADER_END = re.compile(rb"\n\r?\n")


class NotMboxError(Exception):
    """The file does not begin like an mbox."""


def scan(fd: int, length: int, held: MboxSnapshot | None = None) -> MboxSnapshot:
    """Index the first `length` octets of an mbox.

    Args:
        fd: the mailbox.
        length: its size.
        held: an index of its beginning, one message at least, that is known to fit: what follows the last
            message's From_ line is read.

    Raises:
        NotMboxError: it does not begin with a From_ line.
        OSError: it cannot be read, or is shorter.
    """
    origin = held.starts[-1] if held is not None else 0
    builder = _Builder(origin, held)
    buffer = bytearray(min(length - origin, _BLOCK + _OVERLAP))
    base = origin
    with memoryview(buffer) as view:
        while base < length:
            got = _fill(fd, view[: min(len(buffer), length - base)], base)
            limit = got if base + got == length else _BLOCK
            if buffer[limit - 1] == 13 and base + limit < length:
                limit -= 1  # do not cut a CRLF in two
            builder.block(buffer, base, limit, got)
            base += limit
    snapshot = builder.end(length, read_all(fd, 3, max(0, length - 3)))
    if held is None and len(snapshot) and _is_internal(read_all(fd, min(_HEADERS, snapshot.ends[0]), 0)):
        _hide_first(snapshot)
    return snapshot


def seems_to_fit(fd: int, snapshot: MboxSnapshot) -> bool:
    """Tell whether a mailbox begins with the messages of a snapshot, as far as samples tell.

    The first message, the last and some sixty between them are looked at, and a message that is hidden.
    """
    count = len(snapshot)
    if not count:
        return False
    first = snapshot.starts[0]
    if first and not (
        _FROM_LINE.match(start := read_all(fd, min(_HEADERS, first), 0)) and _is_internal(start)
    ):
        return False
    chosen = {*range(0, count, max(1, count // _CHOSEN)), count - 1}
    return all(
        zlib.crc32(read_all(fd, snapshot.sample_length(index), snapshot.starts[index]))
        == snapshot.samples[index]
        for index in sorted(chosen)
    )


def _fill(fd: int, view: memoryview, offset: int) -> int:
    done = 0
    while done < len(view):
        got = os.preadv(fd, [view[done:]], offset + done)
        if not got:
            raise OSError(errno.EIO, "mailbox became shorter while it was read")
        done += got
    return done


class _Builder:
    """Turns blocks of an mbox into columns; offsets are absolute unless called `at`.

    Args:
        origin: where it begins: at a From_ line.
        held: its last message begins there; those before it are taken over.
    """

    def __init__(self, origin: int, held: MboxSnapshot | None) -> None:
        self._snapshot = MboxSnapshot()
        self._origin = origin
        if held is not None:
            for name, _ in COLUMNS:
                setattr(self._snapshot, name, getattr(held, name)[:-1])
        self._counted = 0  # content up to here is in `_extra`
        self._extra = 0  # bare LFs of the open message: each is one octet more on the wire
        self._sample = b""

    def block(self, buffer: bytearray, base: int, limit: int, got: int) -> None:
        """Take in the octets before `limit`; those up to `got` only complete a From_ line or a sample."""
        has_cr = buffer.find(b"\r", 0, limit) >= 0
        if base == self._origin:
            first = _FROM_LINE.match(buffer, 0, got)
            if first is None:
                raise NotMboxError
            self._begin(buffer, base, 0, first.end())
        at = max(0, self._counted - base)
        search_at = at
        # A From_ line belongs to the block in which the empty line before it begins.
        while (found := _SEPARATOR.search(buffer, search_at, got)) and (
            found.start() - (gap := _gap(buffer, found.start())) - 1 < limit
        ):
            following = found.start()
            end = following - gap
            self._count(buffer, at, end, has_cr)
            self._finish(base + following, gap)
            at = search_at = found.end()
            self._begin(buffer, base, following, at)
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


def _gap(buffer: bytearray, at: int) -> int:
    """Return the octets of the empty line before a From_ line."""
    return 2 if buffer[at - 2] == 13 else 1


def _is_internal(start: bytes) -> bool:
    end = _HEADER_END.search(start)
    headers = start[: end.start() + 1].lower() if end else start.lower()
    return b"\nx-imap:" in headers and _INTERNAL_SUBJECT in headers


def _hide_first(snapshot: MboxSnapshot) -> None:
    for column in (snapshot.starts, snapshot.ends, snapshot.heads, snapshot.tails):
        del column[0]
    del snapshot.sizes[0]
    del snapshot.samples[0]
