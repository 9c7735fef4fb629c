"""``auth-pgsql``: accounts in PostgreSQL, with the directives of auth-mysql.

It needs psycopg 3, an optional part of this package (``tpop3d-py[pgsql]``).  The library reads certificates
when it connects, as the account of ``run-as``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import URL, Engine

from tpop3d_py.auth.drivers import sqlserver
from tpop3d_py.auth.drivers.sqlaccounts import Queries, make_driver
from tpop3d_py.auth.drivers.sqlserver import Server, Tls
from tpop3d_py.auth.drivers.sqltemplate import POSTGRES, Query
from tpop3d_py.auth.plugin import (
    Driver,
    DriverError,
    Plugin,
    Tools,
    enable_setting,
    mail_group_setting,
    mailbox_setting,
)
from tpop3d_py.directory.engine import engine_for
from tpop3d_py.directory.errors import DirectoryUnavailable
from tpop3d_py.maildrop.patterns import Pattern

NAME = "pgsql"
_SOCKET = "A socket is named by its folder."


@dataclass(frozen=True, slots=True)
class PgsqlSettings:
    """Logins from a PostgreSQL server (auth-pgsql)."""

    enable: bool = enable_setting(NAME, "Log users in from the database named by the directives below.")
    hostname: tuple[Server, ...] = sqlserver.hostname_setting(NAME, _SOCKET)
    database: str = sqlserver.database_setting(NAME)
    username: str = sqlserver.username_setting(NAME)
    password: str = sqlserver.password_setting(NAME)
    pass_query: Query | None = sqlserver.query_setting(NAME, "pass", POSTGRES, sqlserver.PASS_QUERY)
    apop_query: Query | None = sqlserver.query_setting(NAME, "apop", POSTGRES, sqlserver.APOP_QUERY)
    onlogin_query: Query | None = sqlserver.query_setting(NAME, "onlogin", POSTGRES, sqlserver.ONLOGIN_QUERY)
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


def make(settings: PgsqlSettings, tools: Tools) -> Driver:
    """Make the driver; no server is asked yet.

    Raises:
        DriverError: the library is not installed, or a certificate cannot be used.
    """
    engines = [_engine(settings, server) for server in settings.hostname]
    queries = Queries(settings.pass_query, settings.apop_query, settings.onlogin_query)
    return make_driver(NAME, engines, queries, tools.owner(settings.mail_group), tools)


def _engine(settings: PgsqlSettings, server: Server) -> Engine:
    sqlserver.tls_context(NAME, settings.tls)  # says what is wrong with the files before libpq does
    url = URL.create(
        "postgresql+psycopg",
        username=settings.username,
        host=server.socket or server.host,
        port=server.port or None,
        database=settings.database,
        query=_options(settings.tls),
    )
    try:
        return engine_for(url, password=settings.password.encode() if settings.password else None)
    except DirectoryUnavailable as error:
        raise DriverError(f"auth-pgsql-enable: {error}") from None


def _options(tls: Tls) -> dict[str, str]:
    """Write it as libpq has it; over a socket it ignores it."""
    if not tls.on:
        return {"sslmode": "disable"}
    if not tls.verify:
        options = {"sslmode": "require"}
    else:
        options = {"sslmode": "verify-full", "sslrootcert": tls.ca or "system"}
    if tls.cert:
        options |= {"sslcert": tls.cert, "sslkey": tls.key or tls.cert}
    return options


PLUGIN = Plugin(NAME, PgsqlSettings, make)
