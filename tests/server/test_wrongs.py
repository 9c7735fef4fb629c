"""The shared table of what went wrong: counted once, bounded, forgotten."""

from __future__ import annotations

import os

import pytest

from tpop3d_py.server.wrongs import BITS, ESTIMATES, Wrongs, count


def test_the_same_bit_counts_once() -> None:
    table = Wrongs(16)
    assert table.add(1, 2, 0b100, 50.0, 0.0) == (0, 0b100)
    assert table.add(1, 2, 0b100, 51.0, 0.0) == (0b100, 0b100)
    assert table.add(1, 2, 0b1, 52.0, 0.0) == (0b100, 0b101)
    assert table.bits(1, 2, 0.0) == 0b101


def test_entries_of_another_user_or_network_are_not_touched() -> None:
    table = Wrongs(16)
    table.add(1, 2, 0b1, 50.0, 0.0)
    assert table.bits(2, 1, 0.0) == table.bits(1, 3, 0.0) == table.bits(0, 2, 0.0) == 0


def test_what_is_old_counts_no_more_and_is_written_over() -> None:
    table = Wrongs(16)
    table.add(1, 2, 0b1, 50.0, 0.0)
    assert table.bits(1, 2, 51.0) == 0
    assert table.add(1, 2, 0b10, 60.0, 51.0) == (0, 0b10)


def test_repeating_the_same_does_not_make_an_entry_young() -> None:
    table = Wrongs(16)
    table.add(1, 2, 0b1, 50.0, 0.0)
    table.add(1, 2, 0b1, 90.0, 0.0)
    assert table.bits(1, 2, 51.0) == 0


def test_a_full_table_forgets_what_has_been_quiet_longest() -> None:
    table = Wrongs(8)
    for user in range(1, 9):
        table.add(user, 9, 0b1, 100.0 + user, 0.0)
    table.add(1, 9, 0b10, 200.0, 0.0)  # the oldest is of this moment now
    table.add(77, 9, 0b1, 201.0, 0.0)
    left = [user for user in (*range(1, 9), 77) if table.bits(user, 9, 0.0)]
    assert left == [1, 3, 4, 5, 6, 7, 8, 77]


def test_hashes_of_all_64_bits_fit() -> None:
    table = Wrongs(8)
    table.add(2**64 - 1, 2**64 - 2, 1 << 63, 5.0, 0.0)
    assert table.bits(2**64 - 1, 2**64 - 2, 0.0) == 1 << 63


def test_forgiving_finds_users_and_networks_and_tells_how_many() -> None:
    table = Wrongs(64)
    table.add(1, 2, 0b1, 5.0, 0.0)
    table.add(3, 2, 0b1, 5.0, 0.0)
    table.add(1, 4, 0b1, 5.0, 0.0)
    assert table.forgive(2) == 2
    assert table.forgive(2) == 0
    assert table.forgive(1) == 1
    assert not any(table.bits(*pair, 0.0) for pair in ((1, 2), (3, 2), (1, 4)))


def test_a_bit_of_a_hash_is_no_name() -> None:
    table = Wrongs(64)
    table.add(1, 2, 0b1000, 5.0, 0.0)
    assert table.forgive(8) == 0


def test_other_processes_see_it() -> None:
    table = Wrongs(16)
    pid = os.fork()
    if not pid:
        table.add(1, 2, 0b1, 5.0, 0.0)
        os._exit(0)
    os.waitpid(pid, 0)
    assert table.bits(1, 2, 0.0) == 1


def test_estimates_grow_with_the_bits_and_are_exact_for_few() -> None:
    assert list(ESTIMATES) == sorted(ESTIMATES)
    assert len(ESTIMATES) == BITS + 1
    assert [count(2**n - 1) for n in range(6)] == [0, 1, 2, 3, 4, 5]
    assert count(2**64 - 1) > 200  # as many as it takes to be refused at the largest setting


@pytest.mark.parametrize("entries", [0, 4, 12])
def test_sizes_that_cannot_be(entries: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        Wrongs(entries)
