"""``auth-pam``: whatever PAM is told to ask, for names without a domain.

PAM modules want root, keep state, and are written for programs that log one user in and end.  So each
authentication process has a small one beside it (`rootside`), still root, that makes a process for each
login; nothing of ours and no other login is in it.

Names that are no Unix users are asked about only where ``auth-pam-mail-user`` says whose their mail is.  A
password that is right for an account that is closed is refused like a wrong one; the log says why.

When things fail: a module that crashes, hangs or cannot tell is UNAVAILABLE for this login; an authentication
process that lost what asks PAM ends and is replaced.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import re
import signal
from dataclasses import dataclass

from tpop3d_py.auth import unixusers
from tpop3d_py.auth.accounts import Account
from tpop3d_py.auth.coprocess import HelperLost, Unanswered
from tpop3d_py.auth.deadline import seconds_left
from tpop3d_py.auth.names import Attempt
from tpop3d_py.auth.plugin import (
    Driver,
    DriverError,
    Plugin,
    Tools,
    enable_setting,
    mail_group_setting,
    mailbox_setting,
)
from tpop3d_py.auth.rootlink import Answer, RootLink, TooLong
from tpop3d_py.auth.rootside import AUTHENTICATION
from tpop3d_py.contracts import Credentials, Decision, Identity, Mechanism, Verdict
from tpop3d_py.log import ERR, NOTICE, Log, printable, quoted
from tpop3d_py.maildrop.patterns import Pattern
from tpop3d_py.settings import TEXT, Kind, setting

NAME = "pam"
_NOT_MINE = Decision(Verdict.NOT_MINE)
_FOLDERS = ("/etc/pam.d", "/usr/lib/pam.d", "/usr/local/etc/pam.d")
#: Seconds between two lines about the same fault.
_QUIET = 10.0

_SUCCESS, _USER_UNKNOWN = 0, 10
#: What the modules say of a login that is not to be: PAM_PERM_DENIED, PAM_AUTH_ERR, PAM_CRED_INSUFFICIENT,
#: PAM_USER_UNKNOWN, PAM_MAXTRIES, PAM_NEW_AUTHTOK_REQD, PAM_ACCT_EXPIRED, PAM_AUTHTOK_EXPIRED.  Whatever else
#: is not success says that they cannot tell.
_REFUSALS = frozenset({6, 7, 8, _USER_UNKNOWN, 11, 12, 13, 27})


def _service(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", text):
        raise ValueError("must be the name of a PAM service, without a path")
    return text


@dataclass(frozen=True, slots=True)
class PamSettings:
    """Logins through PAM (auth-pam)."""

    enable: bool = enable_setting(NAME, "Log users in through PAM.")
    facility: str = setting(
        "auth-pam-facility",
        Kind("name of a PAM service", _service),
        default="tpop3d",
        summary="The PAM service, which is a file in /etc/pam.d.",
    )
    mailbox: tuple[Pattern, ...] = mailbox_setting(NAME)
    mail_user: str = setting(
        "auth-pam-mail-user",
        TEXT,
        default=None,
        summary="Unix user that owns the mail of those whom PAM knows and the machine does not. If nothing "
        "is said, PAM is asked about Unix users only.",
        example="vmail",
    )
    mail_group: str = mail_group_setting(NAME)


class Pam:
    """The driver.

    Args:
        link: asks PAM.
        generic: who owns the mail of names that are no Unix users; None: they are nobody's.
        group: that sessions work with; None: the user's own.
        log: for what PAM says of accounts.
    """

    name = NAME
    notices: tuple[str, ...] = ()

    def __init__(self, link: RootLink, generic: Account | None, group: int | None, log: Log) -> None:
        self._link = link
        self._generic = generic
        self._group = group
        self._log = log

    def start(self) -> None:
        """Start what may ask PAM."""
        self._link.launch()

    def stop(self) -> None:
        """End it."""
        self._link.close()

    def check(self, attempt: Attempt, credentials: Credentials) -> Decision:
        """Answer one reading of a login."""
        if credentials.mechanism not in (Mechanism.PASSWORD, Mechanism.BEARER) or not self._may_be(attempt):
            return _NOT_MINE
        password = credentials.secret if credentials.mechanism is Mechanism.PASSWORD else None
        try:
            answer = self._link.ask(attempt.user, password, credentials.peer.client_host)
        except TooLong as error:
            return Decision(Verdict.REFUSED, detail=f"auth-{NAME}: {error}")
        except HelperLost as error:
            # Nobody here has the rights to start another; a new process has them for a moment.
            signal.raise_signal(signal.SIGTERM)
            return self._cannot_tell(str(error))
        except Unanswered as error:
            return self._cannot_tell(str(error))
        return self._decide(attempt, answer)

    def _may_be(self, attempt: Attempt) -> bool:
        if attempt.local_part is not None:
            return False
        return unixusers.find(attempt) is not None or (
            self._generic is not None and not _exists(attempt.user)
        )

    def _decide(self, attempt: Attempt, answer: Answer) -> Decision:
        if answer.result == _SUCCESS:
            return self._grant(attempt, answer.name)
        text = f"{printable(answer.text)} ({answer.result})"
        if answer.result not in _REFUSALS:
            return self._cannot_tell(text)
        if answer.phase == AUTHENTICATION:
            unknown = answer.result == _USER_UNKNOWN
            return _NOT_MINE if unknown else Decision(Verdict.REFUSED, detail=f"auth-{NAME}: {text}")
        return self._refuse(f"auth-{NAME}: `{quoted(attempt.user)}' may not log in: {text}")

    def _grant(self, attempt: Attempt, name: str) -> Decision:
        """Let in whom the modules have taken the client for, which may be another than he said."""
        named = Attempt(name, None, attempt.domain)
        entry = unixusers.find(named) if name.isprintable() else None
        if entry is not None:
            return Decision(Verdict.GRANTED, unixusers.identity(NAME, named, entry, self._group))
        if self._generic is None or not name or not name.isprintable() or _exists(name):
            return self._refuse(f"auth-{NAME}: PAM grants `{quoted(name)}', whose mail is nobody's")
        owner = self._generic
        return Decision(
            Verdict.GRANTED,
            Identity(name, NAME, owner.uid, owner.gid, domain=attempt.domain or "", home=owner.home),
        )

    def _refuse(self, text: str) -> Decision:
        self._log.once(text, _QUIET, NOTICE, text)
        return Decision(Verdict.REFUSED, detail=text)

    def _cannot_tell(self, text: str) -> Decision:
        text = f"auth-{NAME}: PAM cannot tell: {text}"
        self._log.once(text, _QUIET, ERR, text)
        return Decision(Verdict.UNAVAILABLE, detail=text)


def _exists(name: str) -> bool:
    """Whether the machine knows a user of this name, root too."""
    try:
        pwd.getpwnam(name)
    except (KeyError, ValueError):
        return False
    return True


def make(settings: PamSettings, tools: Tools) -> Driver:
    """Make the driver.

    Raises:
        DriverError: there is no PAM on this machine.
        KeyError: there is no such account or group.
    """
    try:
        ctypes.CDLL("libpam.so.0")
    except OSError as error:
        raise DriverError(f"auth-pam-enable: {error}") from None
    owner = tools.owner(settings.mail_group)
    generic = owner.of(settings.mail_user) if settings.mail_user else None
    driver = Pam(RootLink("pam", settings.facility, seconds_left), generic, owner.group, tools.log)
    if not any(os.path.exists(f"{folder}/{settings.facility}") for folder in _FOLDERS):
        what = "PAM does what /etc/pam.d/other says, which as a rule lets nobody in"
        driver.notices = (f"auth-pam-facility: there is no /etc/pam.d/{settings.facility}: {what}",)
    return driver


PLUGIN = Plugin(NAME, PamSettings, make)
