from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tpop3d_py.pop3.lines import COMMAND_LIMIT, TOO_LONG, Expected, LineBuffer, TooLong
from tpop3d_py.pop3.sasl import RESPONSE_LIMIT

Line = bytes | TooLong


def take(buffer: LineBuffer) -> list[Line]:
    lines: list[Line] = []
    while (line := buffer.next_line()) is not None:
        lines.append(line)
    return lines


def feed(buffer: LineBuffer, *pieces: bytes) -> list[Line]:
    lines: list[Line] = []
    for piece in pieces:
        buffer.feed(piece)
        lines += take(buffer)
    return lines


def slow_lines(octets: bytes, limit: int) -> list[Line]:
    """What the lines are, told without cleverness; an unfinished line counts once it is too long."""
    *complete, rest = octets.split(b"\n")
    lines: list[Line] = []
    for line in complete:
        lines.append(TOO_LONG if len(line) + 1 > limit else line.removesuffix(b"\r"))
    if len(rest) >= limit:
        lines.append(TOO_LONG)
    return lines


@pytest.mark.parametrize(
    ("octets", "lines"),
    [
        (b"", []),
        (b"NOOP", []),
        (b"\n", [b""]),
        (b"\r\n", [b""]),
        (b"\r", []),
        (b"\r\r\n", [b"\r"]),
        (b"\n\r", [b""]),
        (b"A\rB\r\n", [b"A\rB"]),
        (b"NOOP\r\nSTAT\nQU", [b"NOOP", b"STAT"]),
        (b"\x00\xff\r\n", [b"\x00\xff"]),
    ],
)
def test_line_ends(octets: bytes, lines: list[bytes]) -> None:
    assert feed(LineBuffer(), octets) == lines
    assert feed(LineBuffer(), *(bytes([octet]) for octet in octets)) == lines


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_the_limit_counts_the_line_end(end: bytes) -> None:
    longest = b"x" * (COMMAND_LIMIT - len(end))
    assert feed(LineBuffer(), longest + end) == [longest]
    assert feed(LineBuffer(), b"x" + longest + end) == [TOO_LONG]


def test_an_overlong_line_is_told_once_and_early_and_the_next_line_is_served() -> None:
    buffer = LineBuffer(8)
    assert feed(buffer, b"1234567") == []
    assert feed(buffer, b"8") == [TOO_LONG]
    assert feed(buffer, *[b"9" * 100] * 100) == []
    assert feed(buffer, b"tail\r\nNOOP\r\n") == [b"NOOP"]


def test_memory_is_bounded_by_the_limit_whatever_arrives() -> None:
    buffer = LineBuffer(64)
    for _ in range(100):
        feed(buffer, b"x" * 50_000)
        assert buffer.pending < 64
    feed(buffer, b"\n" + b"NOOP\r\n" * 5_000 + b"y" * 63)
    assert buffer.pending == 63


def test_clear_forgets_lines_and_half_lines() -> None:
    buffer = LineBuffer()
    buffer.feed(b"STLS\r\nUSER injected\r\nPASS inj")
    assert buffer.next_line() == b"STLS"
    buffer.clear()
    assert buffer.pending == 0
    assert feed(buffer, b"ected\r\nNOOP\r\n") == [b"ected", b"NOOP"]


def test_clear_forgets_that_a_line_was_being_discarded() -> None:
    buffer = LineBuffer(8)
    assert feed(buffer, b"123456789") == [TOO_LONG]
    buffer.clear()
    assert feed(buffer, b"NOOP\n") == [b"NOOP"]


def test_nothing_is_lost_when_more_is_fed_before_all_lines_were_taken() -> None:
    buffer = LineBuffer()
    taken: list[Line | None] = []
    for number in range(100):
        buffer.feed(b"LIST %d\r\nRETR " % number + b"%d\r\n" % number)
        taken.append(buffer.next_line())
    rest = take(buffer)
    assert [*taken, *rest] == [b"%b %d" % (verb, n) for n in range(100) for verb in (b"LIST", b"RETR")]


def test_pending_counts_untaken_lines_too() -> None:
    buffer = LineBuffer()
    buffer.feed(b"NOOP\r\nST")
    assert buffer.pending == 8
    buffer.next_line()
    assert buffer.pending == 2


