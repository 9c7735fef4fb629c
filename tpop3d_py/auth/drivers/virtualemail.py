"""What the SQL drivers have in common: a row of a database is an account.

When things fail: a directory that cannot be asked is UNAVAILABLE; so is a row
that contradicts itself or names an account that does not exist, because the
password may well be right.  A stored password that would take too long to check is FORBIDDEN.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from tpop3d_py.auth import passwords, scram
from tpop3d_py.auth.accounts import Account, Owner
from tpop3d_py.auth.exchange import Exchanges
from tpop3d_py.auth.names import Attempt, account_name, sent_name
from tpop3d_py.auth.rehash import Rehash
from tpop3d_py.contracts import Credentials, Decision, Identity, Mechanism, Verdict
from tpop3d_py.directory.errors import DirectoryError

_NOT_MINE = Decision(Verdict.NOT_MINE)
_MATCHES = Decision(Verdict.GRANTED)
_REFUSED = Decision(Verdict.REFUSED, detail="wrong password")


class Row(Protocol):
    """What a login needs to know; a NULL column is an empty text."""

    @property
    def mailbox(self) -> str:
        """Where the mail lies; empty if the row does not say."""

    @property
    def mailbox_type(self) -> str:
        """In which format; empty if the row does not say."""

    @property
    def password_hash(self) -> str:
        """The stored form; empty if no password was ever set: nobody may log in."""

    @property
    def unix_user(self) -> str:
        """Name or number of the account that owns the mail."""

    @property
    def folds(self) -> bool:
        """Whether capitals in its name mean nothing; else mailbox patterns get the name as it was sent."""


class Rows(Protocol):
    """Where the rows come from."""

    def of(self, attempt: Attempt, credentials: Credentials) -> Row | None:
        """Return the row of one reading of a login; None if there is none."""


class VirtualEmail:
    """A driver over `Rows`.

    Args:
        name: as in ``auth-NAME-enable``.
        rows: where the rows come from.
        owner: how a mailbox's ids are found.
        exchanges: for SCRAM; the chain's.
        rehash: replaces stored passwords; None where they cannot be.
    """

    def __init__(
        self, name: str, rows: Rows, owner: Owner, exchanges: Exchanges, rehash: Rehash | None = None
    ) -> None:
        self.name = name
        self._rows = rows
        self._owner = owner
        self._exchanges = exchanges
        self._rehash = rehash

    def check(self, attempt: Attempt, credentials: Credentials) -> Decision:
        """Answer one reading of a login."""
        try:
            return self._check(attempt, credentials)
        except passwords.TooCostly as error:
            return Decision(Verdict.FORBIDDEN, detail=f"auth-{self.name}: {error}")
        except (DirectoryError, passwords.UnknownScheme, scram.BadForm) as error:
            return Decision(Verdict.UNAVAILABLE, detail=f"auth-{self.name}: {error}")
        except KeyError as error:
            return Decision(Verdict.UNAVAILABLE, detail=f"auth-{self.name}: {error.args[0]}")

    def _check(self, attempt: Attempt, credentials: Credentials) -> Decision:
        row = self._rows.of(attempt, credentials)
        if row is None:
            return _NOT_MINE
        answer = self._compare(attempt, row.password_hash, credentials)
        if answer.verdict is not Verdict.GRANTED:
            return answer
        account = self._owner.of(row.unix_user)
        if self._rehash is not None and credentials.mechanism is Mechanism.PASSWORD:
            stored, secret = row.password_hash, credentials.secret
            self._rehash.consider(attempt.local_part or "", attempt.domain or "", stored, secret)
        return replace(answer, identity=self._identity(attempt, row, account))

    def _compare(self, attempt: Attempt, stored: str, credentials: Credentials) -> Decision:
        """Check what the client sent; the answer to a right secret still lacks the identity."""
        if credentials.mechanism not in (Mechanism.SCRAM, Mechanism.SCRAM_PLUS):
            return _MATCHES if _matches(stored, credentials) else _REFUSED
        message = self._exchanges.answer(credentials, stored, account_name(attempt))
        if message is None:
            return _REFUSED
        first = scram.is_first_step(credentials)
        return Decision(Verdict.CONTINUE if first else Verdict.GRANTED, challenge=message)

    def _identity(self, attempt: Attempt, row: Row, account: Account) -> Identity:
        fold = str.lower if row.folds else str
        return Identity(
            user=fold(sent_name(attempt)),
            driver=self.name,
            uid=account.uid,
            gid=account.gid,
            mailbox=row.mailbox,
            mailbox_type=row.mailbox_type,
            local_part=fold(attempt.local_part or ""),
            domain=fold(attempt.domain or ""),
            home=account.home,
        )


def _matches(stored: str, credentials: Credentials) -> bool:
    if credentials.mechanism is Mechanism.BEARER:
        return True  # the chain has checked the token
    if not stored:  # NULL: nobody ever set a password
        passwords.burn_time(credentials.secret)
        return False
    if credentials.mechanism is Mechanism.APOP:
        return passwords.verify_apop(stored, credentials.timestamp, credentials.secret)
    return passwords.verify(stored, credentials.secret)
