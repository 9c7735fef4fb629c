"""The chain of authentication drivers: who is asked, in which order, and what counts.

Every reading of the login name is offered to every driver, in the configured
order, until one grants it.  A refusal does not stop the search (another driver
may know the same name), but an unavailable driver does, and one that forbids: the true answer is then
unknown, and "wrong password" would be a lie.

A bearer token is checked first, by whoever the operator has named for that; the drivers then only
say where that user's mail lies.  SCRAM takes two decisions: the first one is always a
message for the client, also where nobody of that name exists.

When things fail: a driver that raises is logged and counts as unavailable for
this one login.  The chain itself never raises.
"""

from __future__ import annotations

from collections.abc import Sequence

from tpop3d_py.auth import passwords, scram
from tpop3d_py.auth.exchange import Exchanges
from tpop3d_py.auth.names import Attempt, NameSettings, account_name, attempts
from tpop3d_py.auth.plugin import Driver
from tpop3d_py.contracts import Credentials, Decision, Mechanism, TokenCheck, Verdict
from tpop3d_py.log import Log, quoted

_SCRAM = (Mechanism.SCRAM, Mechanism.SCRAM_PLUS)
#: Nobody else is asked after one of these.
_FINAL = (Verdict.UNAVAILABLE, Verdict.FORBIDDEN, Verdict.CONTINUE)


class Chain:
    """All drivers together.

    Args:
        drivers: in the order in which they are asked.
        names: how login names are read.
        log: for drivers that raise.
        exchanges: for SCRAM with names that nobody has.
        tokens: checks bearer tokens; None if nobody does.
        empty_passwords: whether a password of no octets may be right.
    """

    def __init__(
        self,
        drivers: Sequence[Driver],
        names: NameSettings,
        log: Log,
        *,
        exchanges: Exchanges | None = None,
        tokens: TokenCheck | None = None,
        empty_passwords: bool = False,
    ) -> None:
        self._drivers = drivers
        self._names = names
        self._log = log
        self._exchanges = exchanges or Exchanges(scram.Salts(b""))
        self._tokens = tokens
        self._empty_passwords = empty_passwords

    def decide(self, credentials: Credentials) -> Decision:
        """Find out whether a login is granted, refused or cannot be decided just now."""
        if not _is_clean(credentials.user):
            return self._nobody(credentials, credentials.user, "the name is not text")
        if credentials.mechanism is Mechanism.PASSWORD and not (credentials.secret or self._empty_passwords):
            return self._nobody(credentials, credentials.user, "an empty password")
        if credentials.mechanism is Mechanism.BEARER:
            verdict = self._check_token(credentials)
            if verdict is not Verdict.GRANTED:
                return Decision(verdict, detail="the token was not accepted")
        return self._ask_all(credentials)

    def _ask_all(self, credentials: Credentials) -> Decision:
        compared, name = False, credentials.user
        for attempt in attempts(credentials.user, credentials.peer.domain, self._names):
            if attempt.local_part is not None:
                name = account_name(attempt)
            for driver in self._drivers:
                decision = self._ask(driver, attempt, credentials)
                if decision.verdict is Verdict.GRANTED:
                    return _without_root(decision)
                if decision.verdict in _FINAL:
                    return decision
                compared |= decision.verdict is Verdict.REFUSED
        if compared and not _is_first_step(credentials):
            return Decision(Verdict.REFUSED, detail="wrong password")
        return self._nobody(credentials, name, "unknown user")

    def _nobody(self, credentials: Credentials, name: str, detail: str) -> Decision:
        """Refuse without having compared anything, but neither sooner nor with other words."""
        if _is_first_step(credentials):
            return Decision(
                Verdict.CONTINUE, challenge=self._exchanges.for_nobody(credentials, name), detail=detail
            )
        if credentials.mechanism in _SCRAM:
            scram.spend(credentials)
        else:
            passwords.burn_time(credentials.secret)
        return Decision(Verdict.REFUSED, detail=detail)

    def _check_token(self, credentials: Credentials) -> Verdict:
        if self._tokens is None:
            return Verdict.REFUSED
        try:
            return self._tokens.check(credentials.user, credentials.secret)
        except Exception as error:
            self._log.error(f"auth-token-check: {type(error).__name__}: {error}")
            return Verdict.UNAVAILABLE

    def _ask(self, driver: Driver, attempt: Attempt, credentials: Credentials) -> Decision:
        try:
            return driver.check(attempt, credentials)
        except Exception as error:
            # A driver is foreign code as far as this login is concerned; it may cost this answer only.
            text = f"auth-{driver.name}: {type(error).__name__}: {error}"
            self._log.error(f"{text}; login of `{quoted(credentials.user)}' answered as temporary failure")
            return Decision(Verdict.UNAVAILABLE, detail=text)


def _is_first_step(credentials: Credentials) -> bool:
    return credentials.mechanism in _SCRAM and scram.is_first_step(credentials)


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
