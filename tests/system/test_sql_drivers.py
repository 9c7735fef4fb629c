"""auth-mysql, auth-pgsql and auth-sqlite against real servers that are well."""

from __future__ import annotations

import pwd
import sqlite3
from pathlib import Path

import pytest

from tests.system.support.processes import wait_for
from tests.system.support.sqlsite import STORED, TABLES, Base, StartSite

#: How the ancestor's own query joins texts in each kind of database.
PATHS = {
    "mysql": "concat(domain.path, '/', popbox.mbox_name)",
    "pgsql": "domain.path || '/' || popbox.mbox_name",
}
QUERY = (
    "SELECT {path}, popbox.password_hash, domain.unix_user, 'bsd' FROM popbox, domain "
    "WHERE popbox.local_part = '$(local_part)' AND popbox.domain_name = '$(domain)' "
    "AND popbox.domain_name = domain.domain_name"
)


@pytest.fixture(params=["sql_mysql", "sql_pgsql"])
def base(request: pytest.FixtureRequest) -> Base:
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]


def test_the_tables_of_vmail_sql_and_a_statement_after_the_login(base: Base, start: StartSite) -> None:
    insert = "INSERT INTO relay VALUES ('$(clienthost)', '$(local_part)@$(domain) $(user)')"
    site = start(base.directives(onlogin_query=insert))
    assert site.login()[0] == "+OK Welcome aboard! You have 1 messages."
    assert site.login("Haslo")[0].startswith("-ERR [AUTH]")
    wait_for(lambda: base.execute("SELECT * FROM relay"), "the row of the statement")
    assert base.execute("SELECT * FROM relay") == [("127.0.0.1", "luser@klient1.pl luser")]
    base.execute("DELETE FROM relay")


def test_the_ancestors_query(base: Base, start: StartSite) -> None:
    site = start(base.directives(pass_query=QUERY.format(path=PATHS[base.driver]), apop_query="none"))
    assert site.login()[0] == "+OK Welcome aboard! You have 1 messages."


def test_tls_and_whom_it_trusts(base: Base, start: StartSite, sql_folder: Path) -> None:
    ca = str(sql_folder / "cert.pem")
    assert start(base.directives(tls="yes", tls_ca_file=ca)).lets_in()
    assert start(base.directives(tls="yes", tls_verify="no")).lets_in()
    stranger = start(base.directives(tls="yes", tls_ca_file="/etc/ssl/certs/ca-certificates.crt"))
    assert stranger.login()[0].startswith("-ERR [SYS/TEMP]")
    assert "certificate verify failed" in stranger.log
    # A certificate for 127.0.0.1 is none for localhost.
    misnamed = start(base.directives(f"localhost:{base.port}", tls="yes", tls_ca_file=ca))
    assert misnamed.login()[0].startswith("-ERR [SYS/TEMP]")


def test_passwords_are_stored_anew_unless_the_database_is_read_only(base: Base, start: StartSite) -> None:
    base.read_only(True)
    try:
        site = start(base.directives() + "password-rehash: weak\n")
        assert all(site.lets_in() for _ in range(4))
        wait_for(lambda: "password-rehash: passwords stay as they are" in site.log, "the line in the log")
        assert base.stored() == STORED
    finally:
        base.read_only(False)
    try:
        site = start(base.directives() + "password-rehash: weak\npassword-scheme: scram-sha-256\n")
        assert site.lets_in()
        wait_for(lambda: base.stored() != STORED, "another form")
        assert base.stored().startswith("{SCRAM-SHA-256}4096,")
        assert site.lets_in()
    finally:
        base.execute(f"UPDATE popbox SET password_hash = '{STORED}'")


def test_an_sqlite_file(start: StartSite, sql_folder: Path, vmail: pwd.struct_passwd) -> None:
    path = sql_folder / "accounts.db"
    with sqlite3.connect(path) as rows:
        for sql in TABLES:
            rows.execute(sql)
        root = sql_folder / "SERVERS"
        rows.execute("INSERT INTO domain VALUES ('klient1.pl', ?, NULL, ?, 50)", (vmail.pw_name, str(root)))
        rows.execute("INSERT INTO popbox VALUES ('klient1.pl', 'luser', ?, 'luser')", (STORED,))
    for file in sql_folder.glob("accounts.db*"):
        file.chmod(0o644)
    site = start(f"auth-sqlite-enable: yes\nauth-sqlite-file: {path}\npassword-rehash: weak\n")
    assert site.login()[0] == "+OK Welcome aboard! You have 1 messages."
    wait_for(lambda: "readonly" in site.log, "the line about a file that may only be read")
    assert site.login("wrong")[0].startswith("-ERR [AUTH]")
