"""What ``auth-flatfile`` and ``auth-gdbm`` have in common: a file knows passwords, one user owns the mail.

Only names with a local part and a domain are theirs; a bare name needs ``append-domain``.  They are
compared as they were sent.  Stored passwords without a prefix are crypt(3)'s.

When things fail: a file that cannot be read is UNAVAILABLE: the name may well be in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Protocol

from tpop3d_py.auth import passwords
from tpop3d_py.auth.accounts import Account
from tpop3d_py.auth.comparison import Comparison
from tpop3d_py.auth.names import Attempt
from tpop3d_py.auth.plugin import Tools
from tpop3d_py.contracts import Credentials, Decision, Identity, Verdict
from tpop3d_py.settings import TEXT, setting

_NOT_MINE = Decision(Verdict.NOT_MINE)


class Unreadable(Exception):
    """The file cannot be read; the text is for the log."""


class Lookup(Protocol):
    """A file of passwords."""

    def find(self, local_part: str, domain: str) -> str | None:
        """Return a stored password; None if the file does not know the name.

        Raises:
            Unreadable: it cannot be read.
        """


class HashFile:
    """A driver over `Lookup`.

    Args:
        name: as in ``auth-NAME-enable``.
        lookup: the file.
        owner: of all mail.
        tools: of the chain.
    """

    def __init__(self, name: str, lookup: Lookup, owner: Account, tools: Tools) -> None:
        self.name = name
        self._lookup = lookup
        self._owner = owner
        self._comparison = Comparison(name, tools.exchanges, passwords.BARE_CRYPT)

    def check(self, attempt: Attempt, credentials: Credentials) -> Decision:
        """Answer one reading of a login."""
        if attempt.local_part is None or attempt.domain is None:
            return _NOT_MINE
        try:
            stored = self._lookup.find(attempt.local_part, attempt.domain)
        except Unreadable as error:
            return Decision(Verdict.UNAVAILABLE, detail=f"auth-{self.name}: {error}")
        if stored is None:
            return _NOT_MINE
        answer = self._comparison.decide(attempt, stored, credentials)
        if answer.verdict is not Verdict.GRANTED:
            return answer
        return replace(answer, identity=self._identity(attempt.local_part, attempt.domain))

    def _identity(self, local_part: str, domain: str) -> Identity:
        return Identity(
            user=f"{local_part}@{domain}",
            driver=self.name,
            uid=self._owner.uid,
            gid=self._owner.gid,
            local_part=local_part,
            domain=domain,
            home=self._owner.home,
        )


def mail_user_setting(name: str) -> Any:
    """Declare ``auth-NAME-mail-user``, for a field `mail_user`."""
    return setting(
        f"auth-{name}-mail-user",
        TEXT,
        default=None,
        summary="Unix user that owns all mail of the users in the file.",
        example="vmail",
    )


class Required(Protocol):
    """Settings of such a driver."""

    @property
    def enable(self) -> bool:
        """Whether it is on."""

    @property
    def passwd_file(self) -> object:
        """Where the file is."""

    @property
    def mail_user(self) -> str | None:
        """Who owns the mail."""


def missing(name: str, settings: Required) -> Iterator[tuple[str, str]]:
    """Yield what is missing when the driver is on."""
    given = {"passwd-file": settings.passwd_file, "mail-user": settings.mail_user}
    for directive, value in given.items():
        if settings.enable and not value:
            yield f"auth-{name}-{directive}", f"required when auth-{name}-enable is on"
