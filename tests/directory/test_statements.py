from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import ClauseElement
from sqlalchemy.dialects import mysql, sqlite

from tpop3d_py.directory import schema, statements

_MARK = "x' or '1'='1\"; -- %s \\"
_DIALECTS = [mysql.dialect(), sqlite.dialect()]


def _functions() -> list[Callable[..., Any]]:
    found = inspect.getmembers(statements, inspect.isfunction)
    return [f for name, f in found if f.__module__ == statements.__name__ and not name.startswith("_")]


def _arguments(function: Callable[..., Any], text: str) -> list[Any]:
    special: dict[str, Any] = {"limit": 5, "mbox_names": (text, text), "table_name": "popbox"}
    return [special.get(name, text) for name in inspect.signature(function).parameters]


def _sql(statement: ClauseElement, dialect: Any) -> str:
    return str(statement.compile(dialect=dialect))


@pytest.mark.parametrize("function", _functions(), ids=lambda f: f.__name__)
def test_no_value_becomes_sql(function: Callable[..., Any]) -> None:
    for dialect in _DIALECTS:
        hostile = _sql(function(*_arguments(function, _MARK)), dialect)
        assert _MARK not in hostile
        assert hostile == _sql(function(*_arguments(function, "luser")), dialect)


@given(st.text())
def test_no_name_at_all_alters_a_statement(name: str) -> None:
    for dialect in _DIALECTS:
        plain = _sql(statements.one_popbox("klient1.pl", "luser"), dialect)
        assert _sql(statements.one_popbox(name, name), dialect) == plain


def test_a_lock_is_taken_where_rows_can_be_locked() -> None:
    locked = statements.locked_domain("klient1.pl")
    assert _sql(locked, _DIALECTS[0]).endswith("FOR UPDATE")
    assert "FOR UPDATE" not in _sql(locked, _DIALECTS[1])


def test_everything_but_the_record_of_migrations_is_in_the_paper() -> None:
    assert list(schema.metadata.tables) == [*schema.KEYS, "schema_version"]
    for name, key in schema.KEYS.items():
        assert tuple(column.name for column in schema.metadata.tables[name].primary_key) == key
