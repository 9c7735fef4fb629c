from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pymysql
import pytest

from tpop3d_py.directory.engine import Directory, DirectorySettings, engine_for, make_engine
from tpop3d_py.directory.errors import DirectoryInconsistent, DirectoryUnavailable
from tpop3d_py.directory.lookup import LoginLookup, LoginRow

HOSTILE = [
    "x' or '1'='1",
    "x' or 1=1 -- ",
    'a"b',
    "a\\",
    "%",
    "_ser",
    "luse_",
    "*",
    "%s",
    "%(local_part)s",
    ":local_part",
    "luser ",
    " luser",
    "luser\0",
    "luser\n",
    "lúser",
    "lu\udcffser",
    "",
    "x" * 256,
    "x" * 100_000,
    "../luser",
    "{0.__class__}",
]


@pytest.fixture
def rows(directory: Directory, tmp_path: Path) -> sqlite3.Connection:
    """A connection that puts rows in as somebody else would."""
    connection = sqlite3.connect(tmp_path / "vmail.db", isolation_level=None)
    connection.execute("INSERT INTO domain VALUES ('klient1.pl', 'vmail', NULL, '/m/klient1.pl', 50)")
    connection.execute("INSERT INTO popbox VALUES ('klient1.pl', 'luser', '{x}hash', 'luser/')")
    return connection


@pytest.fixture
def lookup(directory: Directory, rows: sqlite3.Connection) -> LoginLookup:
    return LoginLookup(directory.engine)


def test_a_box_is_found(lookup: LoginLookup) -> None:
    expected = LoginRow("/m/klient1.pl", "luser/", "{x}hash", "vmail")
    assert lookup.find("luser", "klient1.pl") == expected
    assert lookup.find("LUser", "KLIENT1.pl") == expected


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_else_is_found(lookup: LoginLookup, name: str) -> None:
    assert lookup.find(name, "klient1.pl") is None
    assert lookup.find("luser", name) is None


def test_null_columns_are_empty(lookup: LoginLookup, rows: sqlite3.Connection) -> None:
    rows.execute("INSERT INTO domain VALUES ('bare.pl', NULL, NULL, NULL, NULL)")
    rows.execute("INSERT INTO popbox VALUES ('bare.pl', 'luser', NULL, NULL)")
    assert lookup.find("luser", "bare.pl") == LoginRow("", "", "", "")


def test_a_change_is_seen_at_once(lookup: LoginLookup, rows: sqlite3.Connection) -> None:
    assert lookup.find("luser", "klient1.pl") is not None
    rows.execute("UPDATE popbox SET password_hash = 'new'")
    found = lookup.find("luser", "klient1.pl")
    assert found is not None
    assert found.password_hash == "new"
    rows.execute("DELETE FROM popbox")
    assert lookup.find("luser", "klient1.pl") is None


def test_a_lookup_goes_on_after_close(lookup: LoginLookup) -> None:
    lookup.close()
    assert lookup.find("luser", "klient1.pl") is not None
    lookup.close()
    lookup.close()
    assert lookup.find("luser", "klient1.pl") is not None


def test_a_missing_database_is_not_an_unknown_user(settings: DirectorySettings) -> None:
    with pytest.raises(DirectoryUnavailable):
        LoginLookup(make_engine(settings)).find("luser", "klient1.pl")


def test_missing_tables_are_not_an_unknown_user(empty: Directory) -> None:
    with pytest.raises(DirectoryUnavailable):
        LoginLookup(empty.engine).find("luser", "klient1.pl")


