"""Opened messages: whole or in chunks, the same octets, and never others than were promised."""

from __future__ import annotations

import errno
import os

import pytest

from tpop3d_py.contracts import BodyInterrupted, MaildropError, MessageGone, Reason, Whole
from tpop3d_py.maildrop.body import StoredBody, opened
from tpop3d_py.maildrop.wire import WireFilter, to_wire

SMALL, LARGE = 64 * 1024, 64 * 1024 + 1
MESSAGES = [
    b"",
    b"a",
    b"\n",
    b"\r\n",
    b"\r",
    b".\n",
    b"a\r\nb\n",
    b"a\n\r\nb\rc\n",
    b"no end of line",
    b"ends with a lone CR\r",
    b"\n" * SMALL,
    b"x" * SMALL,
    b"x" * LARGE,
    b"line\n" * LARGE,
]


class Stored:
    """A source in memory that can be told to fail."""

    def __init__(self, octets: bytes, error: Exception | None = None) -> None:
        self.octets = octets
        self.error = error
        self.closed = 0

    def read(self, offset: int, length: int) -> bytes:
        assert not self.closed, "read after close"
        if self.error is not None:
            raise self.error
        return self.octets[offset : offset + length]

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize("stored", MESSAGES, ids=lambda octets: f"{octets[:12]!r}, {len(octets)}")
def test_whole_or_in_chunks_the_octets_are_the_same(stored: bytes) -> None:
    wire = WireFilter()
    expected = wire.feed(stored) + wire.finish()
    assert to_wire(stored) == expected
    source = Stored(stored)
    body = opened(source, len(stored), len(expected))
    assert isinstance(body, Whole) is (len(stored) <= SMALL)
    assert b"".join(body) == expected
    assert source.closed
    assert b"".join(StoredBody(Stored(stored), len(stored), len(expected))) == expected


def test_a_small_message_holds_no_file_while_it_is_sent() -> None:
    source = Stored(b"a\n")
    body = opened(source, 2, 3)
    assert source.closed == 1
    assert next(body) == b"a\r\n"
    assert next(body, None) is None
    body.close()
    body.close()


WRONG = {
    "shorter": (Stored(b"a\n"), 3, 4),
    "another size on the wire": (Stored(b"a\nb"), 3, 4),
    "empty": (Stored(b""), 1, 3),
    "unreadable": (Stored(b"a", OSError(errno.EIO, os.strerror(errno.EIO))), 1, 3),
    "replaced": (Stored(b"a", MaildropError(Reason.UNAVAILABLE, "another message")), 1, 3),
    "large and shorter": (Stored(b"a\n"), LARGE, LARGE),
    "large and unreadable": (Stored(b"a", OSError(errno.EIO, os.strerror(errno.EIO))), LARGE, LARGE),
}


@pytest.mark.parametrize(("source", "length", "size"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_at_the_beginning_is_found_before_anything_is_said(
    source: Stored, length: int, size: int
) -> None:
    with pytest.raises(MessageGone) as caught:
        opened(source, length, size)
    assert caught.value.reason is Reason.UNAVAILABLE
    assert source.closed


def test_a_large_message_that_shrinks_is_interrupted_at_its_end() -> None:
    source = Stored(b"line\n" * LARGE)
    body = opened(source, 5 * LARGE, 6 * LARGE)
    source.octets = source.octets[:-5]
    with pytest.raises(BodyInterrupted):
        b"".join(body)
    assert source.closed
