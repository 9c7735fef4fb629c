"""The hot query: where is this user's mail, and what is the password's hash?

It runs once for every login, so it has a connection of its own (`session`) and SQL text that was
rendered once.  One object serves one thread of one process; make it after the fork.

The query works on an original Vmail-SQL database too.  Its collation may take
``luser ``, ``LUSER`` or ``lúser`` for ``luser``; what was found is therefore
compared again, octet for octet, except that capitals of ASCII in a *row* still
match, as they always did there.

When things fail: see `session`.  No row is None; two are `DirectoryInconsistent`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.sql.elements import ClauseElement

from tpop3d_py.directory import statements
from tpop3d_py.directory.errors import DirectoryInconsistent
from tpop3d_py.directory.session import Parameters, Session
from tpop3d_py.log import printable

_LONGEST_NAME = 255
_CAPITALS = {ord(c): ord(c) + 32 for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


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

    @property
    def mailbox(self) -> str:
        """Where the mail lies; empty if the row does not say."""
        return f"{self.path}/{self.mbox_name}" if self.path and self.mbox_name else ""

    @property
    def mailbox_type(self) -> str:
        """Empty: the final slash tells it."""
        return ""

    @property
    def folds(self) -> bool:
        """True: capitals in names mean nothing in these tables."""
        return True


class LoginLookup:
    """Finds boxes for logins over one connection, which it opens when first asked.

    Args:
        engines: one for each server, of one dialect, in order of preference.
        tell: given a line for the operator whenever another server is asked than before.
    """

    def __init__(self, *engines: Engine, tell: Callable[[str], None] = lambda _: None) -> None:
        self.session = Session(*engines, tell=tell)
        self._login = _Rendered(statements.login(), self.session.dialect)
        self._replace = _Rendered(
            statements.replace_popbox_password(self.session.dialect.name), self.session.dialect
        )

    def find(self, local_part: str, domain: str) -> LoginRow | None:
        """Find a box; capitals in either name are folded (ASCII only).

        Raises:
            DirectoryDown: the database is away.
            DirectoryUnavailable: the database cannot answer this query.
            DirectoryInconsistent: there is more than one such box.
        """
        local_part, domain = local_part.translate(_CAPITALS), domain.translate(_CAPITALS)
        if not (askable(local_part) and askable(domain)):
            return None
        login = self._login
        found = self.session.fetch(login.sql, login.bind({"local_part": local_part, "domain_name": domain}))
        rows = [
            LoginRow(*row[2:])
            for row in (tuple(map(as_text, each)) for each in found)
            if row[0].translate(_CAPITALS) == local_part and row[1].translate(_CAPITALS) == domain
        ]
        if len(rows) > 1:
            name = printable(f"{local_part}@{domain}")
            raise DirectoryInconsistent(f"directory has {len(rows)} boxes for {name}")
        return rows[0] if rows else None

    def replace_password(self, local_part: str, domain: str, old: str, new: str) -> None:
        """Store another form of a box's password, unless somebody has changed it meanwhile.

        Args:
            local_part: the box's.
            domain: the box's.
            old: the stored form as `find` returned it; a box that has another one now is left alone.
            new: the stored form to be there from now on.

        Raises:
            DirectoryUnavailable: the database failed, or may not be written to.
        """
        names = {"local_part": local_part.translate(_CAPITALS), "domain_name": domain.translate(_CAPITALS)}
        self.session.fetch(self._replace.sql, self._replace.bind({**names, "old": old, "new": new}))

    def close(self) -> None:
        """Close the connection; a later `find` opens another."""
        self.session.close()


class _Rendered:
    """A statement as text, for one kind of database."""

    def __init__(self, statement: ClauseElement, dialect: Any) -> None:
        compiled: Any = statement.compile(dialect=dialect)
        self.sql = str(compiled)
        # SQLite takes parameters by position, in an order only the compiler knows; the others by name.
        self._order = compiled.positiontup

    def bind(self, values: dict[str, str]) -> Parameters:
        return values if self._order is None else tuple(values[name] for name in self._order)


def as_text(value: Any) -> str:
    """Return a column as text, whatever type it was given; NULL as an empty one.

    Octets that are no UTF-8 become surrogates, which no password that is sent is equal to.
    """
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)


def askable(name: str) -> bool:
    """Tell whether a name can be in a row; others are not worth a query, or cannot be sent."""
    return 0 < len(name) <= _LONGEST_NAME and name.isprintable()
