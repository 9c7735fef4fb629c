"""What the SQL drivers have in common: a box of the virtualemail schema is an account.

Only names with a local part and a domain are theirs; a bare name needs
``append-domain``.

When things fail: a directory that cannot be asked is UNAVAILABLE; so is a row
that contradicts itself or names an account that does not exist, because the
password may well be right.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from tpop3d_py.auth import scram
from tpop3d_py.auth.accounts import Account, Owner
from tpop3d_py.auth.comparison import Comparison
from tpop3d_py.auth.exchange import Exchanges
from tpop3d_py.auth.names import Attempt
from tpop3d_py.contracts import Credentials, Decision, Identity, Verdict
from tpop3d_py.directory.errors import DirectoryError
from tpop3d_py.directory.lookup import LoginRow

_NOT_MINE = Decision(Verdict.NOT_MINE)


class Lookup(Protocol):
    """Where the rows come from."""

    def find(self, local_part: str, domain: str) -> LoginRow | None:
        """Return the row of a box; None if there is none."""


class VirtualEmail:
    """A driver over `Lookup`.

    Args:
        name: as in ``auth-NAME-enable``.
        lookup: where the rows come from.
        owner: how a mailbox's ids are found.
        exchanges: for SCRAM; the chain's.
    """

    def __init__(self, name: str, lookup: Lookup, owner: Owner, exchanges: Exchanges | None = None) -> None:
        self.name = name
        self._lookup = lookup
        self._owner = owner
        self._comparison = Comparison(name, exchanges or Exchanges(scram.Salts(b"")))

    def check(self, attempt: Attempt, credentials: Credentials) -> Decision:
        """Answer one reading of a login."""
        if attempt.local_part is None or attempt.domain is None:
            return _NOT_MINE
        try:
            return self._check(attempt, attempt.local_part, attempt.domain, credentials)
        except DirectoryError as error:
            return Decision(Verdict.UNAVAILABLE, detail=f"auth-{self.name}: {error}")
        except KeyError as error:
            return Decision(Verdict.UNAVAILABLE, detail=f"auth-{self.name}: {error.args[0]}")

    def _check(self, attempt: Attempt, local_part: str, domain: str, credentials: Credentials) -> Decision:
        row = self._lookup.find(local_part, domain)
        if row is None:
            return _NOT_MINE
        answer = self._comparison.decide(attempt, row.password_hash, credentials)
        if answer.verdict is not Verdict.GRANTED:
            return answer
        account = self._owner.of(row.unix_user)
        return replace(answer, identity=self._identity(attempt, row, account))

    def _identity(self, attempt: Attempt, row: LoginRow, account: Account) -> Identity:
        return Identity(
            user=f"{attempt.local_part}@{attempt.domain}".lower(),
            driver=self.name,
            uid=account.uid,
            gid=account.gid,
            mailbox=f"{row.path}/{row.mbox_name}" if row.path and row.mbox_name else "",
            local_part=(attempt.local_part or "").lower(),
            domain=(attempt.domain or "").lower(),
            home=account.home,
        )
