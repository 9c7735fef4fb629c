from __future__ import annotations

import pytest

from tpop3d_py.pop3.numbers import line_count, message_index

WRONG = [
    b"", b" ", b"+1", b"-1", b"1 ", b" 1", b"1_0", b"1.", b"1e1", b"0x1", b"one", b"\xb9", b"\xd9\xa1",
    b"1\x00", b"\n1", b"--1", b"1,2", b"1-2", b"*",
]  # fmt: skip


@pytest.mark.parametrize("word", WRONG)
def test_what_is_no_number(word: bytes) -> None:
    assert message_index(word, 10**10) is None
    assert line_count(word) is None


@pytest.mark.parametrize(("word", "index"), [(b"1", 0), (b"3", 2), (b"10", 9), (b"123456789", 123456788)])
def test_message_numbers_count_from_one(word: bytes, index: int) -> None:
    assert message_index(word, index + 1) == index
    assert message_index(word, index) is None


@pytest.mark.parametrize("word", [b"0", b"00", b"01", b"1234567890", b"4294967297", b"9" * 400])
def test_zeros_in_front_and_huge_numbers_are_no_messages(word: bytes) -> None:
    assert message_index(word, 10**12) is None


@pytest.mark.parametrize(
    ("word", "lines"),
    [(b"0", 0), (b"00", 0), (b"2147483647", 2**31 - 1), (b"9" * 18, 10**18 - 1), (b"9" * 19, None)],
)
def test_line_counts(word: bytes, lines: int | None) -> None:
    assert line_count(word) == lines
