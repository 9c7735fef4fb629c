"""Queries that operators write."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tpop3d_py.auth.drivers.sqltemplate import MYSQL, POSTGRES, SQLITE, Dialect, query_kind, read_query

JAN = {"user": "jan@klient1.pl", "local_part": "jan", "domain": "klient1.pl", "serverhost": "192.0.2.2"}

# The ancestor's own, from its README.
VMAIL_SQL = (
    "SELECT concat(domain.path, '/', popbox.mbox_name), popbox.password_hash, domain.unix_user, 'bsd' "
    "FROM popbox, domain WHERE popbox.local_part = '$(local_part)' "
    "AND popbox.domain_name = '$(domain)' AND popbox.domain_name = domain.domain_name"
)


@pytest.mark.parametrize(
    ("dialect", "text", "sql", "values"),
    [
        (MYSQL, "SELECT '$(local_part)'", "SELECT %s", ("jan",)),
        (MYSQL, "SELECT $(local_part)", "SELECT %s", ("jan",)),
        (SQLITE, "SELECT '$(local_part)'", "SELECT ?", ("jan",)),
        (POSTGRES, "SELECT '$(local_part)@$(domain)'", "SELECT %s", ("jan@klient1.pl",)),
        (MYSQL, "SELECT \"$(user)\", 'a''b', `x`", "SELECT %s, 'a''b', `x`", ("jan@klient1.pl",)),
        (MYSQL, "SELECT 'it''s $(user[0])\\'\\n%'", "SELECT %s", ("it's j'\n%",)),
        (MYSQL, "LIKE '\\%$(domain[-1])\\_'", "LIKE %s", ("\\%l\\_",)),
        (SQLITE, "SELECT 'C:\\$(user[-2])'", "SELECT ?", ("C:\\p",)),
        (
            MYSQL,
            "LIKE '50%' AND x = '$(domain)' -- don't",
            "LIKE '50%%' AND x = %s -- don't",
            ("klient1.pl",),
        ),
        (SQLITE, "LIKE '50%' AND '$(domain)' /* it's */", "LIKE '50%' AND ? /* it's */", ("klient1.pl",)),
        (POSTGRES, 'SELECT "odd""name" + $(serverhost)', 'SELECT "odd""name" + %s', ("192.0.2.2",)),
        (MYSQL, "SELECT '$5', '(x)', 1 $ 2", "SELECT '$5', '(x)', 1 $ 2", ()),
    ],
)
def test_variables_become_parameters(dialect: Dialect, text: str, sql: str, values: tuple[str, ...]) -> None:
    query = read_query(text, dialect)
    assert (query.sql, query.bind(JAN), str(query)) == (sql, values, text)


def test_the_ancestors_own_query() -> None:
    query = read_query(VMAIL_SQL, MYSQL)
    assert query.sql.count("%s") == 2
    assert "$" not in query.sql
    assert query.bind(JAN) == ("jan", "klient1.pl")


@pytest.mark.parametrize(
    "text",
    [
        "SELECT '$(local_part[9])'",
        "SELECT '$(local_part[-4])'",
        "SELECT '$(clienthost)'",
    ],
)
def test_a_login_that_lacks_something_is_not_asked_for(text: str) -> None:
    assert read_query(text, MYSQL).bind(JAN) is None


@pytest.mark.parametrize(
    ("dialect", "text", "words"),
    [
        (MYSQL, "SELECT '$(nobody)'", r"unknown variable \$\(nobody\)"),
        (MYSQL, "SELECT '$(user'", r"unfinished \$\("),
        (MYSQL, "SELECT $(user", r"unfinished \$\("),
        (MYSQL, "SELECT '$(user[x])'", "not a position"),
        (MYSQL, "SELECT 'abc", "never closed"),
        (MYSQL, "SELECT '\\'", "never closed"),
        (MYSQL, 'SELECT "abc', "never closed"),
        (MYSQL, "SELECT `$(user)`", "that is no string"),
        (POSTGRES, 'SELECT "$(user)"', "that is no string"),
        (SQLITE, "SELECT 1 /* $(user) */", "that is no string"),
        (MYSQL, "SELECT 1 -- $(user)", "that is no string"),
        (POSTGRES, "SELECT E'$(user)'", "no word may stand directly before"),
        (MYSQL, "SELECT _utf8'$(user)'", "no word may stand directly before"),
    ],
)
def test_what_cannot_be_understood(dialect: Dialect, text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        query_kind(dialect).parse(text)


def test_none_asks_nothing() -> None:
    query = query_kind(MYSQL).parse("none")
    assert (query.sql, str(query)) == ("", "none")


@given(st.text(min_size=1).filter(lambda text: "\0" not in text and text.isprintable()))
@example("x' OR '1'='1")
@example("\\' OR 1=1 -- ")
@example("$(domain)")
@example("%s ? %(x)s")
def test_no_name_alters_the_statement(name: str) -> None:
    """The text of the query is the same whatever the name, and the database gets the name as it is."""
    query = read_query("SELECT '<$(user)>', '$(user[0])', $(user)", SQLITE)
    values = query.bind({"user": name})
    assert values is not None
    [row] = sqlite3.connect(":memory:").execute(query.sql, values).fetchall()
    assert row == (f"<{name}>", name[0], name)
