from __future__ import annotations

import os

from tpop3d_py.server.crossings import CALM, Crossings, Limit, Over


def test_only_the_first_says_so() -> None:
    crossings = Crossings(4)
    for row in (0, 2):
        crossings.open(row)
    assert crossings.hit(0, Limit.SESSIONS, 100.0)
    assert not crossings.hit(0, Limit.SESSIONS, 100.1)
    assert not crossings.hit(2, Limit.SESSIONS, 100.2)
    assert crossings.hit(2, Limit.STRESS, 100.2), "another limit is another matter"
    assert crossings.hits(Limit.SESSIONS) == 3


def test_it_is_over_when_nobody_reaches_it_any_more() -> None:
    crossings = Crossings(4)
    for row in (0, 2):
        crossings.open(row)
    crossings.hit(0, Limit.SESSIONS, 100.0)
    crossings.hit(2, Limit.SESSIONS, 105.0)
    assert list(crossings.over(0, 105.0 + CALM - 0.1)) == []
    assert list(crossings.over(2, 200.0)) == [], "the one that said so says that it is over"
    assert list(crossings.over(0, 105.0 + CALM)) == [Over(Limit.SESSIONS, 2, 5.0)]
    assert list(crossings.over(0, 300.0)) == []


def test_the_next_crossing_counts_anew() -> None:
    crossings = Crossings(1)
    crossings.open(0)
    for now in (100.0, 101.0, 102.0):
        crossings.hit(0, Limit.CONNECTIONS, now)
    assert [over.hits for over in crossings.over(0, 200.0)] == [3]
    assert crossings.hit(0, Limit.CONNECTIONS, 300.0)
    assert [over.hits for over in crossings.over(0, 400.0)] == [1]
    assert crossings.hits(Limit.CONNECTIONS) == 4


def test_a_process_that_dies_takes_its_say_along() -> None:
    crossings = Crossings(2)
    for row in (0, 1):
        crossings.open(row)
    crossings.hit(0, Limit.SESSIONS, 100.0)
    crossings.hit(1, Limit.SESSIONS, 100.0)
    crossings.clear(0)
    assert crossings.hit(1, Limit.SESSIONS, 101.0), "somebody else says so"
    crossings.clear(0)
    assert [over.hits for over in crossings.over(1, 200.0)] == [1]


def test_processes_see_each_other() -> None:
    crossings = Crossings(2)
    for row in (0, 1):
        crossings.open(row)
    if (pid := os.fork()) == 0:
        os._exit(int(crossings.hit(1, Limit.SESSIONS, 100.0)))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    assert not crossings.hit(0, Limit.SESSIONS, 100.1)