def test_an_original_database_works_and_its_collation_lets_nobody_in(
    empty: Directory, tmp_path: Path
) -> None:
    rows = sqlite3.connect(tmp_path / "vmail.db", isolation_level=None)
    # NOCASE stands for latin1_swedish_ci here; the real one is in tests/system.
    rows.execute(
        "CREATE TABLE domain (domain_name TEXT COLLATE NOCASE, unix_user, password_hash, path, max_popbox)"
    )
    rows.execute(
        "CREATE TABLE popbox (domain_name TEXT COLLATE NOCASE,"
        " local_part TEXT COLLATE NOCASE, password_hash, mbox_name)"
    )
    rows.execute("INSERT INTO domain VALUES ('Klient1.pl', 'vmail', NULL, '/m', NULL)")
    rows.execute("INSERT INTO popbox VALUES ('klient1.pl', 'LUser', 'h', 'luser')")
    lookup = LoginLookup(empty.engine)
    assert lookup.find("luser", "klient1.pl") == LoginRow("/m", "luser", "h", "vmail")
    rows.execute("INSERT INTO popbox VALUES ('klient1.pl', 'luser', 'other', 'luser')")
    with pytest.raises(DirectoryInconsistent, match=r"2 boxes for luser@klient1\.pl"):
        lookup.find("luser", "klient1.pl")


class FakeServer:
    """A DBAPI connection to a server that fails as told, once for each entry."""

    def __init__(self, failures: list[Exception]) -> None:
        self.failures = failures
        self.opened = 0

    description = ("local_part",)

    def connect(self) -> FakeServer:
        self.opened += 1
        return self

    def cursor(self) -> FakeServer:
        return self

    def execute(self, _sql: str, names: dict[str, str]) -> None:
        assert names == {"domain_name": "klient1.pl", "local_part": "luser"}
        if self.failures:
            failure = self.failures.pop(0)
            if isinstance(failure, TimeoutError):
                try:
                    raise failure
                except TimeoutError:
                    raise pymysql.OperationalError(2013, "Lost connection (timed out)")  # noqa: B904 - as PyMySQL
            raise failure

    def fetchall(self) -> list[tuple[str, ...]]:
        return [("luser", "klient1.pl", "/m", "luser", "h", "vmail")]

    def close(self) -> None:
        pass


def _fake_lookup(
    monkeypatch: pytest.MonkeyPatch, failures: list[Exception]
) -> tuple[LoginLookup, FakeServer]:
    from sqlalchemy import make_url

    server = FakeServer([])
    lookup = LoginLookup(engine_for(make_url("mysql+pymysql://vmail@127.0.0.1:1/x")))
    monkeypatch.setattr("tpop3d_py.directory.session._open", lambda _engine: server.connect())
    assert lookup.find("luser", "klient1.pl") is not None
    server.failures += failures
    return lookup, server


@pytest.mark.parametrize("number", [2006, 2013])
def test_a_connection_that_the_server_closed_is_opened_again(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    lookup, server = _fake_lookup(monkeypatch, [pymysql.OperationalError(number, "gone")])
    assert lookup.find("luser", "klient1.pl") is not None
    assert server.opened == 2


def _gone() -> Exception:
    return pymysql.OperationalError(2006, "gone")


@pytest.mark.parametrize(
    ("failures", "opened"),
    [
        ([_gone(), _gone()], 2),  # once, not for ever
        ([TimeoutError()], 1),  # asking again would miss the caller's deadline
        ([pymysql.OperationalError(1045, "Access denied")], 1),
        ([pymysql.ProgrammingError(1146, "Table 'x.popbox' doesn't exist")], 1),
    ],
)
def test_any_other_failure_is_told_at_once(
    monkeypatch: pytest.MonkeyPatch, failures: list[Any], opened: int
) -> None:
    lookup, server = _fake_lookup(monkeypatch, failures)
    with pytest.raises(DirectoryUnavailable, match="x at 127"):
        lookup.find("luser", "klient1.pl")
    assert server.opened == opened
    assert lookup.find("luser", "klient1.pl") is not None  # the next call starts afresh


def test_a_sqlite_file_that_was_replaced_is_opened_anew(
    lookup: LoginLookup, rows: sqlite3.Connection, tmp_path: Path
) -> None:
    assert lookup.find("luser", "klient1.pl") is not None
    with sqlite3.connect(tmp_path / "restored.db") as restored:
        rows.backup(restored)
        restored.execute("UPDATE popbox SET password_hash = '{x}other'")
    (tmp_path / "restored.db").rename(tmp_path / "vmail.db")
    found = lookup.find("luser", "klient1.pl")
    assert found is not None
    assert found.password_hash == "{x}other"
    (tmp_path / "vmail.db").unlink()
    with pytest.raises(DirectoryUnavailable):
        lookup.find("luser", "klient1.pl")
