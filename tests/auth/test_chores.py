"""What is done when the login has been answered."""

from __future__ import annotations

import pytest

from tpop3d_py.auth.chores import Chores
from tpop3d_py.log import Log


def test_chores_are_done_in_their_order() -> None:
    done: list[int] = []
    chores = Chores(Log("test", to_stderr=False))
    assert not chores
    for number in range(3):
        chores.add(lambda number=number: done.append(number))  # type: ignore[misc]
    while chores:
        chores.do_one()
    assert done == [0, 1, 2]


def test_the_oldest_go_when_too_many_wait() -> None:
    done: list[int] = []
    chores = Chores(Log("test", to_stderr=False))
    for number in range(150):
        chores.add(lambda number=number: done.append(number))  # type: ignore[misc]
    while chores:
        chores.do_one()
    assert done == list(range(50, 150))


def test_one_that_raises_is_logged(capfd: pytest.CaptureFixture[str]) -> None:
    chores = Chores(Log("test", to_stderr=True))
    chores.add(lambda: print(1 // 0))
    chores.do_one()
    assert "after a login: ZeroDivisionError" in capfd.readouterr().err
