"""What a failure of a database means: asking again helps, waiting helps, or neither.

Told by what the client libraries say: MySQL's error numbers, PostgreSQL's SQLSTATE.  An exception that is
none of the library's own comes from a server that talks nonsense.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

#: PyMySQL: "server has gone away" and "lost connection"; said of idle connections the server has closed.
_GONE = (2006, 2013)
_ILLEGAL_MIX_OF_COLLATIONS = 1267
#: From here on, numbers are the client library's: no connection, or one that broke.
_CLIENT_ERRORS = 2000
#: What a server says that takes nobody in just now, or gets nothing done: too many connections, handshake,
#: shutting down, too many errors from this host, network, limits of the account, lock wait, killed.
_SERVER_IS_BUSY = frozenset({1040, 1042, 1043, 1053, 1129, *range(1158, 1162), 1203, 1205, 1226, 1317, 1969})
#: PostgreSQL's classes: connection, resources, operator intervention (shutting down, canceled), system error.
_DOWN_CLASSES = ("08", "53", "57", "58")
_UNTRANSLATABLE, _SHUT_DOWN = "22P05", "57P01"
_LOGIN_REFUSED = ("authentication failed", "no pg_hba.conf entry", "does not exist")
#: In the text of an exception that our own clock has raised.
TIMED_OUT = "timed out"


def is_down(engine: Engine, error: Exception) -> bool:
    """Tell whether a failure is the database's own, and not about what was asked."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if not isinstance(cause, engine.dialect.loaded_dbapi.Error):
        return True
    if engine.dialect.name == "postgresql":
        state = getattr(cause, "sqlstate", None)
        if state is None:  # no answer came; but what the server says of a login is not given its number
            return not any(words in str(cause) for words in _LOGIN_REFUSED)
        return state[:2] in _DOWN_CLASSES
    number = cause.args[0] if cause.args else None
    return not isinstance(number, int) or number >= _CLIENT_ERRORS or number in _SERVER_IS_BUSY


def is_closed(engine: Engine, error: Exception) -> bool:
    """Tell whether the server had closed an idle connection, so that a new one may do.

    A timeout looks alike; asking again would take us past the caller's deadline.
    """
    if isinstance(error.__context__, TimeoutError):
        return False
    if engine.dialect.name == "postgresql":
        return getattr(error, "sqlstate", "") in (None, _SHUT_DOWN) and TIMED_OUT not in str(error)
    return bool(error.args) and error.args[0] in _GONE


def cannot_exist(engine: Engine, error: Exception, asked: Iterable[object]) -> bool:
    """Tell whether the server says that a text cannot be written in the tables' character set.

    An original database in latin1 says so of ``łuser``.  No row can have such a name, which is an answer.
    Said of ASCII it is a fault: then it is two columns that cannot be compared, and nobody would be found.

    Args:
        engine: of the server.
        error: what the client library has raised.
        asked: the parameters of the statement.
    """
    if all(str(value).isascii() for value in asked):
        return False
    if engine.dialect.name == "postgresql":
        return getattr(error, "sqlstate", None) == _UNTRANSLATABLE
    return bool(error.args) and error.args[0] == _ILLEGAL_MIX_OF_COLLATIONS
