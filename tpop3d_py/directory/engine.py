"""Where the directory is, and how to talk to it.

`DirectorySettings` are the directives of ``vmail.conf``; `make_engine` turns
them into a SQLAlchemy engine for MariaDB (PyMySQL), PostgreSQL (psycopg) or SQLite.  Two kinds of
transaction exist: `reading` and `writing`.  On SQLite the second one starts with
``BEGIN IMMEDIATE``, so that what is read in it cannot change before it commits;
on MariaDB the operations lock the domain's row instead.

When things fail: every failure of the database becomes one
`DirectoryUnavailable` that names the server and never the password.  A missing
SQLite file is such a failure too: only ``vmail db init`` makes one.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from tpop3d_py.directory.dialects import ANSWER_SECONDS, MYSQL, POSTGRES, WRITING, engine_for, sqlite_file
from tpop3d_py.directory.errors import DirectoryUnavailable
from tpop3d_py.log import printable
from tpop3d_py.settings import PATH, TEXT, Kind, choice, setting

__all__ = [
    "Directory",
    "DirectorySettings",
    "engine_for",
    "location",
    "make_engine",
    "read_password",
    "reading",
    "sqlite_file",
    "sqlite_path",
    "translated",
    "unavailable",
    "writing",
]

_DRIVERS = {
    **dict.fromkeys(("mysql", "mariadb", "mysql+pymysql", "mariadb+pymysql"), MYSQL),
    **dict.fromkeys(("postgresql", "postgresql+psycopg"), POSTGRES),
}
_REST = "://user@host/database"
#: Error numbers of the server.
_NO_DATABASE, _NO_TABLE, _NO_TABLE_OF_POSTGRES = 1049, 1146, "42P01"


def _database_url(word: str) -> str:
    url = _parse_url(word)
    if url.password is not None:
        raise ValueError("must not contain a password; name a file that does in database-password-file")
    return word


def _parse_url(word: str) -> URL:
    try:
        url = make_url(word)
    except (ArgumentError, ValueError):
        raise ValueError(f"must look like mysql+pymysql{_REST} or sqlite:////path/file") from None
    if url.drivername in ("sqlite", "sqlite+pysqlite"):
        if not (url.database or "").startswith("/"):
            raise ValueError("must name the SQLite file with an absolute path: sqlite:////path/file")
        return url
    driver = _DRIVERS.get(url.drivername)
    if driver is None:
        raise ValueError("must start with mysql+pymysql://, postgresql+psycopg:// or sqlite:///")
    if not url.database:
        raise ValueError(f"must name a database: {driver}{_REST}")
    return url.set(drivername=driver)


DATABASE_URL: Kind[str] = Kind("database URL", _database_url)


@dataclass(frozen=True, slots=True)
class DirectorySettings:
    """The directives of ``vmail.conf``."""

    database_url: str | None = setting(
        "database-url",
        DATABASE_URL,
        default=None,
        summary="Where the SQL directory is: mysql+pymysql://USER@HOST/DATABASE, "
        "postgresql+psycopg://USER@HOST/DATABASE or sqlite:////PATH.",
        example="mysql+pymysql://vmail@localhost/virtualemail",
    )
    database_password_file: str | None = setting(
        "database-password-file",
        PATH,
        default=None,
        summary="File whose first line is the database password; it must not be readable by everybody.",
        example="/etc/vmail/password",
    )
    mail_root: str = setting(
        "mail-root",
        PATH,
        default="/var/spool/mail/SERVERS",
        summary="Directory under which each new domain gets a directory of its own name.",
    )
    default_unix_user: str = setting(
        "default-unix-user",
        TEXT,
        default="vmail",
        summary="Unix account that owns the mail of a new domain.",
    )
    default_mailbox_type: str = setting(
        "default-mailbox-type",
        choice("bsd", "maildir"),
        default="maildir",
        summary="Format of a new box: bsd (one mbox file) or maildir.",
    )
    password_scheme: str = setting(
        "password-scheme",
        choice("argon2id", "blf-crypt", "sha512-crypt", "scram-sha-256", "plaintext"),
        default="argon2id",
        summary="How new passwords are stored: argon2id unless other programs have to read them, "
        "scram-sha-256 where clients are to log in by SCRAM, plaintext where they need APOP.",
    )
    password_rehash: str = setting(
        "password-rehash",
        choice("no", "weak", "all"),
        default="no",
        summary="Which stored passwords are replaced by password-scheme when their owners log in: no, weak "
        "ones (MD5, SHA, DES; not those in plain text), or all others. The database account of the POP3 "
        "server needs UPDATE on popbox.password_hash.",
    )


@dataclass(frozen=True, slots=True)
class Directory:
    """The directory and the settings that its rules need; what every operation is given first."""

    settings: DirectorySettings
    engine: Engine

    def reading(self) -> contextlib.AbstractContextManager[Connection]:
        """Begin a transaction that only reads."""
        return reading(self.engine)

    def writing(self) -> contextlib.AbstractContextManager[Connection]:
        """Begin a transaction that changes rows; commits if the block ends well."""
        return writing(self.engine)


def make_engine(settings: DirectorySettings, *, answer_seconds: float = ANSWER_SECONDS) -> Engine:
    """Make an engine; nothing is connected yet.

    Args:
        settings: the directives of ``vmail.conf``.
        answer_seconds: how long one statement may take, or wait for a lock.

    Raises:
        DirectoryUnavailable: no database is configured, or the password file cannot be used.
    """
    if settings.database_url is None:
        raise DirectoryUnavailable("no directory is configured: database-url is not set")
    try:
        url = _parse_url(settings.database_url)
    except ValueError as error:
        raise DirectoryUnavailable(f"database-url {error}") from None
    password = None
    if settings.database_password_file is not None and not url.drivername.startswith("sqlite"):
        password = read_password(settings.database_password_file)
    return engine_for(url, password=password, answer_seconds=answer_seconds)


def read_password(path: str) -> bytes:
    """Return the first line of a password file.

    Raises:
        DirectoryUnavailable: it cannot be read, is no file, is empty, or everybody may read or change it.
    """
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            line = file.readline(4096).rstrip(b"\r\n")
    except OSError as error:
        raise DirectoryUnavailable(f"database-password-file {printable(path)}: {error.strerror}") from error
    if not stat.S_ISREG(mode):
        raise DirectoryUnavailable(f"database-password-file {printable(path)}: is not a file")
    if mode & 0o027:
        raise DirectoryUnavailable(
            f"database-password-file {printable(path)}: others may read or change it; chmod 0600 or 0640 it"
        )
    if not line:
        raise DirectoryUnavailable(f"database-password-file {printable(path)}: the first line is empty")
    return line


def location(engine: Engine) -> str:
    """Name the database for a message: server and database, or file; never the password."""
    url = engine.url
    if (path := sqlite_file(engine)) is not None:
        return printable(path)
    usual = 5432 if engine.dialect.name == "postgresql" else 3306
    server = url.query.get("unix_socket") or f"{url.host or 'localhost'}:{url.port or usual}"
    return printable(f"{url.database} at {server}")


def sqlite_path(settings: DirectorySettings) -> str | None:
    """Return the absolute path of the SQLite file, or None if the directory is on a server."""
    if settings.database_url is None:
        return None
    try:
        url = _parse_url(settings.database_url)
    except ValueError:
        return None
    return url.database if url.drivername.startswith("sqlite") else None


@contextlib.contextmanager
def translated(engine: Engine) -> Iterator[None]:
    """Turn every failure of the database into `DirectoryUnavailable`."""
    try:
        yield
    except SQLAlchemyError as error:
        raise unavailable(engine, error) from error


def unavailable(engine: Engine, error: Exception) -> DirectoryUnavailable:
    """Make the one line about a failed database."""
    cause: object = error.orig if isinstance(error, DBAPIError) else error
    arguments = getattr(cause, "args", ())
    text = str(arguments[-1] if arguments else cause)
    number = arguments[0] if arguments else None
    missing = getattr(cause, "sqlstate", None) == _NO_TABLE_OF_POSTGRES
    if "no such table" in text or number == _NO_TABLE or missing:
        text += "; has 'vmail db init' been run?"
    if number == _NO_DATABASE:
        text += "; create it first, see sql/mariadb/database.sql"
    return DirectoryUnavailable(f"directory {location(engine)}: {printable(' '.join(text.split()))}")


@contextlib.contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Begin a transaction that only reads.

    Raises:
        DirectoryUnavailable: the database failed.
    """
    with translated(engine), engine.begin() as connection:
        yield connection


@contextlib.contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Begin a transaction that changes rows; an exception rolls it back.

    Raises:
        DirectoryUnavailable: the database failed.
    """
    with translated(engine), engine.execution_options(**{WRITING: True}).begin() as connection:
        yield connection
