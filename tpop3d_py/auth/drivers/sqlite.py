"""``auth-sqlite``: accounts in an SQLite file, for small sites and for files that other programs keep."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import URL

from tpop3d_py.auth.drivers import sqlserver
from tpop3d_py.auth.drivers.sqlaccounts import Queries, make_driver
from tpop3d_py.auth.drivers.sqlserver import Tls
from tpop3d_py.auth.drivers.sqltemplate import SQLITE, Query
from tpop3d_py.auth.plugin import Driver, Plugin, Tools, enable_setting, mail_group_setting, mailbox_setting
from tpop3d_py.directory.engine import engine_for
from tpop3d_py.maildrop.patterns import Pattern
from tpop3d_py.settings import PATH, setting

NAME = "sqlite"


@dataclass(frozen=True, slots=True)
class SqliteSettings:
    """Logins from an SQLite file (auth-sqlite)."""

    enable: bool = enable_setting(NAME, "Log users in from the SQLite file named by auth-sqlite-file.")
    file: str = setting(
        "auth-sqlite-file",
        PATH,
        default=None,
        summary="The database; the account of run-as must be able to read it. One that is replaced is "
        "noticed at the next login.",
        example="/var/lib/vmail/vmail.db",
    )
    pass_query: Query | None = sqlserver.query_setting(NAME, "pass", SQLITE, sqlserver.PASS_QUERY)
    apop_query: Query | None = sqlserver.query_setting(NAME, "apop", SQLITE, sqlserver.APOP_QUERY)
    onlogin_query: Query | None = sqlserver.query_setting(NAME, "onlogin", SQLITE, sqlserver.ONLOGIN_QUERY)
    mailbox: tuple[Pattern, ...] = mailbox_setting(NAME)
    mail_group: str = mail_group_setting(NAME)

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Yield what is missing when the driver is on."""
        if self.enable:
            yield from sqlserver.missing(NAME, Tls(), file=self.file)


def make(settings: SqliteSettings, tools: Tools) -> Driver:
    """Make the driver; the file is opened at the first login."""
    engine = engine_for(URL.create("sqlite", database=settings.file))
    queries = Queries(settings.pass_query, settings.apop_query, settings.onlogin_query)
    return make_driver(NAME, [engine], queries, tools.owner(settings.mail_group), tools)


PLUGIN = Plugin(NAME, SqliteSettings, make)
