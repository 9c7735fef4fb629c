from __future__ import annotations

import threading
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tpop3d_py.maildrop.columns import Cache, Octets


@given(st.lists(st.binary(max_size=5)))
def test_octets_are_a_sequence(items: list[bytes]) -> None:
    column = Octets(items)
    assert list(column) == items
    assert [column[i] for i in range(len(column))] == items
    assert [column[i - len(items)] for i in range(len(column))] == items
    assert column[1:3] == items[1:3]
    with pytest.raises(IndexError):
        column[len(items)]


def test_fifty_thousand_names_are_small() -> None:
    assert Octets(b"%040d" % i for i in range(50_000)).weight < 2_300_000


@dataclass
class Thing:
    weight: int


def test_cache_forgets_what_was_used_least_recently() -> None:
    cache: Cache[Thing] = Cache(10)
    a, b, c = Thing(4), Thing(4), Thing(4)
    cache.put("a", a)
    cache.put("b", b)
    assert cache.get("a") is a
    cache.put("c", c)
    assert cache.get("b") is None
    assert cache.get("a") is a
    assert cache.get("c") is c


def test_cache_refuses_what_is_too_heavy_and_counts_replacements() -> None:
    cache: Cache[Thing] = Cache(10)
    cache.put("a", Thing(11))
    assert cache.get("a") is None
    for _ in range(5):
        cache.put("b", Thing(6))
    cache.put("c", Thing(4))
    assert cache.get("b") is not None
    cache.drop("b")
    cache.drop("b")
    cache.put("d", Thing(6))
    assert cache.get("c") is not None
    assert cache.get("d") is not None


def test_cache_with_many_threads_stays_within_bounds() -> None:
    cache: Cache[Thing] = Cache(50)

    def work(name: str) -> None:
        for i in range(2000):
            cache.put(f"{name}{i % 40}", Thing(1))
            cache.get(f"{name}{(i * 7) % 40}")

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    held = [key for name in "abcd" for i in range(40) if cache.get(key := f"{name}{i}")]
    assert len(held) == 50
