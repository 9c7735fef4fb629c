from __future__ import annotations

import re

import pytest

from tests.maildrop.kit import FROM
from tpop3d_py.maildrop.columns import Octets
from tpop3d_py.maildrop.uidl import maildir_uids, mbox_digest, mbox_uids

CLEAN = re.compile(rb"[\x21-\x7e]{1,70}")


def digest(message: bytes, from_line: bytes = FROM) -> bytes:
    octets = from_line + message

    def read(offset: int, length: int) -> bytes:
        assert length <= 1 << 17, "work per message must be bounded"
        return octets[offset : offset + length]

    return mbox_digest(read, len(from_line), len(message))


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
        b"A: 1\n\nbody",
        b"",
        b"\n",
        b"A: 1\n\n" + b"x" * 65_535 + b"a" + b"x" * 9,
        b"A: 1\n\n" + b"x" * 65_535 + b"b" + b"x" * 9,
        b"A: 1\n\n" + b"x" * 65_536,
        b"A: 1\n\n" + b"x" * 65_537,
        b"A: 1\n\n" + b"x" * 1_000_000,
        b"x" * 300_000,
    ]
    assert len({digest(message) for message in messages}) == len(messages)
    assert digest(messages[0]) != digest(messages[0], FROM.replace(b":13", b":14"))


def test_a_body_of_middle_size_counts_whole() -> None:
    headers = b"".join(b"Received: %d\n" % n for n in range(3000)) + b"\n"
    one, other = bytearray(headers + b"x" * 60_000), bytearray(headers + b"x" * 60_000)
    other[-30_000] = 65
    assert digest(bytes(one)) != digest(bytes(other))


def test_crlf_headers() -> None:
    assert digest(b"A: 1\r\nStatus: O\r\n\r\nx\r\n") == digest(b"A: 1\r\n\r\nx\r\n")


def test_twins_are_numbered_in_file_order() -> None:
    assert list(mbox_uids(Octets([b"a", b"b", b"a", b"a"]))) == [b"a", b"b", b"a-2", b"a-3"]
