from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pop3.fakes import FakeBody
from tpop3d_py.contracts import BodyInterrupted
from tpop3d_py.pop3.bodies import Retrieval, Top


def slow_top(message: bytes, lines: int) -> bytes:
    """TOP as RFC 1939 section 7 tells it: line by line."""
    wanted: list[bytes] = []
    in_headers = True
    for line in message.splitlines(keepends=True):
        if not in_headers:
            if lines == 0:
                break
            lines -= 1
        wanted.append(line)
        if line == b"\r\n":
            in_headers = False
    return b"".join(wanted)


def top(message: bytes, lines: int, chunk: int) -> bytes:
    return b"".join(Top(FakeBody(message, chunk, None), lines))


@pytest.mark.parametrize("lines", [0, 1, 2, 3, 999_999_999])
@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\r\n",
        b"\r\n\r\n",
        b"\r\n\r\n\r\n",
        b"a: b\r\n",
        b"a: b\r\n\r\n",
        b"a: b\r\n\r\nx\r\n",
        b"a: b\r\n\r\nx\r\n\r\ny\r\n",
        b"\r\nx\r\ny\r\n",
        b"a: b\r\n \r\n\r\n.\r\n",
    ],
)
def test_wherever_the_chunks_are_cut(message: bytes, lines: int) -> None:
    for chunk in range(1, len(message) + 2):
        assert top(message, lines, chunk) == slow_top(message, lines)


@given(
    st.lists(st.sampled_from([b"", b"", b"a", b".", b"header: x"]), max_size=15),
    st.integers(0, 16),
    st.integers(1, 60),
)
def test_like_the_slow_way(lines: list[bytes], wanted: int, chunk: int) -> None:
    message = b"".join(line + b"\r\n" for line in lines)
    assert top(message, wanted, chunk) == slow_top(message, wanted)


def test_a_bare_cr_is_part_of_a_line() -> None:
    assert top(b"a\r\r\nb\r\n\r\nc\rd\r\ne\r\n", 1, 3) == b"a\r\r\nb\r\n\r\nc\rd\r\n"


def test_reading_stops_early_and_closes_the_message() -> None:
    body = FakeBody(b"a: b\r\n\r\n" + b"x\r\n" * 100_000, 1000, None)
    assert b"".join(Top(body, 5)) == b"a: b\r\n\r\n" + b"x\r\n" * 5
    assert body.read == 1000
    assert body.closed


def test_what_breaks_off_is_closed_and_told() -> None:
    body = FakeBody(b"a: b\r\n" * 100, 10, 50)
    outgoing = Top(body, 5)
    with pytest.raises(BodyInterrupted):
        list(outgoing)
    assert body.closed
    assert list(outgoing) == []


def test_an_end_before_the_wanted_lines_closes_the_message() -> None:
    body = FakeBody(b"a: b\r\n\r\nx\r\n", 5, None)
    assert b"".join(Top(body, 9)) == b"a: b\r\n\r\nx\r\n"
    assert body.closed


def test_top_may_be_closed_unread() -> None:
    body = FakeBody(b"a: b\r\n", 5, None)
    cut = Top(body, 9)
    cut.close()
    assert body.closed
    assert list(cut) == []


def test_retrieval_tells_the_end_and_only_the_end() -> None:
    ends: list[bool] = []
    body = FakeBody(b"abcdef", 4, None)
    retrieval = Retrieval(body, lambda: ends.append(True))
    assert list(itertools.islice(retrieval, 2)) == [b"abcd", b"ef"]
    assert ends == []
    assert list(retrieval) == []
    assert ends == [True]
    retrieval.close()
    assert body.closed


def test_an_interrupted_retrieval_has_no_end() -> None:
    ends: list[bool] = []
    with pytest.raises(BodyInterrupted):
        list(Retrieval(FakeBody(b"abcdef", 4, 4), lambda: ends.append(True)))
    assert ends == []
