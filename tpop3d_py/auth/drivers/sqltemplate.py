"""SQL queries that operators write, with ``$(…)`` for what is known of a login.

The ancestor put escaped text into the query.  Here no text from outside ever becomes SQL: a variable is a
bound parameter, and so is a whole quoted string that contains variables, ``'$(local_part)@$(domain)'``,
which is how the ancestor's queries are written.  ``$(user[0])`` is one character, as in mailbox patterns.

Queries are read once, at start.

When things fail: `ValueError` with a sentence for the operator, for a query that cannot be read.  A variable
that has no value, or no such character, in a login leaves the query unasked: it knows nobody of that name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from tpop3d_py.contracts import MaildropError
from tpop3d_py.maildrop.patterns import Place, read_parts
from tpop3d_py.settings import Kind

VARIABLES = ("user", "local_part", "domain", "serverhost", "clienthost")
_NONE = "none"


class Dialect(NamedTuple):
    """How a kind of database writes strings and parameters.

    Args:
        marker: stands for a parameter.
        escapes: whether ``"`` quotes strings too, and ``\\`` makes the next character stand for itself.
    """

    marker: str
    escapes: bool


MYSQL, POSTGRES, SQLITE = Dialect("%s", True), Dialect("%s", False), Dialect("?", False)

_STRING = {
    True: r"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.|\"\")*\"",
    False: r"'(?:[^']|'')*'",
}
_NAME = {True: r"`[^`]*`", False: r"\"(?:[^\"]|\"\")*\""}
_REST = r"(?P<comment>/\*.*?\*/|--[^\n]*)|(?P<bare>\$\([^()]*\))|(?P<other>.)"
_TOKENS = {
    escapes: re.compile(rf"(?P<string>{_STRING[escapes]})|(?P<name>{_NAME[escapes]})|{_REST}", re.DOTALL)
    for escapes in (True, False)
}
#: MySQL's escapes in strings; any other character stands for itself (but LIKE needs its own as they are).
_ESCAPES = {"0": "\0", "b": "\b", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a", "%": "\\%", "_": "\\_"}

Parts = tuple[str | Place, ...]


@dataclass(frozen=True, slots=True)
class Query:
    """A query as it was read.

    Args:
        text: as written.
        sql: as the client library wants it; empty for the word ``none``: there is nothing to ask.
        parameters: the parts of each parameter, in their order.
    """

    text: str
    sql: str
    parameters: tuple[Parts, ...]

    def bind(self, values: Mapping[str, str]) -> tuple[str, ...] | None:
        """Return the parameters for one login; None if it lacks something that the query needs."""
        try:
            return tuple("".join(_text(part, values) for part in parts) for parts in self.parameters)
        except (KeyError, MaildropError):
            return None

    def __str__(self) -> str:
        return self.text


def _text(part: str | Place, values: Mapping[str, str]) -> str:
    return part if isinstance(part, str) else part.pick(values[part.name])


def read_query(text: str, dialect: Dialect) -> Query:
    """Read a query, or the word ``none``.

    Raises:
        ValueError: it cannot be understood.
    """
    if text == _NONE:
        return Query(text, "", ())
    sql: list[str] = []
    parameters: list[Parts] = []
    for token in _TOKENS[dialect.escapes].finditer(text):
        _check(token)
        if "$(" not in token[0]:
            # The client libraries that write parameters as %s want every other % twice.
            sql.append(token[0].replace("%", "%%") if dialect.marker == "%s" else token[0])
        else:
            parameters.append(_parameter(token, dialect))
            sql.append(dialect.marker)
    return Query(text, "".join(sql), tuple(parameters))


def _check(token: re.Match[str]) -> None:
    if token.lastgroup == "other" and token[0] in "'\"`":
        raise ValueError(f"a {token[0]} is never closed")
    if token.lastgroup == "other" and token.string.startswith("$(", token.start()):
        raise ValueError("unfinished $(")


def _parameter(token: re.Match[str], dialect: Dialect) -> Parts:
    """Make the parts of a parameter out of a variable, or of a string that contains some."""
    whole = token[0]
    if token.lastgroup == "bare":
        return tuple(read_parts(whole, whole, VARIABLES))
    if token.lastgroup != "string":
        raise ValueError(f"a variable cannot stand in {whole}: that is no string")
    before = token.string[: token.start()][-1:]
    if before.isalnum() or before == "_":
        raise ValueError(f"{whole}: no word may stand directly before a string with variables")
    return tuple(read_parts(whole, _unquoted(whole, dialect), VARIABLES))


def _unquoted(literal: str, dialect: Dialect) -> str:
    quote, inner = literal[0], literal[1:-1]
    if not dialect.escapes:
        return inner.replace(quote * 2, quote)
    return re.sub(
        rf"{quote}{quote}|\\(.)",
        lambda found: quote if found[1] is None else _ESCAPES.get(found[1], found[1]),
        inner,
        flags=re.DOTALL,
    )


def query_kind(dialect: Dialect) -> Kind[Query]:
    """Make the kind of a directive that is such a query."""
    return Kind("SQL with $(variables), or none", lambda text: read_query(text, dialect))
