"""What a mail server must be told about the directory's database.

Facts come from the database URL of vmail.conf, so that the mail server reads
the very database that pypop3d and the commands use.  They are checked here
against what Exim can express, before any file is written.

When things fail: `NotExpressible`, whose text is one line for the operator that
names the value (never a password) and says what to change; or the directory's
own `DirectoryUnavailable` about the password file.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.engine import URL, make_url

from tpop3d_py.directory.engine import DirectorySettings, read_password
from tpop3d_py.directory.errors import Refused

_MYSQL_NAMES = ("mysql", "mariadb")
_MYSQL_PORT = 3306
_HOST_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_")


class NotExpressible(Refused):
    """A setting that is good for us but cannot be written in the mail server's configuration."""


@dataclass(frozen=True, slots=True)
class MysqlServer:
    """A MariaDB or MySQL server and the account to use.

    Args:
        host: name or IPv4 address; ignored if there is a socket.
        port: TCP port.
        socket: absolute path of the server's Unix socket, or empty.
        database: the schema.
        user: the account.
        password: its password; may be empty.
    """

    host: str
    port: int
    socket: str
    database: str
    user: str
    password: str


@dataclass(frozen=True, slots=True)
class SqliteFile:
    """A SQLite database: one file, by its absolute path."""

    path: str


Database = MysqlServer | SqliteFile


def database(settings: DirectorySettings) -> Database:
    """Read the facts out of vmail.conf and its password file.

    Raises:
        NotExpressible: Exim cannot be told to use this database.
        DirectoryUnavailable: the password file cannot be used.
    """
    if settings.database_url is None:
        raise NotExpressible("database-url is not set")
    url = make_url(settings.database_url)
    if settings.database_password_file is not None:
        url = url.set(
            password=read_password(settings.database_password_file).decode("utf-8", "surrogateescape")
        )
    return database_of(url)


def database_of(url: URL) -> Database:
    """Read the facts out of a database URL that has its password in it.

    Raises:
        NotExpressible: Exim cannot be told to use this database.
    """
    name = url.get_backend_name()
    if name in _MYSQL_NAMES:
        return _mysql(url)
    if name == "sqlite":
        return _sqlite(url)
    raise NotExpressible(f"database-url: no Exim file is made for {name}, only for MariaDB, MySQL and SQLite")


def _mysql(url: URL) -> MysqlServer:
    socket = url.query.get("unix_socket", "")
    return MysqlServer(
        host=_host(url.host or "localhost"),
        port=url.port or _MYSQL_PORT,
        socket=_socket(socket if isinstance(socket, str) else socket[-1]),
        database=_field("the database's name", url.database or ""),
        user=_field("the database account", url.username or ""),
        password=_field("the database password", url.password or "", may_be_empty=True),
    )


def _host(host: str) -> str:
    # PyMySQL reaches `localhost` by TCP, the library inside Exim by the socket it was compiled with.
    # The address makes both use the same server.
    if host == "localhost":
        return "127.0.0.1"
    if ":" in host:
        raise NotExpressible(
            f"database-url: Exim cannot express the IPv6 address {host}; use a host name or a unix_socket"
        )
    if not _HOST_CHARACTERS.issuperset(host):
        raise NotExpressible(f"database-url: Exim cannot express the host name {host!r}")
    return host


def _socket(path: str) -> str:
    if not path:
        return ""
    _no_controls("unix_socket", path)
    if not path.startswith("/") or any(c in path for c in "()[]"):
        raise NotExpressible(
            f"database-url: unix_socket must be an absolute path without brackets for Exim: {path}"
        )
    return path


def _field(what: str, value: str, *, may_be_empty: bool = False) -> str:
    """Check a part of ``host/database/user/password``, which Exim takes apart at its last three slashes."""
    if not value and not may_be_empty:
        raise NotExpressible(f"database-url: {what} is missing")
    _no_controls(what, value)
    if "/" in value:
        raise NotExpressible(
            f"{what} contains '/', which Exim cannot express (mysql_servers): choose another"
        )
    if value != value.strip():
        raise NotExpressible(f"{what} begins or ends with a blank, which Exim would drop: choose another")
    return value


def _no_controls(what: str, value: str) -> None:
    # Also what arrives undecodable: a surrogate cannot be written to the file as it was.
    if any(c < " " or c == "\x7f" or "\ud800" <= c <= "\udfff" for c in value):
        raise NotExpressible(
            f"{what} is not UTF-8 or contains a control character, which Exim cannot express: choose another"
        )


def _sqlite(url: URL) -> SqliteFile:
    path = url.database or ""
    if not path.startswith("/"):
        raise NotExpressible(
            "database-url: Exim needs the absolute path of the SQLite file (sqlite:////path)"
        )
    _no_controls("the path of the SQLite file", path)
    return SqliteFile(path)