@pytest.mark.parametrize(
    ("expected", "start", "limit"),
    [
        (Expected.COMMAND, b"AUTH PLAIN ", COMMAND_LIMIT),
        (Expected.LOGIN, b"AUTH PLAIN ", RESPONSE_LIMIT),
        (Expected.LOGIN, b"auth plain ", RESPONSE_LIMIT),
        (Expected.LOGIN, b"AUTHX ", COMMAND_LIMIT),
        (Expected.LOGIN, b"AUTH", COMMAND_LIMIT),
        (Expected.LOGIN, b"USER ", COMMAND_LIMIT),
        (Expected.LOGIN, b" AUTH ", COMMAND_LIMIT),
        (Expected.RESPONSE, b"", RESPONSE_LIMIT),
        (Expected.RESPONSE, b"USER ", RESPONSE_LIMIT),
    ],
)
@pytest.mark.parametrize("piece", [1, 100, 100_000])
def test_the_limit_is_raised_for_sasl_only(expected: Expected, start: bytes, limit: int, piece: int) -> None:
    longest = start + b"x" * (limit - len(start) - 2)
    for line, result in ((longest, longest), (longest + b"y", TOO_LONG), (b"y" * 9000, TOO_LONG)):
        buffer = LineBuffer()
        octets = line + b"\r\nNOOP\r\n"
        lines: list[Line] = []
        for at in range(0, len(octets), piece):
            buffer.feed(octets[at : at + piece])
            while (taken := buffer.next_line(expected)) is not None:
                lines.append(taken)
            assert buffer.pending < limit
        assert lines == [result, b"NOOP"]


def test_a_line_that_became_too_long_while_another_was_expected() -> None:
    buffer = LineBuffer()
    buffer.feed(b"AUTH PLAIN\r\n" + b"x" * 600)
    assert buffer.next_line(Expected.LOGIN) == b"AUTH PLAIN"
    assert buffer.next_line(Expected.RESPONSE) is None
    buffer.feed(b"\r\n")
    assert buffer.next_line(Expected.RESPONSE) == b"x" * 600


awkward = st.lists(
    st.sampled_from([b"\r", b"\n", b"\r\n", b"a", b"bc", b"12345678", b"\x00", b"x" * 20])
    | st.binary(max_size=12),
    max_size=40,
)


@given(awkward, st.integers(2, 24))
def test_any_octets_in_any_pieces_make_the_same_lines(pieces: list[bytes], limit: int) -> None:
    octets = b"".join(pieces)
    expected = slow_lines(octets, limit)
    assert feed(LineBuffer(limit), *pieces) == expected
    assert feed(LineBuffer(limit), octets) == expected
    assert feed(LineBuffer(limit), *(bytes([octet]) for octet in octets)) == expected


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"STAT\r\n", b"STAT"),
        (b"STAT\n", b"STAT"),
        (b"\n", b""),
        (b"\r\n", b""),
        (b"\r\r\n", b"\r"),
        (b"A" * 510 + b"\r\n", b"A" * 510),
        (b"A" * 511 + b"\r\n", None),
        (b"STAT", None),
        (b"STAT\r", None),
        (b"STAT\r\nQ", None),
        (b"STAT\r\nQUIT\r\n", None),
        (b"\n\n", None),
    ],
)
def test_one_whole_command_is_taken_at_once_and_anything_else_must_be_fed(
    data: bytes, line: bytes | None
) -> None:
    lines = LineBuffer()
    assert lines.whole(data) == line
    lines.feed(data)
    if line is not None:
        assert lines.next_line() == line, "both ways must agree"


def test_nothing_is_taken_past_octets_that_wait_or_that_are_dropped() -> None:
    lines = LineBuffer()
    lines.feed(b"ST")
    assert lines.next_line() is None
    assert lines.whole(b"AT\r\n") is None
    lines = LineBuffer(16)
    lines.feed(b"x" * 20)
    assert lines.next_line() is TOO_LONG
    assert lines.whole(b"tail\r\n") is None
    lines.feed(b"tail\r\n")
    assert lines.next_line() is None
    assert lines.whole(b"NOOP\r\n") == b"NOOP"
