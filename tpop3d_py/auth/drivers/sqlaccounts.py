"""Where the SQL drivers get their rows: the tables of Vmail-SQL, or a query of the operator's.

The query for the tables of Vmail-SQL is `LoginLookup`'s.  A query of the operator's answers with the
ancestor's four columns: mailbox path, stored password, Unix user, mailbox type.  NULL as path leaves the
mailbox to the `mailbox` patterns, as password it lets nobody in, as type it leaves the path to tell.

When things fail: `DirectoryInconsistent` for more than one row and for another number of columns; what
`Session` raises.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Engine

from tpop3d_py.auth.accounts import Owner
from tpop3d_py.auth.breaker import Breaker
from tpop3d_py.auth.drivers.sqltemplate import Query
from tpop3d_py.auth.drivers.virtualemail import Row, VirtualEmail
from tpop3d_py.auth.names import Attempt
from tpop3d_py.auth.plugin import Driver, LoggedIn, Tools
from tpop3d_py.auth.rehash import Rehash
from tpop3d_py.contracts import Credentials, Mechanism
from tpop3d_py.directory.errors import DirectoryError, DirectoryInconsistent
from tpop3d_py.directory.lookup import LoginLookup, as_text, askable
from tpop3d_py.log import Log, printable

_COLUMNS = 4


@dataclass(frozen=True, slots=True)
class Queries:
    """The operator's queries; None for one that was not given.

    Args:
        password: for logins.
        apop: for logins by APOP.
        onlogin: a statement to run after logins.
    """

    password: Query | None = None
    apop: Query | None = None
    onlogin: Query | None = None


class _QueriedRow(NamedTuple):
    mailbox: str
    password_hash: str
    unix_user: str
    mailbox_type: str

    @property
    def folds(self) -> bool:
        return False  # to this database `Jan` and `jan` may be two users


class SqlLookup:
    """Finds the rows of logins.

    Args:
        name: the driver's.
        lookup: the tables of Vmail-SQL, and the connection.
        queries: the operator's.
        log: told of a database that goes and comes back.
    """

    def __init__(self, name: str, lookup: LoginLookup, queries: Queries, log: Log) -> None:
        self._name = name
        self._lookup = lookup
        self._queries = queries
        self._breaker = Breaker(self, name, log)

    def of(self, attempt: Attempt, credentials: Credentials) -> Row | None:
        """Return the row of one reading of a login; None if there is none.

        Raises:
            DirectoryError: the database failed or contradicts itself.
        """
        queries = self._queries
        query = queries.apop if credentials.mechanism is Mechanism.APOP else queries.password
        if query is None:
            if attempt.local_part is None or attempt.domain is None:
                return None
            return self._breaker.find(None, attempt.local_part, attempt.domain)
        bound = query.bind(_values(attempt, credentials)) if query.sql else None
        return None if bound is None else self._breaker.find(query, *bound)

    def find(self, query: Query | None, *values: str) -> Row | None:
        """Ask the database.

        Args:
            query: the operator's; None: the tables of Vmail-SQL, and the values are local part and domain.
            values: its parameters.
        """
        if query is None:
            return self._lookup.find(*values)
        rows = self._lookup.session.fetch(query.sql, values)
        if len(rows) > 1:
            raise DirectoryInconsistent(
                f"the query found {len(rows)} rows for {printable(', '.join(values))}"
            )
        return self._row(rows[0]) if rows else None

    def _row(self, row: Sequence[Any]) -> _QueriedRow:
        if len(row) != _COLUMNS:
            raise DirectoryInconsistent(
                f"the query returns {len(row)} columns and not four: path, password, Unix user, mailbox type"
            )
        path, stored, unix_user, kind = map(as_text, row)
        return _QueriedRow(path, stored, unix_user, kind)

    @property
    def is_away(self) -> bool:
        """Whether the database was down when it was last asked."""
        return self._breaker.is_open

    def run(self, query: Query, values: dict[str, str]) -> int:
        """Run a statement that is no login; return how many rows it answered with.

        Raises:
            DirectoryError: the database failed.
        """
        bound = query.bind(values)
        return 0 if bound is None else len(self._lookup.session.fetch(query.sql, bound))


def _values(attempt: Attempt, credentials: Credentials) -> dict[str, str]:
    """Return what can be asked with; what the query does not mention may be missing."""
    peer = credentials.peer
    values = {"user": attempt.user, "serverhost": peer.server_host, "clienthost": peer.client_host}
    if attempt.local_part is not None:
        values["local_part"] = attempt.local_part
    if attempt.domain is not None:
        values["domain"] = attempt.domain
    return {name: value for name, value in values.items() if askable(value)}


class _Notes:
    """A driver with a statement to run after logins."""

    def __init__(self, driver: Driver, onlogin: Query, rows: SqlLookup, log: Log) -> None:
        self.name = driver.name
        self.check = driver.check
        self._onlogin = onlogin
        self._rows = rows
        self._log = log
        self._told = ""

    def logged_in(self, login: LoggedIn) -> None:
        """Run the statement; the first failure of a row is logged."""
        if self._rows.is_away:
            return
        values = {
            "user": login.user,
            "local_part": login.local_part,
            "domain": login.domain,
            "serverhost": login.server_host,
            "clienthost": login.client_host,
        }
        try:
            rows = self._rows.run(self._onlogin, values)
            self._tell(f"answered with {rows} rows, which nobody wants" if rows else "")
        except DirectoryError as error:
            self._tell(f"failed: {error}")

    def _tell(self, what: str) -> None:
        if what and not self._told:
            self._log.warning(f"auth-{self.name}-onlogin-query: {what}")
        self._told = what


def make_driver(name: str, engines: Sequence[Engine], queries: Queries, owner: Owner, tools: Tools) -> Driver:
    """Make an SQL driver.

    Args:
        name: as in ``auth-NAME-enable``.
        engines: one for each server.
        queries: the operator's.
        owner: finds the ids of mailboxes.
        tools: what all drivers are made with.
    """
    lookup = LoginLookup(*engines, tell=lambda text: tools.log.warning(f"auth-{name}: {text}"))
    rows = SqlLookup(name, lookup, queries, tools.log)
    policy, rehash = tools.directory, None
    which = policy.password_rehash
    if which != "no" and queries.password is not None:
        text = f"auth-{name}-pass-query does not say where passwords are stored; they stay as they are"
        tools.log.warning(f"password-rehash: {text}")
    elif which != "no":
        rehash = Rehash(which, policy.password_scheme, lookup, tools.chores, tools.log)
    driver = VirtualEmail(name, rows, owner, tools.exchanges, rehash)
    if queries.onlogin is not None and queries.onlogin.sql:
        return _Notes(driver, queries.onlogin, rows, tools.log)
    return driver
