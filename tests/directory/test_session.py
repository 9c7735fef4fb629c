"""A connection that lasts, and the servers it may be to."""

from __future__ import annotations

from typing import Any

import pymysql
import pytest
from sqlalchemy import make_url

from tpop3d_py.directory import session as module
from tpop3d_py.directory.engine import engine_for
from tpop3d_py.directory.errors import DirectoryDown, DirectoryUnavailable
from tpop3d_py.directory.session import Session


class Server:
    """A server whose faults a test sets; connection and cursor in one."""

    description = ("x",)

    def __init__(self, port: int) -> None:
        self.engine = engine_for(make_url(f"mysql+pymysql://vmail@127.0.0.1:{port}/x"))
        self.opened = 0
        self.refuses: Exception | None = None
        self.fails: list[Exception] = []

    def open(self) -> Server:
        self.opened += 1
        if self.refuses:
            raise self.refuses
        return self

    def cursor(self) -> Server:
        return self

    def execute(self, _sql: str, _parameters: Any) -> None:
        if self.refuses:
            raise pymysql.OperationalError(2013, "Lost connection")
        if self.fails:
            raise self.fails.pop(0)

    def fetchall(self) -> list[tuple[Any, ...]]:
        return [(self.engine.url.port,)]

    def close(self) -> None:
        pass


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> list[Server]:
    made = [Server(1), Server(2), Server(3)]
    by_engine = {server.engine: server for server in made}
    monkeypatch.setattr(module, "_open", lambda engine: by_engine[engine].open())
    return made


def refused() -> Exception:
    return pymysql.OperationalError(2003, "Can't connect")


def ask(session: Session) -> int:
    [(port,)] = session.fetch("SELECT 1", ())
    return int(port)


def test_the_first_server_is_asked_and_kept(servers: list[Server], clock: Clock) -> None:
    session = Session(*(server.engine for server in servers))
    assert [ask(session), ask(session)] == [1, 1]
    assert [server.opened for server in servers] == [1, 0, 0]


def test_the_next_server_answers_the_same_question(servers: list[Server], clock: Clock) -> None:
    told: list[str] = []
    session = Session(*(server.engine for server in servers), tell=told.append)
    assert ask(session) == 1
    servers[0].refuses = servers[1].refuses = refused()
    assert ask(session) == 3
    assert told == ["directory x at 127.0.0.1:3: asked from now on instead of x at 127.0.0.1:1"]
    assert ask(session) == 3
    assert [server.opened for server in servers] == [2, 1, 1]


def test_a_server_that_hangs_in_a_query_is_replaced_too(servers: list[Server], clock: Clock) -> None:
    session = Session(servers[0].engine, servers[1].engine)
    assert ask(session) == 1
    late = pymysql.OperationalError(2013, "Lost connection (timed out)")
    late.__context__ = TimeoutError()
    servers[0].fails.append(late)
    assert ask(session) == 2
    # It connects, and hangs again: it comes last for half a minute.
    session.close()
    assert ask(session) == 2


def test_the_first_server_is_tried_again_after_a_while(servers: list[Server], clock: Clock) -> None:
    session = Session(servers[0].engine, servers[1].engine)
    servers[0].refuses = refused()
    assert ask(session) == 2
    servers[0].refuses = None
    clock.now += 59
    assert ask(session) == 2
    clock.now += 2
    assert ask(session) == 1


def test_no_server_left_is_down_and_tells_of_the_last(servers: list[Server], clock: Clock) -> None:
    session = Session(servers[0].engine, servers[1].engine)
    for server in servers:
        server.refuses = refused()
    with pytest.raises(DirectoryDown, match=r"x at 127\.0\.0\.1:2"):
        ask(session)
    servers[0].refuses = None
    assert ask(session) == 1


def test_nobody_is_asked_past_the_callers_deadline(servers: list[Server], clock: Clock) -> None:
    session = Session(*(server.engine for server in servers))

    def slow(engine: Any) -> Any:
        clock.now += 1.5
        raise refused()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_open", slow)
        with pytest.raises(DirectoryDown, match=":2"):
            ask(session)
    assert ask(session) == 3, "the two that failed come last"


def test_a_question_that_one_server_dislikes_is_put_to_no_other(servers: list[Server], clock: Clock) -> None:
    session = Session(servers[0].engine, servers[1].engine)
    assert ask(session) == 1
    servers[0].fails.append(pymysql.ProgrammingError(1146, "Table 'x.popbox' doesn't exist"))
    with pytest.raises(DirectoryUnavailable, match="vmail db init"):
        ask(session)
    assert servers[1].opened == 0


def test_a_statement_without_rows(
    servers: list[Server], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Server, "description", None)
    assert Session(servers[0].engine).fetch("INSERT", ()) == ()


def test_whoever_measures_is_told_of_answers_and_failures(
    servers: list[Server], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[float, bool]] = []
    monkeypatch.setattr(Session, "watch", lambda seconds, answered: told.append((seconds, answered)))
    session = Session(servers[0].engine)
    ask(session)
    servers[0].refuses = refused()
    with pytest.raises(DirectoryDown):
        ask(session)
    assert told == [(0.0, True), (0.0, False)]
