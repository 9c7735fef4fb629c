"""From the decision about a login to an open maildrop, or to the reason why not.

In plain mode the mailbox is opened here, with the ids that the whole process
has; a mailbox of another Unix user needs the separated mode and is refused with
a line that says so.

When things fail: nothing is raised.  Whatever the mailbox layer raises becomes a
`Refusal`; an exception it did not announce is logged and becomes UNAVAILABLE.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable

from tpop3d_py.contracts import (
    Challenge,
    Decision,
    Identity,
    Maildrop,
    MaildropError,
    Reason,
    Refusal,
    Verdict,
)
from tpop3d_py.log import Log, one_line, quoted

OpenMaildrop = Callable[[Identity], Maildrop]

_VERDICTS = {
    Verdict.REFUSED: Reason.CREDENTIALS,
    Verdict.NOT_MINE: Reason.CREDENTIALS,
    Verdict.UNAVAILABLE: Reason.UNAVAILABLE,
    Verdict.FORBIDDEN: Reason.FORBIDDEN,
}


class Admission:
    """Opens the maildrops of granted logins."""

    def __init__(self, open_maildrop: OpenMaildrop, log: Log) -> None:
        self._open = open_maildrop
        self._log = log

    def admit(self, decision: Decision) -> Maildrop | Refusal | Challenge:
        """Return the open maildrop of a granted login, or why there is none yet, or none at all."""
        if decision.verdict is Verdict.CONTINUE:
            return Challenge(decision.challenge)
        identity = decision.identity
        if identity is None:
            return Refusal(_VERDICTS[decision.verdict], decision.detail)
        if identity.uid != (own := os.geteuid()):
            whose = f"the mail of {quoted(identity.user)} belongs to uid {identity.uid}"
            detail = f"{whose}, this server runs as {own}"
            return Refusal(Reason.FORBIDDEN, detail)
        return self._opened(identity)

    def _opened(self, identity: Identity) -> Maildrop | Refusal:
        try:
            return self._open(identity)
        except MaildropError as error:
            return Refusal(error.reason, error.detail)
        except Exception:
            text = one_line(traceback.format_exc())
            self._log.error(f"internal error while opening the mailbox of {quoted(identity.user)}: {text}")
            return Refusal(Reason.UNAVAILABLE, "internal error")
