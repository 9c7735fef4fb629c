"""Slots: lowest first, each with a channel of its own that ends with the process."""

from __future__ import annotations

import pytest

from tpop3d_py.server.slots import MOST, Slots


def test_the_lowest_free_number_is_taken() -> None:
    slots = Slots()
    first, second, third = (slots.take() for _ in range(3))
    assert [s.number for s in (first, second, third)] == [0, 1, 2]
    slots.release(second)
    slots.release(first)
    assert slots.living() == [third]
    assert [slots.take().number for _ in range(3)] == [0, 1, 3]


def test_a_slot_is_given_back_once() -> None:
    slots = Slots()
    first = slots.take()
    slots.release(first)
    slots.release(first)
    assert [slots.take().number for _ in range(2)] == [0, 1]


def test_more_processes_than_slots_is_an_error_that_says_so() -> None:
    slots = Slots()
    taken = []
    with pytest.raises(OSError, match=f"{MOST} processes"):  # noqa: PT012 - descriptors may be short, too
        while True:
            taken.append(slots.take())
    for slot in taken:
        slots.release(slot)
    assert len(taken) == MOST


def test_packets_go_both_ways_and_the_end_is_heard() -> None:
    slots = Slots()
    slot = slots.take()
    slot.far_control.send(b"sessions")
    assert slot.control.recv(100) == b"sessions"
    slot.control.send(b"none")
    assert slot.far_control.recv(100) == b"none"
    slots.handed_over(slot)  # as if the process had died
    assert slot.far_control.recv(100) == b""
    slots.release(slot)


def test_heartbeats_are_told_apart() -> None:
    slots = Slots()
    quiet, lively = slots.take(), slots.take()
    quiet.beats[quiet.number] -= 5_000
    lively.beat()
    assert 5 <= quiet.silent_for() < 60
    assert lively.silent_for() < 5
