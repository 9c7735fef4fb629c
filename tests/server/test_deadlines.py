from __future__ import annotations

import math
import random

from tpop3d_py.server.deadlines import Deadlines


class Clocked:
    """Waiters with deadlines that a test changes."""

    def __init__(self) -> None:
        self.times: dict[str, float] = {}
        self.looks = 0
        self.deadlines: Deadlines[str] = Deadlines(self._of)

    def _of(self, name: str) -> float:
        self.looks += 1
        return self.times[name]

    def add(self, name: str, deadline: float) -> None:
        self.times[name] = deadline
        self.deadlines.add(name)

    def due(self, now: float) -> list[str]:
        return sorted(self.deadlines.due(now))


def test_who_is_late_is_told_again_until_he_goes() -> None:
    clock = Clocked()
    clock.due(1000)
    clock.add("a", 1010)
    assert [clock.due(now) for now in (1001.0, 1009.9, 1010.0)] == [[], [], ["a"]]
    assert clock.due(1010.5) == []
    assert clock.due(1011.1) == ["a"]
    clock.deadlines.remove("a")
    clock.deadlines.remove("a")
    assert clock.due(1500) == []
    assert len(clock.deadlines) == 0


def test_who_does_something_is_not_late() -> None:
    clock = Clocked()
    clock.add("a", 10)
    clock.times["a"] = 20.5
    assert clock.due(10) == []
    assert clock.due(20.4) == []
    assert clock.due(21) == ["a"]


def test_who_has_no_deadline_is_never_looked_at() -> None:
    clock = Clocked()
    clock.add("a", math.inf)
    assert clock.due(10.0**6) == []
    clock.deadlines.remove("a")
    clock.add("b", 10.0**6 + 5)
    clock.times["b"] = math.inf
    assert clock.due(10.0**6 + 6) == []
    assert len(clock.deadlines) == 0


def test_a_deadline_that_is_over_already() -> None:
    clock = Clocked()
    clock.due(1000)
    clock.add("a", 3)
    assert clock.due(1000.9) == []
    assert clock.due(1001) == ["a"]


def test_a_clock_that_stood_still_misses_nobody() -> None:
    clock = Clocked()
    clock.due(100)
    for number in range(50):
        clock.add(f"{number:02}", 100 + number * 7)
    assert len(clock.due(10_000)) == 50


def test_the_idle_are_not_looked_at_every_second() -> None:
    clock = Clocked()
    for number in range(1000):
        clock.add(f"{number:04}", 600 + number / 1000)
    clock.looks = 0
    for now in range(600):
        clock.due(now)
    assert clock.looks == 0


def test_it_agrees_with_looking_at_everybody() -> None:
    rng = random.Random(1)
    clock, told = Clocked(), dict[str, float]()
    for step in range(3000):
        now = step / 4
        name = str(rng.randrange(40))
        if name in told and rng.random() < 0.3:
            clock.deadlines.remove(name)
            del told[name]
        elif name in told:
            clock.times[name] = max(clock.times[name], now + rng.choice([0.1, 3, 30]))
        else:
            clock.add(name, now + rng.choice([0, 1, 5.5, 20]))
            told[name] = 0
        late = clock.due(now)
        told.update(dict.fromkeys(late, now))
        assert all(clock.times[one] <= now for one in late)
        assert all(now - told[one] <= 2 for one in told if clock.times[one] <= now - 2)
