"""What an authentication driver is, and what it is given: ours and other people's.

A driver is one class with one group of settings in one module, which ends in

    PLUGIN = Plugin("example", ExampleSettings, make)

The group's directives all begin with ``auth-example-``; it has at least a field `enable`.  Two fields mean
the same in every driver and are obeyed outside of it: `mailbox`, the patterns that are tried before those of
the directive ``mailbox`` when a login does not say where its mail lies, and `mail_group`, the group that
sessions work with (which the driver applies by `Tools.owner`).

Other packages' drivers are found by the entry point group ``tpop3d_py.auth``: its names are the drivers', its
objects the `Plugin`.

The life of a driver: `make` runs in the master, as root if that is what it was started as, for every reading
of the settings, and for ``--check``: it must neither start anything nor wait for anybody.  Each
authentication process then has a copy: it calls `start` with the master's rights, gives those up, calls
`settle`, and asks one question at a time until it ends with `stop`.  All but `check` may be missing.

When things fail: `make` raises `KeyError` or `DriverError` with a sentence for the operator, and the server
does not start.  Whatever `check` raises costs one login, which is answered as a temporary failure; what the
others raise is logged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from tpop3d_py.auth.accounts import Account, Accounts, Owner
from tpop3d_py.auth.chores import Chores
from tpop3d_py.auth.exchange import Exchanges
from tpop3d_py.auth.names import Attempt
from tpop3d_py.contracts import Credentials, Decision
from tpop3d_py.directory.engine import DirectorySettings
from tpop3d_py.log import Log
from tpop3d_py.maildrop.patterns import Pattern
from tpop3d_py.settings import BOOLEAN, TEXT, setting, words_of

S = TypeVar("S")


class DriverError(Exception):
    """A driver cannot do what its settings say; the text is for the operator."""


class Driver(Protocol):
    """One source of accounts."""

    @property
    def name(self) -> str:
        """The driver's name, as in ``auth-NAME-enable``."""

    def check(self, attempt: Attempt, credentials: Credentials) -> Decision:
        """Answer one reading of a login.

        NOT_MINE says that no password was compared at all: nobody of that name is known here.  The token of
        `Mechanism.BEARER` has been checked already: the user only has to exist.
        """


@runtime_checkable
class Starts(Protocol):
    """A driver that needs the master's rights once."""

    def start(self) -> None:
        """Take what only root may have; runs in each authentication process before it gives root up."""


@runtime_checkable
class Settles(Protocol):
    """A driver that has something to prepare."""

    def settle(self) -> None:
        """Get ready; runs in each authentication process, with the rights that it keeps."""


@runtime_checkable
class Stops(Protocol):
    """A driver that has something to bring to an end."""

    def stop(self) -> None:
        """Clean up; runs in each authentication process that ends in good order."""


@runtime_checkable
class Warns(Protocol):
    """A driver that the operator should hear of at start-up."""

    @property
    def notices(self) -> Sequence[str]:
        """Lines for the log and for ``--check``."""


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """Somebody has logged in, through whichever driver.

    Args:
        user: the name as sent.
        local_part: of the account; the whole name if it has no domain.
        domain: the account's; the listener's if it has none.
        client_host: where the client is.
        server_host: the address it reached.
        driver: which driver it was.
    """

    user: str
    local_part: str
    domain: str
    client_host: str
    server_host: str
    driver: str


@runtime_checkable
class HearsLogins(Protocol):
    """A driver that wants to know of every login."""

    def logged_in(self, login: LoggedIn) -> None:
        """Take note of a login; nobody waits for this."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What drivers are made with.

    Args:
        log: for what is nobody's login.
        accounts: the machine's Unix accounts.
        exchanges: for SCRAM; the chain's.
        directory: the directives of ``vmail.conf``.
        chores: what a driver wants done when the login has been answered.
        fixed: whoever owns all mail of a server that is not root; None for root.
    """

    log: Log
    accounts: Accounts
    exchanges: Exchanges
    directory: DirectorySettings
    chores: Chores
    fixed: Account | None = None

    def owner(self, mail_group: str | None) -> Owner:
        """Return what finds the ids of mailboxes, with the group that ``auth-NAME-mail-group`` asks for.

        Raises:
            KeyError: there is no such group.
        """
        return Owner(self.accounts, self.fixed, self.accounts.group(mail_group) if mail_group else None)


@dataclass(frozen=True, slots=True)
class Plugin(Generic[S]):
    """A driver as it is found.

    Args:
        name: lower-case letters and digits, as in ``auth-NAME-enable``.
        settings: its group of settings.
        make: makes the driver; called only if it is on.
    """

    name: str
    settings: type[S]
    make: Callable[[S, Tools], Driver]


def mailbox_setting(name: str) -> Any:
    """Declare ``auth-NAME-mailbox``, for a field `mailbox`."""
    return setting(
        f"auth-{name}-mailbox",
        words_of("list of [DRIVER:]PATH patterns", Pattern.parse),
        default=(),
        summary=f"Where the mail of users that auth-{name} knows lies when it does not say: tried before the "
        "patterns of mailbox, and written like them.",
        example="/var/mail/$(user)",
    )


def mail_group_setting(name: str) -> Any:
    """Declare ``auth-NAME-mail-group``, for a field `mail_group`."""
    return setting(
        f"auth-{name}-mail-group",
        TEXT,
        default=None,
        summary="Group that sessions work with instead of the mailbox owner's own.",
    )


def enable_setting(name: str, summary: str) -> Any:
    """Declare ``auth-NAME-enable``, for a field `enable`."""
    return setting(f"auth-{name}-enable", BOOLEAN, default=False, summary=summary)
