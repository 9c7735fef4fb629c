"""The hot query: where is this user's mail, and what is the password's hash?

It runs once for every login, so it keeps one DBAPI connection of its own and
SQL text that was rendered once.  One object serves one thread of one process;
make it after the fork.

The query works on an original Vmail-SQL database too.  Its collation may take
``luser ``, ``LUSER`` or ``lúser`` for ``luser``; what was found is therefore
compared again, octet for octet, except that capitals of ASCII in a *row* still
match, as they always did there.

When things fail: an idle connection that the server has closed is opened again
once, and so is a SQLite file that was replaced: a restored backup counts from its
rename on, and a file that was taken away lets nobody in.  Everything else, a
timeout above all, raises `DirectoryUnavailable` at once, and the next call starts
afresh; `DirectoryDown` if it is not this one query that the database cannot answer.  What a server that
talks nonsense makes the library raise counts as that too.  No row is None; two are `DirectoryInconsistent`.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from tpop3d_py.directory import statements
from tpop3d_py.directory.engine import sqlite_file, unavailable
from tpop3d_py.directory.errors import DirectoryDown, DirectoryInconsistent, DirectoryUnavailable
from tpop3d_py.log import printable

_LONGEST_NAME = 255
_CAPITALS = {ord(c): ord(c) + 32 for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
#: PyMySQL: "server has gone away" and "lost connection"; said of idle connections the server has closed.
_GONE = (2006, 2013)
_ILLEGAL_MIX_OF_COLLATIONS = 1267
#: From here on, numbers are the client library's: no connection, or one that broke.
_CLIENT_ERRORS = 2000
#: What a server says that takes nobody in just now, or gets nothing done: too many connections, handshake,
#: shutting down, too many errors from this host, network, limits of the account, lock wait, killed.
_SERVER_IS_BUSY = frozenset({1040, 1042, 1043, 1053, 1129, *range(1158, 1162), 1203, 1205, 1226, 1317, 1969})


@dataclass(frozen=True, slots=True)
class LoginRow:
    """What a login needs to know of a box; a NULL column is an empty text.

    Args:
        path: the domain's directory.
        mbox_name: file below it; a final slash is a maildir.
        password_hash: the stored form; empty if no password was ever set: nobody may log in.
        unix_user: name or number of the account that owns the mail.
    """

    path: str
    mbox_name: str
    password_hash: str
    unix_user: str


class LoginLookup:
    """Finds boxes for logins over one connection, which it opens when first asked."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Any = None
        self._cursor: Any = None
        self._path = sqlite_file(engine)
        self._file: tuple[int, int] | None = None
        compiled = statements.login().compile(dialect=engine.dialect)
        self._sql = str(compiled)
        # SQLite takes parameters by position, in an order only the compiler knows; PyMySQL by name.
        self._order = compiled.positiontup

    def find(self, local_part: str, domain: str) -> LoginRow | None:
        """Find a box; capitals in either name are folded (ASCII only).

        Raises:
            DirectoryDown: the database is away.
            DirectoryUnavailable: the database cannot answer this query.
            DirectoryInconsistent: there is more than one such box.
        """
        local_part, domain = local_part.translate(_CAPITALS), domain.translate(_CAPITALS)
        if not (_askable(local_part) and _askable(domain)):
            return None
        rows = [
            LoginRow(*(value or "" for value in row[2:]))
            for row in self._ask(self._bound({"local_part": local_part, "domain_name": domain}))
            if row[0].translate(_CAPITALS) == local_part and row[1].translate(_CAPITALS) == domain
        ]
        if len(rows) > 1:
            name = printable(f"{local_part}@{domain}")
            raise DirectoryInconsistent(f"directory has {len(rows)} boxes for {name}")
        return rows[0] if rows else None

    def close(self) -> None:
        """Close the connection; a later `find` opens another."""
        connection, self._connection, self._cursor = self._connection, None, None
        if connection is not None:
            # The server may be gone, and PyMySQL says "already closed" with the same class.
            with contextlib.suppress(self._engine.dialect.loaded_dbapi.Error):
                connection.close()

    def _bound(self, names: dict[str, str]) -> dict[str, str] | tuple[str, ...]:
        return names if self._order is None else tuple(names[name] for name in self._order)

    def _ask(self, names: dict[str, str] | tuple[str, ...]) -> Any:
        idle = self._connection is not None
        try:
            return self._execute(names)
        except Exception as error:  # PyMySQL lets anything out when what it reads is no MySQL
            self.close()
            if _cannot_exist(error):
                return ()
            if not (idle and _closed_by_server(error)):
                raise self._unavailable(error) from error
        try:
            return self._execute(names)
        except Exception as error:
            self.close()
            raise self._unavailable(error) from error

    def _execute(self, names: dict[str, str] | tuple[str, ...]) -> Any:
        if self._path is not None and self._file != (file := _file_at(self._path)):
            self.close()
            self._file = file  # seen before it is opened: one that is replaced just now is noticed next time
        if self._cursor is None:
            self._connection = self._connect()
            # Kept with the connection: making and closing one is a seventh of PyMySQL's time for this query.
            self._cursor = self._connection.cursor()
        self._cursor.execute(self._sql, names)
        return self._cursor.fetchall()

    def _connect(self) -> Any:
        pooled = self._engine.raw_connection()
        connection: Any = pooled.driver_connection
        pooled.detach()  # ours now; the pool neither closes nor lends it
        if self._engine.dialect.name == "mysql":
            # Each find sees what was committed a moment ago: a changed password works, an old one stops.
            connection.autocommit(True)
        return connection

    def _unavailable(self, error: Exception) -> DirectoryUnavailable:
        told = unavailable(self._engine, error)
        return DirectoryDown(str(told)) if self._is_down(error) else told

    def _is_down(self, error: Exception) -> bool:
        """Tell whether a failure is the database's own, and not about what was asked."""
        cause = error.orig if isinstance(error, DBAPIError) else error
        if not isinstance(cause, self._engine.dialect.loaded_dbapi.Error):
            return True
        number = cause.args[0] if cause.args else None
        return not isinstance(number, int) or number >= _CLIENT_ERRORS or number in _SERVER_IS_BUSY


def _file_at(path: str) -> tuple[int, int] | None:
    """Identify a file; our open descriptor keeps its inode number from being used again."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _askable(name: str) -> bool:
    """Tell whether a name can be in a row; others are not worth a query, or cannot be sent."""
    return 0 < len(name) <= _LONGEST_NAME and name.isprintable()


def _cannot_exist(error: Exception) -> bool:
    """Tell whether the server says that the name cannot be written in the tables' character set.

    An original database in latin1 says so of ``łuser``.  No row can have such a name, which is an answer.
    """
    return bool(error.args) and error.args[0] == _ILLEGAL_MIX_OF_COLLATIONS


def _closed_by_server(error: Exception) -> bool:
    # A timeout has the same number; asking again would take us past the caller's deadline.
    number = error.args[0] if error.args else None
    return number in _GONE and not isinstance(error.__context__, TimeoutError)
