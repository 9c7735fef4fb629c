"""``auth-other``: a program of the site's own decides, by the ancestor's protocol on pipes.

Programs written for tpop3d run unchanged.  Each authentication process has its own instance, so a slow
answer holds up one in ``auth-processes``, and never a client that is logged in.  The program runs as its
own user; what it writes to its standard error is logged.

When things fail: no answer in time, or one that makes no sense, is UNAVAILABLE for this login; the program
is ended after the first, and started anew for the next.  An authentication process that lost what runs its
program ends and is replaced.
"""

from __future__ import annotations

import os
import pwd
import signal
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from tpop3d_py.auth import answers
from tpop3d_py.auth.coprocess import Coprocess, HelperLost, Job, Unanswered
from tpop3d_py.auth.deadline import seconds_left
from tpop3d_py.auth.names import Attempt
from tpop3d_py.auth.packets import BadPacket
from tpop3d_py.auth.plugin import (
    Driver,
    DriverError,
    LoggedIn,
    Plugin,
    Tools,
    enable_setting,
    mail_group_setting,
    mailbox_setting,
)
from tpop3d_py.contracts import Credentials, Decision, Verdict
from tpop3d_py.log import ERR, Log
from tpop3d_py.maildrop.patterns import Pattern
from tpop3d_py.settings import PATH, TEXT, seconds, setting

NAME = "other"
#: Seconds between two lines about the same fault.
_QUIET = 10.0


@dataclass(frozen=True, slots=True)
class OtherSettings:
    """Logins that a program decides about (auth-other)."""

    enable: bool = enable_setting(
        NAME, "Have a program decide about logins, which may be written in anything."
    )
    program: str = setting(
        "auth-other-program",
        PATH,
        default=None,
        summary="The program. It gets no arguments, and is asked by packets on its standard input: see "
        "drivers.md. One runs beside each of auth-processes.",
        example="/usr/local/lib/tpop3d-auth",
    )
    user: str = setting(
        "auth-other-user",
        TEXT,
        default=None,
        summary="Unix user that the program runs as; required where the server is started as root.",
        example="tpop3d-auth",
    )
    group: str = setting(
        "auth-other-group",
        TEXT,
        default=None,
        summary="Group it runs with; the user's own if nothing is said.",
    )
    timeout: float = setting(
        "auth-other-timeout",
        seconds(0.05, 10),
        default=0.75,
        summary="How long an answer may take. After that the program is ended, killed if it has not ended "
        "after the same time again, and started anew. auth-timeout-seconds ends a login in any case.",
    )
    mailbox: tuple[Pattern, ...] = mailbox_setting(NAME)
    mail_group: str = mail_group_setting(NAME)

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Yield what is missing when the driver is on."""
        if self.enable and not self.program:
            yield "auth-other-program", "required when auth-other-enable is on"


class Other:
    """The driver."""

    name = NAME

    def __init__(self, coprocess: Coprocess, reader: answers.Reader, log: Log) -> None:
        self._coprocess = coprocess
        self._reader = reader
        self._log = log

    def start(self) -> None:
        """Become able to run the program as its user."""
        self._coprocess.launch()

    def settle(self) -> None:
        """Start the program, which may need a while for its own preparations."""
        self._coprocess.listen()

    def check(self, attempt: Attempt, credentials: Credentials) -> Decision:
        """Ask the program about one reading of a login."""
        question = answers.question(attempt, credentials)
        if question is None:
            return Decision(Verdict.NOT_MINE)
        try:
            return self._reader.decide(attempt, self._ask(question))
        except BadPacket as error:
            return Decision(Verdict.REFUSED, detail=f"auth-{NAME}: {error}")
        except (Unanswered, answers.BadAnswer) as error:
            text = f"auth-{NAME}: the program cannot be understood: {error}"
            self._log.once(text, _QUIET, ERR, text)
            return Decision(Verdict.UNAVAILABLE, detail=text)

    def logged_in(self, login: LoggedIn) -> None:
        """Tell the program of a login."""
        self._reader.repeat(self._ask(answers.notice(login), terse=True))

    def _ask(self, question: dict[bytes, bytes], *, terse: bool = False) -> dict[bytes, bytes]:
        try:
            return self._coprocess.ask(question, terse=terse)
        except HelperLost:
            # Nobody here has the rights to start another; a new process has them for a moment.
            signal.raise_signal(signal.SIGTERM)
            raise


def make(settings: OtherSettings, tools: Tools) -> Driver:
    """Make the driver.

    Raises:
        DriverError: the program cannot be run, or not as this user.
        KeyError: there is no such group.
    """
    account = _user(settings)
    gid = tools.accounts.group(settings.group) if settings.group else account.pw_gid
    groups = tuple(sorted({gid, *os.getgrouplist(account.pw_name, gid)}))
    _inspect(settings.program)
    job = Job(NAME, settings.program, account.pw_uid, gid, groups, settings.timeout)
    reader = answers.Reader(NAME, tools.owner(settings.mail_group), tools.log)
    return Other(Coprocess(job, tools.log, seconds_left), reader, tools.log)


def _user(settings: OtherSettings) -> pwd.struct_passwd:
    own = pwd.getpwuid(os.geteuid())
    if not settings.user:
        if own.pw_uid == 0:
            raise DriverError("auth-other-user is required: the program must not run as root by accident")
        return own
    try:
        account = pwd.getpwnam(settings.user)
    except KeyError:
        raise DriverError(f"auth-other-user: there is no Unix account {settings.user!r}") from None
    if own.pw_uid not in (0, account.pw_uid):
        raise DriverError(f"auth-other-user: only root can run programs as {settings.user}")
    return account


def _inspect(program: str) -> None:
    try:
        mode = os.stat(program).st_mode
    except OSError as error:
        raise DriverError(f"auth-other-program: {program}: {error.strerror}") from None
    if not stat.S_ISREG(mode) or not mode & 0o111:
        raise DriverError(f"auth-other-program: {program}: is no executable file")
    if mode & stat.S_IWOTH:
        raise DriverError(f"auth-other-program: {program}: everybody may change it")


PLUGIN = Plugin(NAME, OtherSettings, make)
