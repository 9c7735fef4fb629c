"""``auth-mysql``: the ancestor's way to name a virtualemail database, for existing files.

The query is the ancestor's own: the box's path, password hash and Unix user by
local part and domain.  Its fourth column was the constant ``bsd``; here a
mailbox name with a final slash is a maildir, which is how both MTAs see it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import URL

from tpop3d_py.auth.breaker import Breaker
from tpop3d_py.auth.drivers.virtualemail import VirtualEmail
from tpop3d_py.auth.plugin import Driver, Plugin, Tools, enable_setting, mail_group_setting, mailbox_setting
from tpop3d_py.directory.engine import engine_for
from tpop3d_py.directory.lookup import LoginLookup
from tpop3d_py.maildrop.patterns import Pattern
from tpop3d_py.settings import TEXT, Kind, setting

NAME = "mysql"

_SERVER = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9._-]+))(?::(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class Server:
    """A database server: a socket, or a host with a port (0: the usual one)."""

    socket: str = ""
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        return self.socket or (f"{self.host}:{self.port}" if self.port else self.host)


def _server(text: str) -> Server:
    if len(text.split()) > 1:
        raise ValueError("several hosts are not supported by this version; name one")
    if text.startswith("/"):
        return Server(socket=text)
    found = _SERVER.fullmatch(text)
    if found is None or int(found["port"] or 0) > 65535:
        raise ValueError("must be HOST, HOST:PORT or the absolute path of a socket")
    return Server(host=found["v6"] or found["host"], port=int(found["port"] or 0))


SERVER: Kind[Server] = Kind("HOST, HOST:PORT or /path/of/socket", _server)


@dataclass(frozen=True, slots=True)
class MysqlSettings:
    """Logins from a MySQL or MariaDB server (auth-mysql)."""

    enable: bool = enable_setting(
        NAME, "Log users in from a virtualemail database named by the directives below."
    )
    hostname: Server = setting(
        "auth-mysql-hostname",
        SERVER,
        default=Server(host="localhost"),
        summary="The server; localhost means Debian's socket if there is one, else TCP.",
    )
    database: str = setting("auth-mysql-database", TEXT, default=None, summary="Name of the database.")
    username: str = setting("auth-mysql-username", TEXT, default=None, summary="Account on the server.")
    password: str = setting(
        "auth-mysql-password",
        TEXT,
        default=None,
        summary="Its password, in double quotes if it contains #; keep the file unreadable for others.",
        secret=True,
    )
    mailbox: tuple[Pattern, ...] = mailbox_setting(NAME)
    mail_group: str = mail_group_setting(NAME)

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Yield what is missing when the driver is on."""
        if self.enable:
            for directive, value in (("database", self.database), ("username", self.username)):
                if not value:
                    yield f"auth-mysql-{directive}", "required when auth-mysql-enable is on"

    def password_octets(self) -> bytes | None:
        """Return the password as the server gets it."""
        return self.password.encode() if self.password else None

    def url(self) -> URL:
        """Name the database for SQLAlchemy."""
        server = self.hostname
        query = {"unix_socket": server.socket} if server.socket else {}
        return URL.create(
            "mysql+pymysql",
            username=self.username,
            host=server.host or None,
            port=server.port or None,
            database=self.database,
            query=query,
        )


def make(settings: MysqlSettings, tools: Tools) -> Driver:
    """Make the driver; no server is asked yet."""
    lookup = LoginLookup(engine_for(settings.url(), password=settings.password_octets()))
    guarded = Breaker(lookup, NAME, tools.log)
    return VirtualEmail(NAME, guarded, tools.owner(settings.mail_group), tools.exchanges)


PLUGIN = Plugin(NAME, MysqlSettings, make)
