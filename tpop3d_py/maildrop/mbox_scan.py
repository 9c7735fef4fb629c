r"""Where the messages of an mbox lie, found at memory speed.

A separator is a From_ line at the start of the file or after an empty line (``LF LF``, ``CRLF CRLF``)
that looks like one: ``From``, a sender, and a date in the manner of asctime(3), with or without seconds
and time zone, as Exim, Postfix, procmail and mail readers write it.  "From here on ..." in a body is
text.  ``Content-Length`` is not believed.

The one empty line before the next From_ line (or at the end of the file) was put there by the MTA and
belongs to no message, so sizes do not change when the next mail is appended.  Everything else is left as
stored: ``>From``, Status fields, CR. A first message of folder data that the c-client library keeps
("DON'T DELETE THIS MESSAGE") is no message of ours.

The file is read in blocks rather than mapped: a mapping kills the process when somebody who ignores locks
cuts the file.  What identifiers are made of is made here too, while the octets are at hand: to read a large
mailbox a second time, for UIDL, took longer than the scan.

When things fail: `NotMboxError` if the file does not begin with a From_ line; `OSError` if it cannot be
read.
"""

from __future__ import annotations

import errno
import os
import re
import zlib
from array import array

from tpop3d_py.libc import Window
from tpop3d_py.maildrop.columns import Octets
from tpop3d_py.maildrop.files import read_all
from tpop3d_py.maildrop.mbox_snapshot import COLUMNS, SAMPLE, MboxSnapshot
from tpop3d_py.maildrop.uidl import DIGEST, LONGEST_HEADER, Style, mbox_digest, tpop3d_digest

_BLOCK = 256 * 1024  # stays in the processor's second cache while it is looked at
_HEADERS = 8192
_CHOSEN = 62
_CR, _LF = 13, 10
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


def scan(fd: int, length: int, held: MboxSnapshot | None = None, style: Style = Style.STABLE) -> MboxSnapshot:
    """Index the first `length` octets of an mbox.

    Args:
        fd: the mailbox.
        length: its size.
        held: an index of its beginning, one message at least, that is known to fit: what follows the last
            message's From_ line is read.
        style: how identifiers are made, those in `held` too.

    Raises:
        NotMboxError: it does not begin with a From_ line.
        OSError: it cannot be read, or is shorter.
    """
    base = held.starts[-1] if held is not None else 0
    content_end = length - _tail(read_all(fd, 3, max(0, length - 3)))
    window = Window(min(length - base, _BLOCK + _OVERLAP))
    builder = _Builder(fd, window, length, held, style)
    while base < length:
        got = _fill(fd, window.view[: length - base], base)
        limit = got if base + got == length else _BLOCK
        if window.octets[limit - 1] == _CR and base + limit < length:
            limit -= 1  # do not cut a CRLF in two
        builder.block(base, min(limit, content_end - base), got)
        base += limit
    snapshot = builder.end(length - content_end)
    if held is None and len(snapshot) and _is_internal(read_all(fd, min(_HEADERS, snapshot.ends[0]), 0)):
        _hide_first(snapshot)
    snapshot.are_unique = snapshot.digests.are_unique()
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


def _tail(last: bytes) -> int:
    """Return the octets of the empty line at the end of a file, given its last three octets."""
    return 1 if last.endswith(b"\n\n") else 2 if last.endswith(b"\n\r\n") else 0


