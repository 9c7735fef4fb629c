from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import pytest

from tpop3d_py.auth.breaker import PAUSE, STUCK, Breaker
from tpop3d_py.directory.errors import DirectoryDown, DirectoryInconsistent, DirectoryUnavailable
from tpop3d_py.directory.lookup import LoginRow
from tpop3d_py.log import Log

ROW = LoginRow("/m/klient1.pl", "luser/", "{x}hash", "vmail")

Guarded = Breaker[LoginRow | None]


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def ns(self) -> int:
        return int(self.seconds * 1e9)


class Database:
    """A lookup that does what it is told, and counts."""

    def __init__(self) -> None:
        self.asked = 0
        self.does: Callable[[], LoginRow | None] = lambda: ROW

    def find(self, local_part: str, domain: str) -> LoginRow | None:
        self.asked += 1
        return self.does()

    def fail(self, error: Exception) -> None:
        def throw() -> None:
            raise error

        self.does = throw


class Lines(Log):
    """A log that keeps its lines."""

    def __init__(self) -> None:
        super().__init__("test", to_stderr=False)
        self.lines: list[str] = []

    def write(self, level: int, text: str, *_: Any) -> None:
        self.lines.append(text)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(time, "monotonic_ns", made.ns)
    return made


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
def log() -> Lines:
    return Lines()


@pytest.fixture
def breaker(database: Database, log: Lines, clock: Clock) -> Guarded:
    return Breaker(database, "directory", log)


def is_down(breaker: Guarded) -> bool:
    try:
        assert breaker.find("luser", "klient1.pl") == ROW
    except DirectoryDown:
        return True
    return False


def test_a_healthy_database_is_asked_every_time(breaker: Guarded, database: Database, log: Lines) -> None:
    assert [is_down(breaker) for _ in range(3)] == [False] * 3
    database.does = lambda: None
    assert breaker.find("nobody", "klient1.pl") is None
    assert (database.asked, log.lines) == (4, [])


def test_a_dead_database_is_asked_once_a_second(breaker: Guarded, database: Database, clock: Clock) -> None:
    database.fail(DirectoryDown("refused"))
    asked = []
    for _ in range(40):  # ten seconds, four logins each
        assert is_down(breaker)
        asked.append(database.asked)
        clock.seconds += 0.25
    assert asked[-1] == 10
    assert asked[:5] == [1, 1, 1, 1, 2]


def test_service_is_back_within_the_pause(
    breaker: Guarded, database: Database, clock: Clock, log: Lines
) -> None:
    database.fail(DirectoryDown("refused"))
    for _ in range(600):  # however long it was away
        assert is_down(breaker)
        clock.seconds += PAUSE
    database.does = lambda: ROW
    clock.seconds += PAUSE
    assert not is_down(breaker)
    assert not breaker.is_open
    assert not is_down(breaker)
    assert len(log.lines) == 2, "one line when it goes, one when it is back"
    assert "is away (refused)" in log.lines[0]
    assert "answers again, after 60" in log.lines[1]


def test_while_one_asks_the_others_answer_at_once(breaker: Guarded, database: Database, clock: Clock) -> None:
    database.fail(DirectoryDown("refused"))
    assert is_down(breaker)
    clock.seconds += PAUSE

    def others() -> LoginRow:
        before = database.asked
        assert is_down(breaker)
        assert database.asked == before
        return ROW

    database.does = others
    assert not is_down(breaker)


@pytest.mark.parametrize("error", [DirectoryUnavailable("this query"), DirectoryInconsistent("two boxes")])
def test_what_is_about_one_name_keeps_nobody_else_out(
    breaker: Guarded, database: Database, error: Exception
) -> None:
    database.fail(error)
    with pytest.raises(type(error)):
        breaker.find("bad\U0001f42bname", "klient1.pl")
    database.does = lambda: ROW
    assert not is_down(breaker)


def test_a_driver_that_raises_leaves_no_query_behind(
    breaker: Guarded, database: Database, clock: Clock
) -> None:
    database.fail(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        breaker.find("luser", "klient1.pl")
    clock.seconds += STUCK + 1
    database.does = lambda: ROW
    assert not is_down(breaker)


def test_a_query_that_was_killed_with_its_process_counts(
    breaker: Guarded, database: Database, clock: Clock, log: Lines
) -> None:
    """The process is killed in its query, so it cannot say that it failed; its successor finds out."""
    database.does = lambda: os._exit(7)
    if (pid := os.fork()) == 0:
        breaker.find("luser", "klient1.pl")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    database.does = lambda: ROW
    assert not is_down(breaker), "as long as it may still be answered, the others go on"
    clock.seconds += STUCK + 0.1
    assert is_down(breaker)
    assert "has not ended within" in log.lines[0]
    clock.seconds += PAUSE
    assert not is_down(breaker)


def test_a_probe_that_was_killed_with_its_process_is_repeated(
    breaker: Guarded, database: Database, clock: Clock
) -> None:
    database.fail(DirectoryDown("refused"))
    assert is_down(breaker)
    clock.seconds += PAUSE
    database.does = lambda: os._exit(7)
    if (pid := os.fork()) == 0:
        breaker.find("luser", "klient1.pl")
    os.waitpid(pid, 0)
    database.does = lambda: ROW
    assert is_down(breaker), "somebody is asking"
    clock.seconds += STUCK + 0.1
    assert is_down(breaker), "noticed now; the pause begins"
    clock.seconds += PAUSE
    assert not is_down(breaker)
