"""What failures of databases mean."""

from __future__ import annotations

import psycopg
import pymysql
import pytest
from psycopg import errors
from sqlalchemy import URL, Engine, make_url
from sqlalchemy.exc import OperationalError

from tpop3d_py.directory import faults
from tpop3d_py.directory.engine import engine_for, location
from tpop3d_py.directory.postgres import postgres_engine

MYSQL = engine_for(make_url("mysql+pymysql://vmail@127.0.0.1:1/x"))
POSTGRES = postgres_engine(
    URL.create("postgresql+psycopg", "vmail", host="127.0.0.1", database="x"), "secret", {}, 1.5
)


def mysql(number: int, text: str = "x") -> Exception:
    return pymysql.OperationalError(number, text)


@pytest.mark.parametrize(
    ("engine", "error", "down"),
    [
        (MYSQL, mysql(2003), True),
        (MYSQL, mysql(2013), True),
        (MYSQL, mysql(1040), True),
        (MYSQL, mysql(1045), False),
        (MYSQL, pymysql.ProgrammingError(1064, "syntax"), False),
        (MYSQL, OperationalError("SELECT", {}, mysql(2006)), True),
        (MYSQL, IndexError("nonsense"), True),
        (POSTGRES, psycopg.OperationalError("connection refused"), True),
        (POSTGRES, psycopg.OperationalError(f"the answer {faults.TIMED_OUT}"), True),
        (POSTGRES, psycopg.OperationalError("FATAL:  password authentication failed for user"), False),
        (POSTGRES, psycopg.OperationalError('FATAL:  database "x" does not exist'), False),
        (POSTGRES, errors.AdminShutdown("terminating connection"), True),
        (POSTGRES, errors.TooManyConnections("sorry"), True),
        (POSTGRES, errors.UndefinedTable('relation "popbox" does not exist'), False),
        (POSTGRES, errors.ReadOnlySqlTransaction("cannot execute UPDATE"), False),
        (POSTGRES, UnicodeDecodeError("utf-8", b"x", 0, 1, "nonsense"), True),
    ],
)
def test_whether_the_database_is_away_or_dislikes_the_question(
    engine: Engine, error: Exception, down: bool
) -> None:
    assert faults.is_down(engine, error) is down


def late(error: Exception) -> Exception:
    error.__context__ = TimeoutError()
    return error


@pytest.mark.parametrize(
    ("engine", "error", "closed"),
    [
        (MYSQL, mysql(2006), True),
        (MYSQL, mysql(2013), True),
        (MYSQL, late(mysql(2013)), False),
        (MYSQL, mysql(1146), False),
        (POSTGRES, psycopg.OperationalError("the connection is closed"), True),
        (POSTGRES, errors.AdminShutdown("terminating connection"), True),
        (POSTGRES, psycopg.OperationalError(f"the answer {faults.TIMED_OUT}"), False),
        (POSTGRES, errors.UndefinedTable("x"), False),
    ],
)
def test_whether_a_new_connection_may_do(engine: Engine, error: Exception, closed: bool) -> None:
    assert faults.is_closed(engine, error) is closed


def test_what_cannot_be_in_any_row() -> None:
    asked = "klient1.pl", "łuser"
    assert faults.cannot_exist(MYSQL, mysql(1267), asked)
    assert not faults.cannot_exist(MYSQL, mysql(1146), asked)
    assert faults.cannot_exist(POSTGRES, errors.UntranslatableCharacter("x"), asked)
    assert not faults.cannot_exist(POSTGRES, errors.UndefinedTable("x"), asked)


def test_columns_that_cannot_be_compared_are_a_fault() -> None:
    assert not faults.cannot_exist(MYSQL, mysql(1267), ("klient1.pl", "luser"))


def test_a_server_is_named_without_its_password() -> None:
    assert location(POSTGRES) == "x at 127.0.0.1:5432"
