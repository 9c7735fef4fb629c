"""Unix accounts that own mail: names from a directory or a file, turned into ids.

Looking an account or a group up reads files or asks a service, for every login; the answer is kept for a
minute.

When things fail: `KeyError` with a sentence about an account or a group that does not exist.
"""

from __future__ import annotations

import grp
import pwd
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

_KEPT_SECONDS = 60.0
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Account:
    """A Unix account."""

    uid: int
    gid: int
    home: str


class Accounts:
    """A short memory of Unix accounts and groups."""

    def __init__(self) -> None:
        self._accounts = _Memory(_look_up_account)
        self._groups = _Memory(_look_up_group)

    def find(self, name: str) -> Account:
        """Return the account of a name, or of a number in decimal; both must be in passwd.

        Raises:
            KeyError: there is no such account.
        """
        return self._accounts.find(name)

    def group(self, name: str) -> int:
        """Return the id of a group given by name or number; both must be in group.

        Raises:
            KeyError: there is no such group.
        """
        return self._groups.find(name)


@dataclass(frozen=True, slots=True)
class Owner:
    """How the ids of a mailbox are found.

    Args:
        accounts: the machine's Unix accounts.
        fixed: take these ids whatever the driver says: the server is not root and can have no others.
        group: group id to use whatever the driver says; None if the operator has named none.
    """

    accounts: Accounts
    fixed: Account | None = None
    group: int | None = None

    def of(self, unix_user: str, unix_group: str = "") -> Account:
        """Return the ids for a mailbox that belongs to a Unix user.

        Args:
            unix_user: name or number.
            unix_group: name or number of the group to work with; empty for the user's own.

        Raises:
            KeyError: there is no such Unix account or group.
        """
        account = self.fixed or self.accounts.find(unix_user)
        if unix_group and self.fixed is None:
            account = replace(account, gid=self.accounts.group(unix_group))
        return account if self.group is None else replace(account, gid=self.group)


class _Memory(Generic[T]):
    """What was looked up lately; what does not exist is looked up again each time."""

    def __init__(self, look_up: Callable[[str], T]) -> None:
        self._look_up = look_up
        self._known: dict[str, tuple[float, T]] = {}

    def find(self, name: str) -> T:
        now = time.monotonic()
        kept = self._known.get(name)
        if kept is not None and kept[0] > now:
            return kept[1]
        found = self._look_up(name)
        self._known[name] = now + _KEPT_SECONDS, found
        return found


def _look_up_account(name: str) -> Account:
    try:
        entry = pwd.getpwuid(int(name)) if _is_number(name) else pwd.getpwnam(name)
    except (KeyError, ValueError, OverflowError):
        raise KeyError(f"there is no Unix account {name!r} on this machine") from None
    return Account(entry.pw_uid, entry.pw_gid, entry.pw_dir)


def _look_up_group(name: str) -> int:
    try:
        entry = grp.getgrgid(int(name)) if _is_number(name) else grp.getgrnam(name)
    except (KeyError, ValueError, OverflowError):
        raise KeyError(f"there is no Unix group {name!r} on this machine") from None
    return entry.gr_gid


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit()
