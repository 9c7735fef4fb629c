"""PostgreSQL, by psycopg 3: an optional part, loaded only where it is asked for.

psycopg waits for an answer as long as it takes; here each wait has an end, as PyMySQL's has, because a server
that hangs must not cost more than one login at a time.  No statement is prepared on the server, so that
PgBouncer may stand between.

When things fail: `DirectoryUnavailable` if the library is not installed; else what the library raises,
which `faults` reads.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import errors
from psycopg.generators import execute as _execute  # noqa: F401 - loaded before root is given up
from sqlalchemy import URL, Engine, create_engine
from sqlalchemy.pool import NullPool

from tpop3d_py.directory.faults import TIMED_OUT

#: Seconds; the least that psycopg accepts.
_CONNECT_SECONDS = 2


class _Connection(psycopg.Connection[Any]):
    """A connection whose waits have an end."""

    answer_seconds = 1.5

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Drive an operation to its end; see psycopg."""
        try:
            return super().wait(gen, interval, timeout or self.answer_seconds)
        except errors._WaitTimeout:
            self.pgconn.finish()
            raise psycopg.OperationalError(f"the answer {TIMED_OUT}") from None


def postgres_engine(url: URL, password: str | None, options: dict[str, str], answer_seconds: float) -> Engine:
    """Make an engine; nothing is connected yet.

    Args:
        url: ``postgresql+psycopg``; a host that begins with a slash is the folder of a socket.
        password: or None.
        options: more parameters of libpq, such as ``sslmode``.
        answer_seconds: how long one statement may take.
    """

    def connect() -> _Connection:
        connection = _Connection.connect(
            host=url.host,
            port=url.port,
            dbname=url.database,
            user=url.username,
            password=password,
            connect_timeout=_CONNECT_SECONDS,
            gssencmode="disable",
            application_name="pypop3d",
            prepare_threshold=None,
            **options,  # type: ignore[arg-type]
        )
        connection.answer_seconds = answer_seconds
        return connection

    return create_engine(url, creator=connect, poolclass=NullPool)
