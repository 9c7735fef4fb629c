from __future__ import annotations

import email.utils
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.maildrop.kit import FROM, mail, mbox
from tpop3d_py.maildrop import mbox_scan
from tpop3d_py.maildrop.mbox_scan import NotMboxError, scan
from tpop3d_py.maildrop.mbox_snapshot import MboxSnapshot
from tpop3d_py.maildrop.wire import wire_size


@contextmanager
def stored(octets: bytes) -> Iterator[int]:
    fd = os.memfd_create("mbox")
    try:
        os.write(fd, octets)
        yield fd
    finally:
        os.close(fd)


def index(octets: bytes) -> MboxSnapshot:
    with stored(octets) as fd:
        return scan(fd, len(octets))


def contents(octets: bytes) -> list[bytes]:
    """Return what the index calls messages, and check its columns against the octets."""
    found = index(octets)
    cut = []
    for i in range(len(found)):
        start = found.starts[i] + found.heads[i]
        cut.append(octets[start : start + found.content_length(i)])
        assert octets[found.starts[i] :].startswith(b"From ")
        assert octets[start - 1 : start] == b"\n"
        assert found.sizes[i] == wire_size(cut[-1])
        assert octets[found.ends[i] - found.tails[i] : found.ends[i]] in (b"", b"\n", b"\r\n")
    assert list(found.starts[1:]) == list(found.ends[:-1])
    assert not len(found) or found.ends[-1] == len(octets)
    return cut


def slowly(octets: bytes) -> list[bytes]:
    """Cut an mbox line by line."""
    lines = (
        octets.splitlines(keepends=True) if b"\r" not in octets else re.findall(rb"[^\n]*\n|[^\n]+", octets)
    )
    messages: list[list[bytes]] = []
    empty = True
    for line in lines:
        bare = line[:-1].removesuffix(b"\r") if line.endswith(b"\n") else b""
        if empty and bare.startswith(b"From nadawca") and bare.endswith(b"2001") and b"\r" not in bare:
            messages.append([])
        else:
            messages[-1].append(line)
        empty = line in (b"\n", b"\r\n")
    for message in messages:
        if message and message[-1] in (b"\n", b"\r\n"):
            message.pop()
    return [b"".join(message) for message in messages]


def test_what_an_mta_writes() -> None:
    messages = [mail(n, n) for n in range(5)]
    assert contents(mbox(messages)) == messages


@pytest.mark.parametrize(
    "line",
    [
        b"From nadawca@x.pl Tue Jun 05 19:06:13 2001\n",
        b"From nadawca@x.pl  Tue Jun  5 19:06:13 2001\n",
        b"From MAILER-DAEMON Tue Jun 05 19:06:13 2001\n",
        b'From "a b"@x.pl Tue Jun 05 19:06:13 2001\n',
        b"From - Tue Jun 05 19:06:13 2001\n",
        b"From a@b Tue Jun  5 19:06:13 CEST 2001\n",
        b"From a@b Tue Jun  5 19:06:13 MET DST 2001\n",
        b"From a@b Tue Jun  5 19:06:13 2001 +0200\n",
        b"From 123@xxx Tue Jun 05 19:06:13 +0000 2001\n",
        b"From a@b Tue Jun  5 19:06 2001\n",
        b"From a Tue Jun  5 19:06:13 2001 remote from host\n",
        b"From  Tue Jun  5 19:06:13 2001\n",
        b"From nadawca@x.pl Tue Jun 05 19:06:13 2001\r\n",
        b"From " + b"a" * 500 + b"@x Tue Jun 05 19:06:13 2001\n",
        b"From z@x.pl " + time.asctime().encode() + b"\n",
    ],
)
def test_from_lines(line: bytes) -> None:
    body = b"S: 1\n\nx\n"
    assert contents(line + body + b"\n" + line + body + b"\n") == [body, body]