class _Builder:
    """Turns blocks of an mbox into columns; offsets are absolute unless called `at`.

    Args:
        fd: the mailbox, for a header that is longer than what is left of a block.
        window: where blocks are put.
        length: octets of the mailbox.
        held: its last message begins the first block; those before it are taken over.
        style: how identifiers are made.
    """

    def __init__(self, fd: int, window: Window, length: int, held: MboxSnapshot | None, style: Style) -> None:
        self._fd = fd
        self._window = window
        self._snapshot = MboxSnapshot()
        self._snapshot.length = length
        self._digests = bytearray()
        if held is not None:
            for name, _ in COLUMNS:
                setattr(self._snapshot, name, getattr(held, name)[:-1])
            self._digests += held.digests.blob[: DIGEST * (len(held) - 1)]
        self._is_stable = style is Style.STABLE
        self._counted = 0  # content up to here has been taken in
        self._last = _LF  # the last octet that was
        self._extra = 0  # bare LFs of the open message: each is one octet more on the wire
        self._sample = self._head = b""  # its first octets; its From_ line and header
        self._body_at = self._crc = 0  # where its body begins, and the CRC-32 of that

    def block(self, base: int, limit: int, got: int) -> None:
        """Take in the octets before `limit`; those up to `got` only complete a From_ line or a sample."""
        buffer = self._window.octets
        has_cr = buffer.find(b"\r", 0, got) >= 0
        has_nul = self._window.has_nul(got)
        if not self._sample:
            first = _FROM_LINE.match(buffer, 0, got)
            if first is None:
                raise NotMboxError
            self._begin(base, 0, first.end(), got, has_cr)
        at = max(0, self._counted - base)
        search_at = at
        # A From_ line belongs to the block in which the empty line before it begins.
        while (found := self._separator(search_at, got, has_nul)) and (
            found.start() - (gap := _gap(buffer, found.start())) - 1 < limit
        ):
            following = found.start()
            self._take(base, at, following - gap, has_cr)
            self._finish(base + following, gap)
            at = search_at = found.end()
            self._begin(base, following, at, got, has_cr)
        self._take(base, at, limit, has_cr)
        self._counted = base + max(at, limit)

    def end(self, tail: int) -> MboxSnapshot:
        """Close the last message, behind which is an empty line of `tail` octets, and return the columns."""
        snapshot = self._snapshot
        if not snapshot.length:
            return snapshot
        if self._last != _LF:
            self._extra += 2  # the wire filter completes the last line
        self._finish(snapshot.length, tail)
        snapshot.digests = _joined(bytes(self._digests))
        return snapshot

    def _separator(self, at: int, got: int, has_nul: bool) -> re.Match[bytes] | None:
        """Return the next From_ line that is one."""
        if not has_nul and (at := self._window.find(b"\nFrom ", max(0, at - 1), got) + 1) == 0:
            return None
        return _SEPARATOR.search(self._window.octets, at, got)

    def _begin(self, base: int, at: int, content_at: int, got: int, has_cr: bool) -> None:
        buffer = self._window.octets
        self._snapshot.starts.append(base + at)
        self._snapshot.heads.append(content_at - at)
        self._sample = bytes(buffer[at : min(got, at + SAMPLE)])
        self._counted = base + content_at
        self._extra, self._last = 0, _LF
        if self._is_stable:
            self._crc = 0
            end = _header_end(buffer, content_at, min(got, content_at + LONGEST_HEADER), has_cr)
            if end is None:
                self._head = self._read_head(base + at, content_at - at)
            else:
                self._head = bytes(buffer[at:end])
            self._body_at = base + at + len(self._head)

    def _read_head(self, start: int, from_length: int) -> bytes:
        """Return a From_ line and a header that does not end within the window."""
        text = read_all(self._fd, min(from_length + LONGEST_HEADER, self._snapshot.length - start), start)
        return text[: _header_end(text, from_length, len(text), True)]

    def _take(self, base: int, at: int, end: int, has_cr: bool) -> None:
        """Take in a part of the open message."""
        if at >= end:
            return
        octets = bytes(self._window.view[at:end])
        self._last = octets[-1]
        # Twice as fast as to count LFs: `bytes.count` goes octet by octet, `bytes.replace` looks with memchr.
        self._extra += len(octets.replace(b"\n", b"\r\n")) - len(octets)
        if has_cr:
            self._extra -= octets.count(b"\r\n")
        if self._is_stable:
            self._crc = zlib.crc32(octets[max(0, self._body_at - base - at) :], self._crc)

    def _finish(self, end: int, tail: int) -> None:
        snapshot = self._snapshot
        start, head = snapshot.starts[-1], snapshot.heads[-1]
        content_end = end - tail
        snapshot.ends.append(end)
        snapshot.tails.append(tail)
        snapshot.sizes.append(content_end - start - head + self._extra)
        snapshot.samples.append(zlib.crc32(self._sample[: content_end - start]))
        if self._is_stable:
            body_length = max(0, content_end - self._body_at)
            self._digests += mbox_digest(self._head[: content_end - start], body_length, self._crc)
        else:
            self._digests += tpop3d_digest(self._sample[: end - start])


def _header_end(octets: bytes | bytearray, content_at: int, limit: int, has_cr: bool) -> int | None:
    """Return where the empty line behind a header ends; None if it does not begin before `limit`."""
    if has_cr:
        found = _HEADER_END.search(octets, content_at - 1, limit)
        return found.end() if found else None
    at = octets.find(b"\n\n", content_at - 1, limit)
    return at + 2 if at >= 0 else None


def _joined(digests: bytes) -> Octets:
    return Octets.joined(digests, array("I", range(0, len(digests) + 1, DIGEST)))


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
    snapshot.digests = _joined(snapshot.digests.blob[DIGEST:])
