"""Engines for the kinds of database, with an end to every wait.

A SQLite database keeps its default rollback journal: a daemon without write
permission can then read it, which WAL would not allow.

When things fail: `DirectoryUnavailable` for PostgreSQL without psycopg; nothing is connected here.
"""

from __future__ import annotations

import os
import ssl
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.pool import NullPool

from tpop3d_py.directory.errors import DirectoryUnavailable

#: Seconds to wait for a connection, and for each answer of the server.  Together they stay under the
#: 4 s after which an authentication process is killed; `make_engine` takes longer ones for commands.
CONNECT_SECONDS = 1.0
ANSWER_SECONDS = 1.5

#: SQLAlchemy's names of our drivers.
MYSQL, POSTGRES = "mysql+pymysql", "postgresql+psycopg"
#: An option of connections that are about to change rows.
WRITING = "vmail_writing"
#: Where Debian's MariaDB listens for local programs.
_SOCKET = "/run/mysqld/mysqld.sock"


def engine_for(
    url: URL,
    *,
    password: bytes | None = None,
    answer_seconds: float = ANSWER_SECONDS,
    tls: ssl.SSLContext | None = None,
) -> Engine:
    """Make an engine for a MySQL, PostgreSQL or SQLite URL; nothing is connected yet.

    Args:
        url: may contain a password; SQLite's has an absolute path; the host ``localhost`` means Debian's
            socket of MariaDB where there is one; the query of PostgreSQL's is for libpq.
        password: used instead of the one in the URL; as octets, because PyMySQL takes text for Latin-1.
        answer_seconds: how long one statement may take, or wait for a lock.
        tls: a connection to MySQL by TCP must use it; None: whatever the server offers, unverified.

    Raises:
        DirectoryUnavailable: psycopg is needed and not installed.
    """
    if url.drivername.startswith("sqlite"):
        return _sqlite_engine(url, answer_seconds)
    if url.drivername == POSTGRES:
        return _postgres_engine(url, password, answer_seconds)
    return _mysql_engine(_local(url), password, answer_seconds, tls)


def _postgres_engine(url: URL, password: bytes | None, seconds: float) -> Engine:
    try:
        from tpop3d_py.directory.postgres import postgres_engine  # noqa: PLC0415 - an optional part
    except ImportError as error:
        # Without libpq, psycopg tells in four lines what it tried; operators need the first.
        reason = str(error).partition("\n")[0]
        raise DirectoryUnavailable(
            f"PostgreSQL needs psycopg 3.3 (tpop3d-py[pgsql]) and libpq (Debian: libpq5): {reason}"
        ) from None
    secret = url.password if password is None else password.decode("utf-8", "surrogateescape")
    options = {name: value if isinstance(value, str) else value[-1] for name, value in url.query.items()}
    if "sslcert" not in options:  # libpq would look for one in the home of root
        options["sslcertmode"] = "disable"
    return postgres_engine(url, secret, options, seconds)


def _local(url: URL) -> URL:
    # MySQL's own programs take "localhost" for the socket, and so do the grants for @localhost.
    if url.host != "localhost" or url.port or "unix_socket" in url.query or not os.path.exists(_SOCKET):
        return url
    return url.update_query_dict({"unix_socket": _SOCKET})


def _sqlite_engine(url: URL, seconds: float) -> Engine:
    # mode=rw instead of the default rwc: a typing error in the path must not make an empty directory.
    database = f"file:{_uri_path(url.database or '')}"
    file = URL.create("sqlite", database=database, query={"mode": "rw", "uri": "true"})
    engine = create_engine(file, poolclass=NullPool, connect_args={"timeout": seconds})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _uri_path(path: str) -> str:
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions are ours: see _begin_sqlite
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: Connection) -> None:
    immediate = connection.get_execution_options().get(WRITING, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _mysql_engine(url: URL, password: bytes | None, seconds: float, tls: ssl.SSLContext | None) -> Engine:
    arguments: dict[str, Any] = {
        "charset": "utf8mb4",
        "connect_timeout": CONNECT_SECONDS,
        "read_timeout": seconds,
        "write_timeout": seconds,
    }
    if "unix_socket" in url.query:
        arguments["ssl_disabled"] = True  # nothing to hide from, and loading the machine's CAs takes 15 ms
    elif tls is not None:
        arguments["ssl"] = tls
    if password is None and url.password is not None:
        password = str(url.password).encode("utf-8")
    if password is not None:
        arguments["password"] = password
    engine = create_engine(url, poolclass=NullPool, connect_args=arguments)
    event.listen(engine, "do_connect", _connect_mysql)
    return engine


def _connect_mysql(dialect: Any, _record: Any, arguments: Any, options: Any) -> Any:
    try:
        return dialect.connect(*arguments, **options)
    except RuntimeError as error:
        # PyMySQL says so when an authentication method needs a package that is not installed.
        raise dialect.dbapi.OperationalError(2059, str(error)) from error


def sqlite_file(engine: Engine) -> str | None:
    """Return the path of an engine's SQLite file, or None if the directory is on a server."""
    if not engine.url.drivername.startswith("sqlite"):
        return None
    path = (engine.url.database or "").removeprefix("file:")
    return path.replace("%23", "#").replace("%3f", "?").replace("%25", "%")
