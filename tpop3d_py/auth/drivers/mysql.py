"""``auth-mysql``: accounts in MySQL or MariaDB, in the words of the ancestor.

Its query for the tables of Vmail-SQL had ``bsd`` as mailbox type; here a mailbox name with a final slash is a
maildir, which is how both MTAs see it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import URL

from tpop3d_py.auth.drivers import sqlserver
from tpop3d_py.auth.drivers.sqlaccounts import Queries, make_driver
from tpop3d_py.auth.drivers.sqlserver import Server, Tls
from tpop3d_py.auth.drivers.sqltemplate import MYSQL, Query
from tpop3d_py.auth.plugin import Driver, Plugin, Tools, enable_setting, mail_group_setting, mailbox_setting
from tpop3d_py.directory.engine import engine_for
from tpop3d_py.maildrop.patterns import Pattern

NAME = "mysql"
_LOCAL = "localhost means Debian's socket if there is one, else TCP."


@dataclass(frozen=True, slots=True)
class MysqlSettings:
    """Logins from a MySQL or MariaDB server (auth-mysql)."""

    enable: bool = enable_setting(NAME, "Log users in from the database named by the directives below.")
    hostname: tuple[Server, ...] = sqlserver.hostname_setting(NAME, _LOCAL)
    database: str = sqlserver.database_setting(NAME)
    username: str = sqlserver.username_setting(NAME)
    password: str = sqlserver.password_setting(NAME)
    pass_query: Query | None = sqlserver.query_setting(NAME, "pass", MYSQL, sqlserver.PASS_QUERY)
    apop_query: Query | None = sqlserver.query_setting(NAME, "apop", MYSQL, sqlserver.APOP_QUERY)
    onlogin_query: Query | None = sqlserver.query_setting(NAME, "onlogin", MYSQL, sqlserver.ONLOGIN_QUERY)
    tls_on: bool = sqlserver.tls_setting(NAME)
    tls_verify: bool = sqlserver.tls_verify_setting(NAME)
    tls_ca: str | None = sqlserver.tls_file_setting(NAME, "ca", sqlserver.TLS_CA)
    tls_cert: str | None = sqlserver.tls_file_setting(NAME, "cert", sqlserver.TLS_CERT)
    tls_key: str | None = sqlserver.tls_file_setting(NAME, "key", sqlserver.TLS_KEY)
    mailbox: tuple[Pattern, ...] = mailbox_setting(NAME)
    mail_group: str = mail_group_setting(NAME)

    @property
    def tls(self) -> Tls:
        """What connections are protected by."""
        return Tls(self.tls_on, self.tls_verify, self.tls_ca, self.tls_cert, self.tls_key)

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Yield what is missing when the driver is on."""
        if self.enable:
            yield from sqlserver.missing(NAME, self.tls, database=self.database, username=self.username)

    def urls(self) -> list[URL]:
        """Name the database on each server for SQLAlchemy."""
        return [
            URL.create(
                "mysql+pymysql",
                username=self.username,
                host=server.host or None,
                port=server.port or None,
                database=self.database,
                query={"unix_socket": server.socket} if server.socket else {},
            )
            for server in self.hostname
        ]


def make(settings: MysqlSettings, tools: Tools) -> Driver:
    """Make the driver; no server is asked yet.

    Raises:
        DriverError: a certificate cannot be used.
    """
    password = settings.password.encode() if settings.password else None
    tls = sqlserver.tls_context(NAME, settings.tls)
    engines = [engine_for(url, password=password, tls=tls) for url in settings.urls()]
    queries = Queries(settings.pass_query, settings.apop_query, settings.onlogin_query)
    return make_driver(NAME, engines, queries, tools.owner(settings.mail_group), tools)


PLUGIN = Plugin(NAME, MysqlSettings, make)
