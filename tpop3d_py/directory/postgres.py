"""PostgreSQL, by psycopg 3: an optional part, loaded only where it is asked for.

psycopg waits two seconds for a connection at least, and for an answer as long as it takes; here every wait
has a short end, as PyMySQL's have, so that a server that hangs costs no more than one login at a time.  No
statement is prepared on the server, so that PgBouncer may stand between.

When things fail: `ImportError` if the library is not installed; else what the library raises, which
`faults` reads.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import errors, generators, waiting
from psycopg.conninfo import make_conninfo
from sqlalchemy import URL, Engine, create_engine
from sqlalchemy.pool import NullPool

from tpop3d_py.directory.dialects import CONNECT_SECONDS
from tpop3d_py.directory.faults import TIMED_OUT

#: Seconds between two looks at the clock.
_TICK = 0.1


class _Connection(psycopg.Connection[Any]):
    """A connection whose waits have an end."""

    answer_seconds = 0.0

    def wait(self, gen: Any, interval: float = _TICK, timeout: float | None = None) -> Any:
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
    conninfo = make_conninfo(
        host=url.host,
        port=url.port,
        dbname=url.database,
        user=url.username,
        password=password,
        gssencmode="disable",
        application_name="pypop3d",
        **options,
    )

    def connect() -> _Connection:
        pgconn = waiting.wait_conn(generators.connect(conninfo), interval=_TICK, timeout=CONNECT_SECONDS)
        connection = _Connection(pgconn)
        connection.prepare_threshold = None
        connection.answer_seconds = answer_seconds
        return connection

    return create_engine(url, creator=connect, poolclass=NullPool)
