"""Searching octets with the C library gives what Python's own search gives."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tpop3d_py.libc import Window, contains, keep_heap, return_memory

#: Few different octets, so that needles occur, half occur, and have a NUL before or behind them.
octets = st.lists(st.sampled_from([b"\n", b".", b"\0", b"F", b"\xff", b"\r"]), max_size=80).map(b"".join)


@given(octets, st.sampled_from([b"\n.", b".", b"\r\n.", b"\nF"]))
def test_contains_is_what_in_says(data: bytes, needle: bytes) -> None:
    assert contains(data, needle) == (needle in data)


@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 63, 64, 65, 4095, 4096, 4097, 200_000])
def test_a_needle_is_found_wherever_it_stands(length: int) -> None:
    for data in (b"x" * length + b"\n.", b"\n." + b"x" * length, b"\n" * length + b"."):
        assert contains(data, b"\n.") == (b"\n." in data)
    assert not contains(b"." + b"x" * length + b"\n", b"\n.")


@given(octets, st.integers(0, 80), st.integers(0, 80), st.sampled_from([b"\n.", b"\nF", b"F"]))
def test_a_window_is_searched_between_two_places(data: bytes, start: int, end: int, needle: bytes) -> None:
    end = min(end, len(data))
    start = min(start, end)
    window = Window(90)
    window.view[: len(data)] = data
    assert window.has_nul(end) == (0 in data[:end])
    if 0 not in data[:end]:
        assert window.find(needle, start, end) == data.find(needle, start, end)


def test_a_full_window_is_searched_to_its_end_and_not_beyond() -> None:
    window = Window(4)
    window.view[:] = b"ab\nF"
    assert window.find(b"\nF", 0, 4) == 2
    assert window.find(b"\nFx", 0, 4) == -1
    with pytest.raises(BufferError):
        window.octets.append(0)


def test_python_goes_on_after_the_heap_was_told_what_to_keep() -> None:
    keep_heap()
    pieces = [bytes(1 << 17) for _ in range(20)]
    pieces.clear()
    return_memory()
    assert contains(b"\n." * 10, b"\n.")
