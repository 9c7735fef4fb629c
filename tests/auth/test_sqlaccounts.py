"""The rows that SQL drivers get, on SQLite; the servers are in tests/system/test_sql_drivers.py."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path

import pytest

from tpop3d_py.auth import passwords
from tpop3d_py.auth.accounts import Accounts
from tpop3d_py.auth.chores import Chores
from tpop3d_py.auth.drivers import sqlite
from tpop3d_py.auth.drivers.sqlite import SqliteSettings
from tpop3d_py.auth.drivers.sqltemplate import SQLITE, read_query
from tpop3d_py.auth.exchange import Exchanges
from tpop3d_py.auth.names import Attempt
from tpop3d_py.auth.plugin import Driver, HearsLogins, LoggedIn, Tools
from tpop3d_py.auth.scram import Salts
from tpop3d_py.contracts import Credentials, Decision, Mechanism, Peer, Verdict
from tpop3d_py.directory.engine import DirectorySettings
from tpop3d_py.log import Log

PEER = Peer("192.0.2.1", 4000, "192.0.2.2", 110, "klient1.pl")
JAN = Attempt("jan@klient1.pl", "jan", "klient1.pl")
BARE = Attempt("jan", None, "klient1.pl")
LOGIN = LoggedIn("Jan", "jan", "klient1.pl", "192.0.2.1", "192.0.2.2", "sqlite")
MD5 = hashlib.md5(b"haslo", usedforsecurity=False).hexdigest()

SCHEMA = """
CREATE TABLE domain (domain_name, unix_user, password_hash, path, max_popbox);
CREATE TABLE popbox (domain_name, local_part, password_hash, mbox_name);
CREATE TABLE account (name, stored, mailbox, owner, kind);
CREATE TABLE relay (address, name);
INSERT INTO domain VALUES ('klient1.pl', 'daemon', NULL, '/srv/klient1.pl', NULL);
INSERT INTO account VALUES ('jan', '{plaintext}haslo', '/var/mail/jan', 'daemon', 'bsd');
INSERT INTO account VALUES ('null', '{plaintext}haslo', NULL, 'daemon', NULL);
INSERT INTO account VALUES ('nopass', NULL, NULL, 'daemon', NULL);
INSERT INTO account VALUES ('noowner', '{plaintext}haslo', NULL, NULL, NULL);
INSERT INTO account VALUES ('number', '{plaintext}haslo', NULL, 1, NULL);
INSERT INTO account VALUES ('blob', CAST('{plaintext}haslo' AS BLOB), NULL, 'daemon', NULL);
INSERT INTO account VALUES ('twin', '{plaintext}haslo', NULL, 'daemon', NULL);
INSERT INTO account VALUES ('twin', '{plaintext}haslo', NULL, 'daemon', NULL);
INSERT INTO account VALUES ('ewa', '{plaintext}hers', NULL, 'daemon', NULL);
INSERT INTO account VALUES ('Ewa', '{plaintext}haslo', NULL, 'daemon', NULL);
"""
QUERY = "SELECT mailbox, stored, owner, kind FROM account WHERE name = '$(user)'"


class Base:
    def __init__(self, folder: Path) -> None:
        self.path = folder / "mail.db"
        self.log = Log("test", to_stderr=True)
        self.chores = Chores(self.log)
        self.rows = sqlite3.connect(self.path, isolation_level=None)
        self.rows.executescript(SCHEMA)
        self.rows.execute("INSERT INTO popbox VALUES ('klient1.pl', 'jan', ?, 'jan/')", (MD5,))

    def driver(self, rehash: str = "no", **queries: str) -> Driver:
        settings = SqliteSettings(
            enable=True,
            file=str(self.path),
            **{f"{name}_query": read_query(text, SQLITE) for name, text in queries.items()},  # type: ignore[arg-type]
        )
        directory = DirectorySettings(password_rehash=rehash)
        tools = Tools(self.log, Accounts(), Exchanges(Salts(b"")), directory, self.chores)
        return sqlite.make(settings, tools)


@pytest.fixture
def base(tmp_path: Path) -> Base:
    return Base(tmp_path)


def check(
    driver: Driver, attempt: Attempt, secret: bytes = b"haslo", mechanism: Mechanism = Mechanism.PASSWORD
) -> Decision:
    stamp = b"<stamp@x>" if mechanism is Mechanism.APOP else b""
    return driver.check(attempt, Credentials(mechanism, attempt.user, secret, stamp, PEER))


def test_the_tables_of_vmail_sql(base: Base) -> None:
    driver = base.driver()
    identity = check(driver, JAN).identity
    assert identity is not None
    assert (identity.mailbox, identity.mailbox_type, identity.uid) == ("/srv/klient1.pl/jan/", "", 1)
    assert check(driver, JAN, b"x").verdict is Verdict.REFUSED
    assert check(driver, BARE).verdict is Verdict.NOT_MINE


def test_a_query_of_the_operators_and_a_bare_name(base: Base) -> None:
    identity = check(base.driver(**{"pass": QUERY}), BARE).identity
    assert identity is not None
    assert (identity.user, identity.local_part, identity.domain) == ("jan", "", "klient1.pl")
    assert (identity.mailbox, identity.mailbox_type, identity.driver) == ("/var/mail/jan", "bsd", "sqlite")


@pytest.mark.parametrize(
    ("name", "verdict", "detail"),
    [
        ("null", Verdict.GRANTED, ""),
        ("number", Verdict.GRANTED, ""),
        ("blob", Verdict.GRANTED, ""),
        ("nopass", Verdict.REFUSED, ""),
        ("noowner", Verdict.UNAVAILABLE, "no Unix account ''"),
        ("twin", Verdict.UNAVAILABLE, "2 rows for twin"),
        ("nobody", Verdict.NOT_MINE, ""),
        ("x' OR '1'='1", Verdict.NOT_MINE, ""),
        ("jan\n", Verdict.NOT_MINE, ""),
        ("x" * 300, Verdict.NOT_MINE, ""),
    ],
)
def test_rows_of_all_kinds(base: Base, name: str, verdict: Verdict, detail: str) -> None:
    decision = check(base.driver(**{"pass": QUERY}), Attempt(name, None, "klient1.pl"))
    assert decision.verdict is verdict
    assert detail in decision.detail
    if decision.identity is not None:
        assert (decision.identity.mailbox, decision.identity.mailbox_type) == ("", "")


@pytest.mark.parametrize("columns", ["stored", "mailbox, stored, owner", "mailbox, stored, owner, kind, 1"])
def test_another_number_of_columns_is_an_error_that_says_so(base: Base, columns: str) -> None:
    query = f"SELECT {columns} FROM account WHERE name = '$(user)'"
    decision = check(base.driver(**{"pass": query}), BARE)
    assert decision.verdict is Verdict.UNAVAILABLE
    assert f"returns {columns.count(',') + 1} columns and not four" in decision.detail


def test_a_query_that_the_database_dislikes(base: Base) -> None:
    decision = check(base.driver(**{"pass": "SELECT FROM WHERE '$(user)'"}), BARE)
    assert decision.verdict is Verdict.UNAVAILABLE
    assert "syntax error" in decision.detail


def test_apop_has_a_query_of_its_own(base: Base) -> None:
    digest = hashlib.md5(b"<stamp@x>haslo", usedforsecurity=False).hexdigest().encode()
    driver = base.driver(**{"pass": "none", "apop": QUERY})
    assert check(driver, BARE).verdict is Verdict.NOT_MINE
    assert check(driver, BARE, digest, Mechanism.APOP).verdict is Verdict.GRANTED
    driver = base.driver(**{"pass": QUERY, "apop": "none"})
    assert check(driver, BARE).verdict is Verdict.GRANTED
    assert check(driver, BARE, digest, Mechanism.APOP).verdict is Verdict.NOT_MINE


def test_a_variable_without_a_value_leaves_the_query_unasked(base: Base) -> None:
    query = QUERY.replace("$(user)", "$(local_part)")
    assert check(base.driver(**{"pass": query}), BARE).verdict is Verdict.NOT_MINE
    assert check(base.driver(**{"pass": query}), JAN).verdict is Verdict.GRANTED


@pytest.mark.parametrize("domain", ["", "x" * 300])
def test_a_variable_that_the_query_does_not_mention_may_lack_a_value(base: Base, domain: str) -> None:
    driver = base.driver(**{"pass": QUERY})
    assert check(driver, Attempt("jan", None, domain)).verdict is Verdict.GRANTED


def test_users_whose_names_differ_in_capitals_have_mailboxes_of_their_own(base: Base) -> None:
    query = QUERY.replace("$(user)", "$(local_part)")
    identity = check(base.driver(**{"pass": query}), Attempt("Ewa@Klient1.pl", "Ewa", "Klient1.pl")).identity
    assert identity is not None
    assert (identity.user, identity.local_part, identity.domain) == ("Ewa@Klient1.pl", "Ewa", "Klient1.pl")


@pytest.mark.parametrize(
    "change",
    ["domain SET unix_user = 1", "popbox SET password_hash = CAST('{plaintext}haslo' AS BLOB)"],
)
def test_columns_of_other_types(base: Base, change: str) -> None:
    base.rows.execute(f"UPDATE {change}")
    assert check(base.driver(), JAN).verdict is Verdict.GRANTED


def test_capitals_mean_nothing_in_the_tables_of_vmail_sql(base: Base) -> None:
    identity = check(base.driver(), Attempt("Jan@Klient1.pl", "Jan", "Klient1.pl")).identity
    assert identity is not None
    assert (identity.user, identity.local_part, identity.domain) == ("jan@klient1.pl", "jan", "klient1.pl")


def test_a_statement_after_logins(base: Base, capfd: pytest.CaptureFixture[str]) -> None:
    insert = "INSERT INTO relay VALUES ('$(clienthost)', '$(local_part)@$(domain)')"
    driver = base.driver(onlogin=insert)
    assert isinstance(driver, HearsLogins)
    assert check(driver, JAN).verdict is Verdict.GRANTED
    driver.logged_in(LOGIN)
    assert base.rows.execute("SELECT * FROM relay").fetchall() == [("192.0.2.1", "jan@klient1.pl")]
    base.rows.execute("ALTER TABLE relay RENAME TO gone")
    for _ in range(3):
        driver.logged_in(LOGIN)
    assert capfd.readouterr().err.count("auth-sqlite-onlogin-query: failed") == 1
    assert not isinstance(base.driver(), HearsLogins)
    assert not isinstance(base.driver(onlogin="none"), HearsLogins)


def test_rows_in_the_answer_of_that_statement_earn_one_warning(
    base: Base, capfd: pytest.CaptureFixture[str]
) -> None:
    driver = base.driver(onlogin="SELECT 1 WHERE '$(user)' <> ''")
    assert isinstance(driver, HearsLogins)
    driver.logged_in(LOGIN)
    driver.logged_in(LOGIN)
    assert capfd.readouterr().err.count("answered with 1 rows") == 1


def test_a_weak_password_is_stored_anew_after_the_answer(base: Base) -> None:
    driver = base.driver(rehash="weak")
    for secret in (b"wrong", b"haslo"):
        check(driver, JAN, secret)
    assert base.rows.execute("SELECT password_hash FROM popbox").fetchall() == [(MD5,)]
    while base.chores:
        base.chores.do_one()
    [(stored,)] = base.rows.execute("SELECT password_hash FROM popbox").fetchall()
    assert passwords.is_current(stored, "argon2id")
    assert check(driver, JAN).verdict is Verdict.GRANTED
    assert not base.chores


def test_whoever_changes_a_password_in_the_same_moment_wins(base: Base) -> None:
    driver = base.driver(rehash="weak")
    check(driver, JAN)
    base.rows.execute("UPDATE popbox SET password_hash = '{plaintext}new'")
    base.chores.do_one()
    assert base.rows.execute("SELECT password_hash FROM popbox").fetchall() == [("{plaintext}new",)]


def test_passwords_of_an_operators_query_stay(base: Base, capfd: pytest.CaptureFixture[str]) -> None:
    base.rows.execute("UPDATE account SET stored = ?", (MD5,))
    driver = base.driver(rehash="all", **{"pass": QUERY})
    assert "password-rehash: auth-sqlite-pass-query" in capfd.readouterr().err
    assert check(driver, BARE).verdict is Verdict.GRANTED
    assert not base.chores
