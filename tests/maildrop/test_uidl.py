from __future__ import annotations

import hashlib
import os
import re
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.maildrop.kit import FROM, mbox
from tpop3d_py.maildrop import mbox_scan
from tpop3d_py.maildrop.columns import Octets
from tpop3d_py.maildrop.mbox_scan import scan
from tpop3d_py.maildrop.mbox_snapshot import MboxSnapshot
from tpop3d_py.maildrop.uidl import LONGEST_HEADER, maildir_uids, mbox_uids

CLEAN = re.compile(rb"[\x21-\x7e]{1,70}")


def index(octets: bytes) -> MboxSnapshot:
    fd = os.memfd_create("mbox")
    try:
        os.write(fd, octets)
        return scan(fd, len(octets))
    finally:
        os.close(fd)


def digest(message: bytes, from_line: bytes = FROM) -> bytes:
    """Return the digest of a message that stands between two others."""
    found = index(mbox([b"first\n"]) + from_line + message + b"\n" + mbox([b"last\n"]))
    assert len(found.digests) == 3
    return found.digests[1]


def test_maildir_names() -> None:
    names = [b"1.M1P1.host,S=3", b"x" * 70, b"x" * 71, b"with blank", b"\xff", b"a", b"a"]
    uids = list(maildir_uids(names))
    assert uids[:2] == names[:2]
    assert uids[5] == b"a"
    assert len(set(uids)) == len(uids)
    assert all(CLEAN.fullmatch(uid) for uid in uids)


@pytest.mark.parametrize("lines", [0, 1, 10_000])
def test_status_changes_do_not_matter(lines: int) -> None:
    body = b"\nbody\n" + b"line of text\n" * lines
    plain = b"A: 1\nB: 2\n" + body
    for field in (
        b"Status: RO\n",
        b"X-Status: A\n",
        b"x-uid: 7\n",
        b"X-Keywords: a\n\tb\n",
        b"X-IMAPbase: 1 2\n",
        b"Content-Length: 5\n",
    ):
        assert digest(b"A: 1\nB: 2\n" + field + body) == digest(plain)
        assert digest(field + b"A: 1\nB: 2\n" + body) == digest(plain)
    assert digest(b"A: 1\nB: 2\nX-Other: 7\n" + body) != digest(plain)


def test_everything_else_matters() -> None:
    messages = [
        b"A: 1\n\nbody\n",
        b"A: 2\n\nbody\n",
        b"A: 1\n\nbodY\n",
        b"A: 1\n\nStatus: RO\nbody\n",
        b"A: 1\n\nbody\n\n",
        b"\n",
        b"\n\n",
        b"Status\n",
        b"A: 1\nStatus: O\n",
        b"A: 1\n\n" + b"x" * 65_535 + b"a" + b"x" * 9 + b"\n",
        b"A: 1\n\n" + b"x" * 65_535 + b"b" + b"x" * 9 + b"\n",
        b"A: 1\n\n" + b"x" * 65_536 + b"\n",
        b"A: 1\n\n" + b"x" * 65_537 + b"\n",
        b"A: 1\n\n" + b"x" * 1_000_000 + b"\n",
        b"x" * 300_000 + b"\n",
        b"x" * 300_001 + b"\n",
    ]
    assert len({digest(message) for message in messages}) == len(messages)
    assert digest(messages[0]) != digest(messages[0], FROM.replace(b":13", b":14"))


@pytest.mark.parametrize("at", [0, 1, 299, 32_768, 65_536, 299_999])
def test_the_whole_body_counts_wherever_it_differs(at: int) -> None:
    body = bytearray(b"x" * 300_000)
    plain = digest(b"A: 1\n\n" + bytes(body) + b"\n")
    for bit in range(8):
        body[at] ^= 1 << bit
        assert digest(b"A: 1\n\n" + bytes(body) + b"\n") != plain
        body[at] ^= 1 << bit


def test_a_message_without_an_empty_line_is_all_header() -> None:
    assert digest(b"A: 1\nStatus: RO\n") == digest(b"A: 1\n") != digest(b"B: 1\n")
    assert digest(b"Status: RO\n") == digest(b"")


def test_a_header_that_does_not_end_is_cut() -> None:
    endless = b"A: 1\n" * (LONGEST_HEADER // 5 + 1)
    assert digest(endless + b"Status: RO\n\nx\n") != digest(endless + b"\nx\n")
    assert digest(endless[: LONGEST_HEADER - 100] + b"\nStatus: RO\n\nx\n") == digest(
        endless[: LONGEST_HEADER - 100] + b"\n\nx\n"
    )


def expected(from_line: bytes, message: bytes) -> bytes:
    """Make an identifier line by line, as the documentation says."""
    head, body, dropping = [from_line], message, False
    while body and not (len(head) > 1 and head[-1] in (b"\n", b"\r\n")):
        line = body[: body.find(b"\n") + 1] or body
        body = body[len(line) :]
        if not (dropping and line[:1] in (b" ", b"\t")):
            dropping = line.partition(b":")[0].lower() in (b"status", b"x-uid") and b":" in line
        if not dropping:
            head.append(line)
    numbers = b"%d %08x\n" % (len(body), zlib.crc32(body))
    return hashlib.sha256(numbers + b"".join(head)).hexdigest()[:32].encode()


lines = st.lists(
    st.sampled_from(
        [
            b"A: 1\n",
            b"Status: RO\n",
            b" folded\n",
            b"x-uid: 7\r\n",
            b"\r\n",
            b"\n",
            b"Status\n",
            b"b\0dy\n",
            b">From x\n",
        ]
    ),
    max_size=12,
).map(b"".join)


@given(st.lists(lines, min_size=1, max_size=6), st.integers(1, 400))
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_digests_are_what_the_documentation_says(messages: list[bytes], block: int) -> None:
    octets = mbox(messages)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mbox_scan, "_BLOCK", block)
        found = index(octets)
    for at, digest_of in enumerate(found.digests):
        start = found.starts[at] + found.heads[at]
        content = octets[start : start + found.content_length(at)]
        assert digest_of == expected(octets[found.starts[at] : start], content)
    assert found.are_unique == (len(set(found.digests)) == len(messages))


def test_crlf_headers() -> None:
    assert digest(b"A: 1\r\nStatus: O\r\n\r\nx\r\n") == digest(b"A: 1\r\n\r\nx\r\n")


def test_twins_are_numbered_in_file_order() -> None:
    assert list(mbox_uids(Octets([b"a", b"b", b"a", b"a"]))) == [b"a", b"b", b"a-2", b"a-3"]
