"""The chain of authentication drivers: who is asked, in which order, and what counts.

Every reading of the login name is offered to every driver, in the configured
order, until one grants it.  A refusal does not stop the search (another driver
may know the same name), but an unavailable driver does: the true answer is then
unknown, and "wrong password" would be a lie.

When things fail: a driver that raises is logged and counts as unavailable for
this one login.  The chain itself never raises.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tpop3d_py.auth import passwords
from tpop3d_py.auth.names import Attempt, NameSettings, attempts
from tpop3d_py.contracts import Credentials, Decision, Verdict
from tpop3d_py.log import Log, printable


class Driver(Protocol):
    """One source of accounts."""

    @property
    def name(self) -> str:
        """The driver's name, as in ``auth-NAME-enable``."""

    def check(self, attempt: Attempt, credentials: Credentials) -> Decision:
        """Answer one reading of a login.

        NOT_MINE says that no password was compared at all: nobody of that name is known here.
        """


class Chain:
    """All drivers together."""

    def __init__(self, drivers: Sequence[Driver], names: NameSettings, log: Log) -> None:
        self._drivers = drivers
        self._names = names
        self._log = log

    def decide(self, credentials: Credentials) -> Decision:
        """Find out whether a login is granted, refused or cannot be decided just now."""
        if not _is_clean(credentials.user):
            passwords.burn_time(credentials.secret)
            return Decision(Verdict.REFUSED, detail="the name is not text")
        compared = False
        for attempt in attempts(credentials.user, credentials.peer.domain, self._names):
            for driver in self._drivers:
                decision = self._ask(driver, attempt, credentials)
                if decision.verdict is Verdict.GRANTED:
                    return _without_root(decision)
                if decision.verdict is Verdict.UNAVAILABLE:
                    return decision
                compared |= decision.verdict is Verdict.REFUSED
        if not compared:
            passwords.burn_time(credentials.secret)
        return Decision(Verdict.REFUSED, detail="wrong password" if compared else "unknown user")

    def _ask(self, driver: Driver, attempt: Attempt, credentials: Credentials) -> Decision:
        try:
            return driver.check(attempt, credentials)
        except Exception as error:
            # A driver is foreign code as far as this login is concerned; it may cost this answer only.
            text = f"auth-{driver.name}: {type(error).__name__}: {error}"
            self._log.error(f"{text}; login of `{printable(credentials.user)}' answered as temporary failure")
            return Decision(Verdict.UNAVAILABLE, detail=text)


def _is_clean(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # octets that were not UTF-8
        return False
    return bool(name) and name.isprintable()


def _without_root(decision: Decision) -> Decision:
    if decision.identity is None or decision.identity.uid == 0:
        return Decision(Verdict.REFUSED, detail="mail of uid 0 is never served")
    return decision
