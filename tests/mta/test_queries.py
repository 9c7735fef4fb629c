"""The statements: quoted values, guarded rows, and the same answers from SQLite as the guards promise."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tpop3d_py.mta.queries import MYSQL, SQLITE, Dialect, Sql, exim_queries

BOTH = pytest.mark.parametrize("dialect", [MYSQL, SQLITE], ids=["mysql", "sqlite"])


def statements(dialect: Dialect) -> list[str]:
    queries = exim_queries(dialect)
    return [" ".join(sql) for sql in (queries.domain, queries.box, queries.forward, queries.catch_all)]


@BOTH
def test_every_expansion_is_quoted_with_the_lookups_own_quoting(dialect: Dialect) -> None:
    for sql in statements(dialect):
        # A match decides which text is sent, and sends nothing itself.
        sent = sql.replace("${if match{$local_part}", "")
        names = re.findall(r"\$(?!\\N)\{?[a-z_]+:?\$?[a-z_]*\}?", sent)
        assert names
        assert set(names) <= {f"${{quote_{dialect.lookup}:${name}}}" for name in ("domain", "local_part")}
        for name in names:
            assert sent.count(f"'{name}'") == sent.count(name)


@BOTH
def test_no_like_and_only_columns_of_the_original(dialect: Dialect) -> None:
    for sql in statements(dialect):
        assert " LIKE " not in sql.upper()
        assert '"' not in re.sub(r"'\"'", "", sql)  # ANSI_QUOTES would take it for a name
    original = {"domain_name", "local_part", "path", "unix_user", "mbox_name", "remote_name"}
    words = set(re.findall(r"\b[a-z]+_[a-z]+\b", " ".join(statements(dialect)))) - {
        "quote_mysql",
        "quote_sqlite",
    }
    assert words <= original


@BOTH
def test_domain_statement_fits_a_comma_separated_list(dialect: Dialect) -> None:
    assert "," not in " ".join(exim_queries(dialect).domain)


@BOTH
def test_lines_survive_a_configuration_file(dialect: Dialect) -> None:
    for sql in (exim_queries(dialect).box, exim_queries(dialect).forward):
        for line in sql:
            assert not line.startswith("#")
            assert not line.endswith("\\")
            assert line == line.strip()


def test_mysql_compares_octets_too() -> None:
    for sql in statements(MYSQL):
        assert "AS BINARY) = '${quote_mysql:$domain}'" in sql
    for sql in statements(SQLITE):
        assert "BINARY" not in sql


@pytest.fixture(scope="module")
def database() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.executescript(
        "CREATE TABLE domain (domain_name, unix_user, path);"
        "CREATE TABLE popbox (domain_name, local_part, mbox_name);"
        "CREATE TABLE forwarder (domain_name, local_part, remote_name);"
        "INSERT INTO domain VALUES ('klient1.pl', 'vmail', '/mail/a'), ('b.pl', 'vmail', '/mail/b');"
    )
    yield connection
    connection.close()


def ask(database: sqlite3.Connection, sql: Sql, local_part: str, domain: str = "klient1.pl") -> list[object]:
    """Expand as Exim does (quote_sqlite doubles single quotes), and ask."""
    text = " ".join(sql)
    for name, value in (("local_part", local_part), ("domain", domain)):
        text = text.replace(f"${{quote_sqlite:${name}}}", value.replace("'", "''"))
    return [row[-1] for row in database.execute(text)]


def box(database: sqlite3.Connection, mbox_name: str | None) -> list[object]:
    database.execute("DELETE FROM popbox")
    database.execute("INSERT INTO popbox VALUES ('klient1.pl', 'luser', ?)", (mbox_name,))
    return ask(database, exim_queries(SQLITE).box, "luser")


@pytest.mark.parametrize(
    "name", ["luser", "luser/", "l.user", "o'hara", "a b", "żółw/", "x" * 255, "a\\b", "%_"]
)
def test_good_mailbox_names(database: sqlite3.Connection, name: str) -> None:
    assert box(database, name) == [name]


@pytest.mark.parametrize(
    "name",
    [
        None,
        "",
        ".",
        "..",
        "/",
        "./",
        "../",
        ".hidden",
        "../b.pl/luser",
        "a/b",
        "a/b/",
        "a//",
        "/etc/passwd",
        "a/../b",
        "a..b",
        "luser/..",
    ],
)
def test_bad_mailbox_names(database: sqlite3.Connection, name: str | None) -> None:
    assert box(database, name) == []


def targets(database: sqlite3.Connection, *names: str | None, local_part: str = "info") -> list[object]:
    database.execute("DELETE FROM forwarder")
    for name in names:
        database.execute("INSERT INTO forwarder VALUES ('klient1.pl', ?, ?)", (local_part, name))
    queries = exim_queries(SQLITE)
    sql = queries.catch_all if local_part == "_default_" else queries.forward
    return ask(database, sql, local_part)


GOOD_TARGETS = (
    "a@b.pl",
    "luser",
    "a@b.pl, c@d.pl",
    "a/b@x.pl",
    "a#b@x.pl",
    "o'hara@x.pl",
    "a+b@x.pl",
    "%@x.pl",
)
BAD_TARGETS = (
    *(None, "", " ", "|cmd", " |cmd", "/file", "  /file", ":include:/x", ":fail:", '"|cmd"', '"a b"@x.pl'),
    *("#x", "@b.pl", " @b.pl", "a@b.pl,/file", "a@b.pl,  /file", "a@b.pl,|cmd", "a@b.pl\n|cmd", "a@b.pl\r/x"),
    *("\t/file", "\n/file", "a@b.pl, :blackhole:"),
)


@pytest.mark.parametrize("local_part", ["info", "_default_"])
def test_forwarding_targets(database: sqlite3.Connection, local_part: str) -> None:
    assert targets(database, *GOOD_TARGETS, *BAD_TARGETS, local_part=local_part) == list(GOOD_TARGETS)


def test_catch_all_is_no_address_of_its_own(database: sqlite3.Connection) -> None:
    assert targets(database, "a@b.pl", local_part="_default_") == ["a@b.pl"]
    assert ask(database, exim_queries(SQLITE).forward, "_default_") == []
    database.execute("DELETE FROM popbox")
    database.execute("INSERT INTO popbox VALUES ('klient1.pl', '_default_', 'luser')")
    assert ask(database, exim_queries(SQLITE).box, "_default_") == []


def test_domain(database: sqlite3.Connection) -> None:
    sql = exim_queries(SQLITE).domain
    assert ask(database, sql, "", "klient1.pl") == ["klient1.pl"]
    for other in ("klient1.p", "", "%", "klient1.pl ", "sub.klient1.pl", "' or '1'='1"):
        assert ask(database, sql, "", other) == []


def test_of_two_boxes_with_one_address_one_is_used(database: sqlite3.Connection) -> None:
    database.execute("DELETE FROM popbox")
    for name in ("second", "first"):
        database.execute("INSERT INTO popbox VALUES ('klient1.pl', 'luser', ?)", (name,))
    assert ask(database, exim_queries(SQLITE).box, "luser") == ["first"]


@given(st.text(alphabet="abz./|:\"#@, \t\n\r'\\%", max_size=12))
def test_no_admitted_target_starts_anything_but_an_address(name: str) -> None:
    with sqlite3.connect(":memory:") as connection:
        connection.execute("CREATE TABLE forwarder (domain_name, local_part, remote_name)")
        admitted = targets(connection, name)
    if admitted:
        for item in re.split(r"[,\n]", name):
            assert not re.match(r"\s*[|/:\"]", item)
