"""One database connection that lasts, for programs that ask for every login.

It knows one server or several: where the first cannot be had, the next is asked at once, as long as the
caller's deadline allows.  A server that failed is asked last for half a minute; a connection to one that is
not the first is given up after a minute, so that the first is tried again.

One object serves one thread of one process; make it before or after the fork, it connects when first asked.
Each statement is a transaction: what was committed a moment ago is seen, a changed password works and an old
one stops.

When things fail: an idle connection that the server has closed is opened again once, and so is a SQLite
file that was replaced: a restored backup counts from its rename on, and a file that was taken away lets
nobody in.  Everything else raises `DirectoryUnavailable`, and the next call starts afresh;
`DirectoryDown` if it is not this one statement that the database cannot answer.  What a server that talks
nonsense makes the library raise counts as that too.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from typing import Any, ClassVar

from sqlalchemy import Engine

from tpop3d_py.directory import faults
from tpop3d_py.directory.engine import location, sqlite_file, unavailable
from tpop3d_py.directory.errors import DirectoryDown, DirectoryUnavailable

#: Seconds for which a server that failed comes last, and for which one that is not the first is kept.
_SHUNNED_SECONDS = 30.0
_SUBSTITUTE_SECONDS = 60.0
#: Seconds after which no further server is asked for the same caller: an authentication process has 4.
_TRY_NEXT_WITHIN = 2.0

Parameters = dict[str, Any] | tuple[Any, ...]


class Session:
    """A connection to the first of some servers that can be had.

    Args:
        engines: one for each server, of one dialect, in order of preference.
        tell: given a line for the operator whenever another server is asked than before.
    """

    #: Told how many seconds each question took and whether it was answered, whichever session of the process
    #: asked it; for metrics.
    watch: ClassVar[Callable[[float, bool], None] | None] = None

    def __init__(self, *engines: Engine, tell: Callable[[str], None] = lambda _: None) -> None:
        self._engines = engines
        self._tell = tell
        self._current = engines[0]
        self._connection: Any = None
        self._cursor: Any = None
        self._path = sqlite_file(engines[0])
        self._file: tuple[int, int] | None = None
        self._shunned: dict[Engine, float] = {}
        self._substitute_until = 0.0
        self._asked_at = 0.0

    @property
    def dialect(self) -> Any:
        """SQLAlchemy's dialect of the servers."""
        return self._engines[0].dialect

    def fetch(self, sql: str, parameters: Parameters) -> Any:
        """Run one statement and return its rows; none if it has no result.

        Args:
            sql: in the database's own words, with its parameters as the client library writes them.
            parameters: bound to it.

        Raises:
            DirectoryDown: the database is away.
            DirectoryUnavailable: the database cannot answer this.
        """
        watch = Session.watch
        if watch is None:
            return self._fetch(sql, parameters)
        began, answered = time.monotonic(), False
        try:
            rows = self._fetch(sql, parameters)
            answered = True
        finally:
            watch(time.monotonic() - began, answered)
        return rows

    def close(self) -> None:
        """Close the connection; a later `fetch` opens another."""
        connection, self._connection, self._cursor = self._connection, None, None
        if connection is not None:
            # The server may be gone, and PyMySQL says "already closed" with the same class.
            with contextlib.suppress(self.dialect.loaded_dbapi.Error):
                connection.close()

    def _fetch(self, sql: str, parameters: Parameters) -> Any:
        idle = self._connection is not None
        self._asked_at = time.monotonic()
        try:
            return self._execute(sql, parameters)
        except Exception as error:  # PyMySQL lets anything out when what it reads is no MySQL
            failed = self._current
            self.close()
            asked = parameters.values() if isinstance(parameters, dict) else parameters
            if faults.cannot_exist(failed, error, asked):
                return ()
            if isinstance(error, DirectoryUnavailable):
                raise
            if not (idle and faults.is_closed(failed, error)) and not self._has_substitute(failed, error):
                raise self._unavailable(failed, error) from error
        return self._ask_again(sql, parameters)

    def _ask_again(self, sql: str, parameters: Parameters) -> Any:
        try:
            return self._execute(sql, parameters)
        except DirectoryUnavailable:
            raise
        except Exception as error:
            self.close()
            raise self._unavailable(self._current, error) from error

    def _has_substitute(self, failed: Engine, error: Exception) -> bool:
        """Tell whether another server may answer what this one, which stopped answering, did not."""
        if len(self._engines) == 1 or not faults.is_down(failed, error):
            return False
        self._shunned[failed] = time.monotonic() + _SHUNNED_SECONDS
        return True

    def _execute(self, sql: str, parameters: Parameters) -> Any:
        if self._path is not None and self._file != (file := _file_at(self._path)):
            self.close()
            self._file = file  # seen before it is opened: one that is replaced just now is noticed next time
        if self._substitute_until and time.monotonic() > self._substitute_until:
            self.close()
        if self._cursor is None:
            self._connection = self._connect()
            # Kept with the connection: making and closing one is a seventh of PyMySQL's time for a query.
            self._cursor = self._connection.cursor()
        self._cursor.execute(sql, parameters)
        return self._cursor.fetchall() if self._cursor.description is not None else ()

    def _connect(self) -> Any:
        """Connect to the best server that can be had.

        Raises:
            DirectoryUnavailable: there is none; it tells of the last one.
        """
        before, now = self._current, time.monotonic()
        for engine in sorted(self._engines, key=lambda engine: self._shunned.get(engine, 0.0) > now):
            self._current = engine
            try:
                connection = _open(engine)
            except Exception as error:
                failure, now = error, time.monotonic()
                self._shunned[engine] = now + _SHUNNED_SECONDS
                if now - self._asked_at > _TRY_NEXT_WITHIN:
                    break
            else:
                self._settle_on(engine, before)
                return connection
        raise self._unavailable(self._current, failure) from failure

    def _settle_on(self, engine: Engine, before: Engine) -> None:
        self._shunned.pop(engine, None)
        is_first = engine is self._engines[0]
        self._substitute_until = 0.0 if is_first else time.monotonic() + _SUBSTITUTE_SECONDS
        if engine is not before:
            self._tell(f"directory {location(engine)}: asked from now on instead of {location(before)}")

    def _unavailable(self, engine: Engine, error: Exception) -> DirectoryUnavailable:
        told = unavailable(engine, error)
        return DirectoryDown(str(told)) if faults.is_down(engine, error) else told


def _open(engine: Engine) -> Any:
    pooled = engine.raw_connection()
    connection: Any = pooled.driver_connection
    pooled.detach()  # ours now; the pool neither closes nor lends it
    if engine.dialect.name == "mysql":
        connection.autocommit(True)
    elif engine.dialect.name == "postgresql":
        connection.autocommit = True
    return connection


def _file_at(path: str) -> tuple[int, int] | None:
    """Identify a file; our open descriptor keeps its inode number from being used again."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