@pytest.mark.parametrize(
    "line",
    [
        b"From here on it was easy.\n",
        b"From Tuesday to Friday at 19:06:13 in 2001\n",
        b"From a@b Tue, 05 Jun 2001\n",
        b"From a@b " + email.utils.formatdate().encode() + b"\n",
        b"From a@b Tue Jun 05 19:06:13\n",
        b">From nadawca@x.pl Tue Jun 05 19:06:13 2001\n",
        b"from nadawca@x.pl Tue Jun 05 19:06:13 2001\n",
        b"From: nadawca@x.pl Tue Jun 05 19:06:13 2001\n",
        b"From " + b"a" * 1000 + b"@x Tue Jun 05 19:06:13 2001\n",
        b"From a\rb Tue Jun 05 19:06:13 2001\n",
    ],
)
def test_lines_of_text(line: bytes) -> None:
    body = b"S: 1\n\nbefore\n\n" + line + b"after\n"
    assert contents(mbox([body])) == [body]
    with pytest.raises(NotMboxError):
        index(line + body)


def test_a_from_line_without_an_empty_line_before_it_is_text() -> None:
    body = b"S: 1\n\nbefore\n" + FROM + b"after\n"
    assert contents(mbox([body])) == [body]


@pytest.mark.parametrize(
    ("octets", "messages"),
    [
        (b"", []),
        (FROM, [b""]),
        (FROM + b"\n", [b""]),
        (FROM + b"\r\n", [b""]),
        (FROM + b"\n" + FROM + b"\n" + FROM, [b"", b"", b""]),
        (FROM + b"a", [b"a"]),
        (FROM + b"a\n", [b"a\n"]),
        (FROM + b"a\n\n", [b"a\n"]),
        (FROM + b"a\n\n\n", [b"a\n\n"]),
        (FROM + b"a\r\n\r\n" + FROM + b"b\r\n\r\n", [b"a\r\n", b"b\r\n"]),
        (FROM + b"a\n\n" + FROM[:-1], [b"a\n\n" + FROM[:-1]]),
        (FROM + b"a\r", [b"a\r"]),
        (FROM + b"Status: RO\nX-UID: 3\n\nb\n\n", [b"Status: RO\nX-UID: 3\n\nb\n"]),
        (FROM + b"a\0\xff\n\n", [b"a\0\xff\n"]),
    ],
)
def test_edges(octets: bytes, messages: list[bytes]) -> None:
    assert contents(octets) == messages


PIECES = st.sampled_from(
    [FROM, FROM[:-1] + b"\r\n", b"\n", b"\r\n", b"x\n", b"x\r\n", b"x", b"\r", b"From \n", FROM[:-3]]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(st.lists(PIECES, max_size=14), st.integers(2049, 2300))
def test_blocks_may_end_anywhere(monkeypatch: pytest.MonkeyPatch, pieces: list[bytes], block: int) -> None:
    # The block is as small as the overlap allows; padding puts the pieces around its end.
    monkeypatch.setattr(mbox_scan, "_BLOCK", block)
    octets = FROM + b"p" * 1990 + b"\n" + b"".join(pieces)
    assert contents(octets) == slowly(octets)


def test_many_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mbox_scan, "_BLOCK", 4096)
    messages = [mail(n, n * 7 % 90).replace(b"\n", b"\r\n" if n % 3 else b"\n") for n in range(200)]
    assert contents(mbox(messages)) == messages


def test_the_internal_message_is_hidden() -> None:
    internal = (
        b"Date: x\nFrom: Mail System Internal Data <MAILER-DAEMON@x>\n"
        b"Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\nX-IMAP: 1 2\nStatus: RO\n\ntext\n"
    )
    found = index(mbox([internal, mail(1)]))
    assert len(found) == 1
    assert found.starts[0] == len(mbox([internal]))
    assert len(index(mbox([mail(1), internal]))) == 2
    assert len(index(mbox([internal.replace(b"X-IMAP", b"X-Other")]))) == 1
    assert len(index(mbox([b"A: b\n\n" + internal]))) == 1


def test_growth_is_recognized() -> None:
    messages = [mail(n) for n in range(3)]
    old, grown = index(mbox(messages)), index(mbox([*messages, mail(9)]))
    assert grown.begins_with(old)
    assert not old.begins_with(grown)
    assert not index(mbox([mail(7), *messages[1:]])).begins_with(old)
    assert not index(mbox([*messages[1:], mail(8), mail(9)])).begins_with(old)


def test_a_file_that_shrinks_is_an_error() -> None:
    with stored(FROM) as fd, pytest.raises(OSError, match="shorter"):
        scan(fd, 1000)


def test_fifty_thousand_messages_are_small() -> None:
    found = index(mbox([b"a\n"] * 50_000))
    assert len(found) == 50_000
    assert found.weight < 7_000_000
