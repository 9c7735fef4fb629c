from __future__ import annotations

import pytest

from tpop3d_py.server.patience import Patience, Timeouts


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_a_login_is_waited_for_once(clock: list[float]) -> None:
    assert Patience(Timeouts(600, 60), clock[0]).deadline == 1060


def test_progress_begins_the_time_anew(clock: list[float]) -> None:
    waits = Patience(Timeouts(600, 60), clock[0])
    clock[0] = 1500
    waits.renew()
    assert waits.deadline == 2100
    endless = Patience(Timeouts(0, 60), clock[0])
    endless.renew()
    assert endless.deadline == float("inf")


def test_who_has_nothing_to_read_is_idle(clock: list[float]) -> None:
    assert not Patience(Timeouts(600, 60), clock[0]).still_reading(0)


def test_who_reads_gets_more_time_and_who_stops_does_not(clock: list[float]) -> None:
    waits = Patience(Timeouts(600, 60), clock[0])
    clock[0] = 1600
    assert waits.still_reading(5000)  # perhaps: looked at again soon
    assert waits.deadline == 1660
    clock[0] = 1660
    assert waits.still_reading(4999)
    assert waits.deadline == 2260
    clock[0] = 2260
    assert not waits.still_reading(4999)
    waits.renew()
    assert waits.still_reading(4999)


def test_how_long_a_client_has_been_idle(clock: list[float]) -> None:
    waits = Patience(Timeouts(600, 60), clock[0])
    assert waits.idle(1007) == 7
    waits.renew()
    assert waits.idle(1009) == 9
    assert waits.idle(999) == 0
    endless = Patience(Timeouts(0, 60), clock[0])
    assert endless.idle(1007) == 7
    endless.renew()
    assert endless.idle(1009) is None
