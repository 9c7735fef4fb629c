"""Unix accounts that own mail: names from a directory or a file, turned into ids.

Looking an account up reads files or asks a service, for every login; the answer
is kept for a minute.

When things fail: `KeyError` with a sentence about an account or a group that
does not exist.
"""

from __future__ import annotations

import grp
import pwd
import time
from dataclasses import dataclass, replace

_KEPT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Account:
    """A Unix account."""

    uid: int
    gid: int
    home: str


class Accounts:
    """A short memory of Unix accounts."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, Account]] = {}

    def find(self, name: str) -> Account:
        """Return the account of a name, or of a number in decimal; both must be in passwd.

        Raises:
            KeyError: there is no such account.
        """
        now = time.monotonic()
        kept = self._known.get(name)
        if kept is not None and kept[0] > now:
            return kept[1]
        try:
            entry = pwd.getpwuid(int(name)) if name.isascii() and name.isdigit() else pwd.getpwnam(name)
        except (KeyError, ValueError):
            raise KeyError(f"there is no Unix account {name!r} on this machine") from None
        account = Account(entry.pw_uid, entry.pw_gid, entry.pw_dir)
        self._known[name] = now + _KEPT_SECONDS, account
        return account


@dataclass(frozen=True, slots=True)
class Owner:
    """How the ids of a mailbox are found.

    Args:
        accounts: the machine's Unix accounts.
        fixed: take these ids whatever the driver says: the server is not root and can have no others.
        group: group id to use instead of the account's own; None for the account's own.
    """

    accounts: Accounts
    fixed: Account | None = None
    group: int | None = None

    def of(self, unix_user: str) -> Account:
        """Return the ids for a mailbox that belongs to a Unix user.

        Raises:
            KeyError: there is no such Unix account.
        """
        account = self.fixed or self.accounts.find(unix_user)
        return account if self.group is None else replace(account, gid=self.group)


def group_id(name: str) -> int:
    """Return the id of a group given by name or number.

    Raises:
        KeyError: there is no such group.
    """
    try:
        entry = grp.getgrgid(int(name)) if name.isascii() and name.isdigit() else grp.getgrnam(name)
    except (KeyError, ValueError):
        raise KeyError(f"there is no Unix group {name!r} on this machine") from None
    return entry.gr_gid
