from __future__ import annotations

import os
from pathlib import Path

import pytest

from tpop3d_py.server.sources import SESSIONS, WAITING, Census, source_of


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("192.0.2.1", "::ffff:192.0.2.1"),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff"),
        ("2001:0db8:0001:0002::1", "2001:DB8:1:2::9"),
        ("fe80::1%eth0", "fe80::2"),
    ],
)
def test_one_source(one: str, other: str) -> None:
    assert source_of(one) == source_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("192.0.2.1", "192.0.2.2"),
        ("2001:db8:1:2::1", "2001:db8:1:3::1"),
        ("::1", "::ffff:0.0.0.1"),
        ("nonsense", "192.0.2.1"),
        ("nonsense", "rubbish"),
        ("", "1.2.3"),
        ("fe80::zz", "fe80::1"),
    ],
)
def test_two_sources(one: str, other: str) -> None:
    assert source_of(one) != source_of(other)


def test_counts_are_summed_over_processes_and_kinds_kept_apart() -> None:
    census = Census(8)
    for row in (0, 3):
        census.open(row)
    places = census.places_of(source_of("192.0.2.1"))
    for row, change in ((0, 2), (3, 5), (3, -1)):
        census.add(row, WAITING, places, change)
    census.add(3, SESSIONS, places, 1)
    assert census.count(WAITING, places) == 6
    assert census.count(SESSIONS, places) == 1
    census.clear(3)
    assert census.count(WAITING, places) == 2
    assert census.count(SESSIONS, places) == 0


def test_another_process_sees_what_is_counted() -> None:
    census = Census(2)
    places = census.places_of(b"x")
    census.open(1)
    if (pid := os.fork()) == 0:
        census.add(1, WAITING, places, 7)
        os._exit(0)
    os.waitpid(pid, 0)
    assert census.count(WAITING, places) == 7


def test_ten_thousand_sources_are_told_apart_well_enough() -> None:
    census = Census(1)
    census.open(0)
    everybody = [census.places_of(b"%d" % number) for number in range(10_000)]
    for places in everybody:
        census.add(0, WAITING, places, 1)
    counts = [census.count(WAITING, places) for places in everybody]
    assert min(counts) == 1
    assert max(counts) < 10
    assert sum(count > 3 for count in counts) < 100


def test_a_client_cannot_know_the_cells() -> None:
    assert len({Census(1).places_of(b"x") for _ in range(3)}) > 1


def test_rows_that_nobody_uses_take_no_memory() -> None:
    before = _shared_kilobytes()
    census = Census(512)
    census.open(1)
    census.add(1, WAITING, census.places_of(b"x"), 1)
    assert _shared_kilobytes() - before < 1000


def _shared_kilobytes() -> int:
    text = Path("/proc/self/status").read_text()
    return int(text.split("RssShmem:")[1].split()[0])
