"""Comparing what a client sent with a stored password, whichever driver found it.

When things fail: a stored form that cannot be checked is UNAVAILABLE, because the password may well be
right, and one that would take too long FORBIDDEN; both say so for the log.
"""

from __future__ import annotations

from dataclasses import dataclass

from tpop3d_py.auth import passwords, scram
from tpop3d_py.auth.exchange import Exchanges
from tpop3d_py.auth.names import Attempt, account_name
from tpop3d_py.contracts import Credentials, Decision, Mechanism, Verdict

_MATCHES = Decision(Verdict.GRANTED)
_REFUSED = Decision(Verdict.REFUSED, detail="wrong password")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Compares for one driver.

    Args:
        name: of the driver.
        exchanges: for SCRAM; the chain's.
        bare: how stored forms without a prefix are read: `passwords.BARE_MD5` or `passwords.BARE_CRYPT`.
    """

    name: str
    exchanges: Exchanges
    bare: str = passwords.BARE_MD5

    def decide(self, attempt: Attempt, stored: str, credentials: Credentials) -> Decision:
        """Check what the client sent; a GRANTED still lacks the identity."""
        try:
            return self._decide(attempt, stored, credentials)
        except passwords.TooCostly as error:
            return Decision(Verdict.FORBIDDEN, detail=f"auth-{self.name}: {error}")
        except (passwords.UnknownScheme, scram.BadForm) as error:
            return Decision(Verdict.UNAVAILABLE, detail=f"auth-{self.name}: {error}")

    def _decide(self, attempt: Attempt, stored: str, credentials: Credentials) -> Decision:
        if credentials.mechanism not in (Mechanism.SCRAM, Mechanism.SCRAM_PLUS):
            return _MATCHES if self._matches(stored, credentials) else _REFUSED
        message = self.exchanges.answer(credentials, stored, account_name(attempt))
        if message is None:
            return _REFUSED
        first = scram.is_first_step(credentials)
        return Decision(Verdict.CONTINUE if first else Verdict.GRANTED, challenge=message)

    def _matches(self, stored: str, credentials: Credentials) -> bool:
        if credentials.mechanism is Mechanism.BEARER:
            return True  # the chain has checked the token
        if not stored:  # nobody ever set a password
            passwords.burn_time(credentials.secret)
            return False
        if credentials.mechanism is Mechanism.APOP:
            return passwords.verify_apop(stored, credentials.timestamp, credentials.secret)
        return passwords.verify(stored, credentials.secret, self.bare)
