"""``auth-passwd``: the machine's own users, by passwd and shadow.

The authentication processes may not read shadow passwords; each has a process beside it that may do that and
nothing else (`rootside`), and is asked for one line at a time.  Where a line of passwd has a password of its
own, that counts, as for login(1).

Accounts that are locked, have expired, or have a password that has expired or must be changed get no mail:
here nobody could change it.

When things fail: a line that cannot be read is UNAVAILABLE; an authentication process that lost what reads
lines ends and is replaced.
"""

from __future__ import annotations

import pwd
import signal
import time
from dataclasses import dataclass, replace

from tpop3d_py.auth import passwords, unixusers
from tpop3d_py.auth.comparison import Comparison
from tpop3d_py.auth.coprocess import HelperLost, Unanswered
from tpop3d_py.auth.deadline import seconds_left
from tpop3d_py.auth.names import Attempt
from tpop3d_py.auth.plugin import Driver, Plugin, Tools, enable_setting, mail_group_setting, mailbox_setting
from tpop3d_py.auth.rootlink import RootLink, TooLong
from tpop3d_py.contracts import Credentials, Decision, Mechanism, Verdict
from tpop3d_py.log import NOTICE, Log, quoted
from tpop3d_py.maildrop.patterns import Pattern

NAME = "passwd"
_NOT_MINE = Decision(Verdict.NOT_MINE)
_DAY = 86400
#: Seconds between two lines about one account.
_QUIET = 600.0


@dataclass(frozen=True, slots=True)
class PasswdSettings:
    """Logins of Unix users by passwd and shadow (auth-passwd)."""

    enable: bool = enable_setting(NAME, "Log the machine's own users in, by passwd and shadow.")
    mailbox: tuple[Pattern, ...] = mailbox_setting(NAME)
    mail_group: str = mail_group_setting(NAME)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of passwords.

    Args:
        stored: the password; empty: nobody gets in.
        problem: why nobody gets in even with the right one; empty if somebody does.
    """

    stored: str
    problem: str = ""


def read_line(text: str, today: int) -> Line:
    """Read ``CHANGED:MOST:EXPIRES:PASSWORD``, days as in shadow(5) and counted from 1970; -1 is none.

    What it means is what pam_unix(8) makes of it.
    """
    *numbers, stored = text.split(":", 3)
    changed, most, expires = map(int, numbers)
    problem = ""
    if 0 <= expires <= today:
        problem = "the account has expired"
    elif changed == 0:
        problem = "the password must be changed"
    elif 0 <= most < today - changed and changed > 0:
        problem = "the password has expired"
    return Line(_usable(stored), problem)


def _usable(stored: str) -> str:
    """Return a stored password; empty for the marks of an account that is locked or has none."""
    return "" if stored.startswith(("!", "*")) else stored


class Passwd:
    """The driver."""

    name = NAME

    def __init__(self, link: RootLink, group: int | None, tools: Tools) -> None:
        self._link = link
        self._group = group
        self._log: Log = tools.log
        self._comparison = Comparison(NAME, tools.exchanges, passwords.BARE_CRYPT)

    def start(self) -> None:
        """Start what may read shadow passwords."""
        self._link.launch()

    def stop(self) -> None:
        """End it."""
        self._link.close()

    def check(self, attempt: Attempt, credentials: Credentials) -> Decision:
        """Answer one reading of a login."""
        if credentials.mechanism not in (Mechanism.PASSWORD, Mechanism.BEARER):
            return _NOT_MINE  # the others need a password that is stored as it is
        entry = unixusers.find(attempt)
        if entry is None:
            return _NOT_MINE
        try:
            line = self._line(entry)
        except (Unanswered, TooLong) as error:
            if isinstance(error, HelperLost):
                # Nobody here has the rights to start another; a new process has them for a moment.
                signal.raise_signal(signal.SIGTERM)
            return Decision(Verdict.UNAVAILABLE, detail=f"auth-{NAME}: {error}")
        answer = self._comparison.decide(attempt, line.stored, credentials)
        if answer.verdict is not Verdict.GRANTED:
            return answer
        if line.problem:
            return self._refuse(entry.pw_name, line.problem)
        return replace(answer, identity=unixusers.identity(NAME, attempt, entry, self._group))

    def _line(self, entry: pwd.struct_passwd) -> Line:
        if entry.pw_passwd not in ("x", "*", "##" + entry.pw_name):
            return Line(_usable(entry.pw_passwd))
        answer = self._link.ask(entry.pw_name)
        return read_line(answer.text, int(time.time()) // _DAY) if answer.name else Line("")

    def _refuse(self, name: str, problem: str) -> Decision:
        text = f"auth-{NAME}: `{quoted(name)}': {problem}"
        self._log.once(text, _QUIET, NOTICE, text)
        return Decision(Verdict.REFUSED, detail=text)


def make(settings: PasswdSettings, tools: Tools) -> Driver:
    """Make the driver.

    Raises:
        KeyError: there is no such group.
    """
    group = tools.owner(settings.mail_group).group
    return Passwd(RootLink("shadow", "", seconds_left), group, tools)


PLUGIN = Plugin(NAME, PasswdSettings, make)
