"""From settings to the chain: the drivers that are on, in the order that the operator wants.

When things fail: `NoDrivers` if there is nobody to ask, `KeyError` for an account or group that
does not exist, `DriverError` for a driver that cannot do what its settings say, `DirectoryUnavailable` for a
directory that is not configured, `TokenCheckError` for a token check that cannot be loaded.  A database that
is merely down is no reason not to start.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pwd
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from tpop3d_py.auth import passwords
from tpop3d_py.auth.accounts import Account, Accounts
from tpop3d_py.auth.chain import Chain
from tpop3d_py.auth.chores import Chores
from tpop3d_py.auth.exchange import Exchanges
from tpop3d_py.auth.installed import arranged
from tpop3d_py.auth.names import NameSettings
from tpop3d_py.auth.plugin import (
    Driver,
    DriverError,
    HearsLogins,
    LoggedIn,
    Plugin,
    Settles,
    Starts,
    Stops,
    Tools,
    Warns,
)
from tpop3d_py.auth.scram import Salts
from tpop3d_py.auth.tokens import TokenSettings, load_check
from tpop3d_py.contracts import Credentials, Decision
from tpop3d_py.directory.engine import DirectorySettings
from tpop3d_py.log import Log, printable
from tpop3d_py.maildrop.patterns import Pattern
from tpop3d_py.settings import declarations


class NoDrivers(Exception):
    """No authentication driver is switched on."""


@dataclass(frozen=True, slots=True)
class AuthSettings:
    """The settings of everything that takes part in a login.

    Args:
        names: how login names are read.
        order: names of the drivers to be asked before others.
        directory: the directives of ``vmail.conf``.
        tokens: who checks bearer tokens.
        empty_passwords: whether a password of no octets may be right.
        drivers: every driver's settings, by its name.
    """

    names: NameSettings
    order: tuple[str, ...]
    directory: DirectorySettings
    tokens: TokenSettings
    empty_passwords: bool
    drivers: Mapping[str, Any]

    def enabled(self) -> list[tuple[Plugin[Any], Any]]:
        """Return the drivers that are on, each with its settings, in the order in which they are asked."""
        pairs = [(plugin, self.drivers.get(plugin.name)) for plugin in arranged(self.order)]
        return [(plugin, settings) for plugin, settings in pairs if settings and settings.enable]


@dataclass(frozen=True, slots=True)
class Authentication:
    """A chain that is ready to be asked, and what else the server must know of its drivers.

    Args:
        chain: asks them.
        drivers: those that are on, in the order in which they are asked.
        notices: what the operator should hear at start-up.
        groups: ids of the groups that sessions work with.
        mailboxes: each driver's own patterns for mailboxes, by its name.
        chores: what is to be done between logins.
        hear: whether any driver wants to know of logins.
        log: for drivers that raise.
    """

    chain: Chain
    drivers: tuple[Driver, ...]
    notices: tuple[str, ...]
    groups: tuple[int, ...]
    mailboxes: Mapping[str, tuple[Pattern, ...]]
    chores: Chores
    hear: bool
    log: Log

    def decide(self, credentials: Credentials) -> Decision:
        """Find out about a login."""
        return self.chain.decide(credentials)

    def start(self) -> None:
        """Give every driver what only root may have; for an authentication process that is still root."""
        for driver in self.drivers:
            if isinstance(driver, Starts):
                self._guard(driver, driver.start)

    def settle(self) -> None:
        """Let every driver get ready, in an authentication process that has given root up."""
        for driver in self.drivers:
            if isinstance(driver, Settles):
                self._guard(driver, driver.settle)

    def logged_in(self, login: LoggedIn) -> None:
        """Tell every driver of a login."""
        for driver in self.drivers:
            if isinstance(driver, HearsLogins):
                self._guard(driver, partial(driver.logged_in, login))

    def stop(self) -> None:
        """Let every driver clean up, in an authentication process that ends."""
        for driver in self.drivers:
            if isinstance(driver, Stops):
                self._guard(driver, driver.stop)

    def _guard(self, driver: Driver, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:  # foreign code; the driver's next logins will show what comes of it
            self.log.error(f"auth-{driver.name}: {type(error).__name__}: {printable(str(error))}")


def assemble_chain(settings: AuthSettings, log: Log) -> Authentication:
    """Make the chain of the drivers that are on.

    Raises:
        NoDrivers: none is.
        KeyError: an account or a group does not exist.
        DriverError: a driver cannot do what its settings say.
        DirectoryUnavailable: auth-directory is on and no directory is configured.
        TokenCheckError: the token check cannot be loaded.
    """
    enabled = settings.enabled()
    if not enabled:
        names = ", ".join(plugin.name for plugin in arranged(()))
        raise NoDrivers(f"no authentication driver is on; set auth-NAME-enable for one or more of: {names}")
    exchanges = Exchanges(Salts(_salt_key(settings)))
    tools = Tools(log, Accounts(), exchanges, settings.directory, Chores(log), own_account())
    try:
        passwords.expect(settings.directory.password_scheme)
    except ValueError as error:
        raise DriverError(f"password-scheme: {error}") from None
    drivers = tuple(plugin.make(group, tools) for plugin, group in enabled)
    groups = {getattr(group, "mail_group", None) for _, group in enabled}
    chain = Chain(
        drivers,
        settings.names,
        log,
        exchanges=exchanges,
        tokens=load_check(settings.tokens.check) if settings.tokens.check else None,
        empty_passwords=settings.empty_passwords,
    )
    return Authentication(
        chain,
        drivers,
        tuple(notice for driver in drivers if isinstance(driver, Warns) for notice in driver.notices),
        tuple(tools.accounts.group(name) for name in groups if name),
        {plugin.name: getattr(group, "mailbox", ()) for plugin, group in enabled},
        tools.chores,
        any(isinstance(driver, HearsLogins) for driver in drivers),
        log,
    )


def _salt_key(settings: AuthSettings) -> bytes:
    """Make a key that no client knows and that is the same after a restart, of what is configured anyway."""
    parts = [str(settings.directory.database_url)]
    for _, group in settings.enabled():
        parts += [f"{d.name}: {getattr(group, d.field)}" for d in declarations(type(group)) if d.secret]
    for path in ("/etc/machine-id", settings.directory.database_password_file):
        # Whoever needs the password complains if it cannot be read; here it is only salt.
        with (
            contextlib.suppress(OSError),
            open(path or os.devnull, encoding="utf-8", errors="replace") as file,
        ):
            parts.append(file.readline(4096))
    return hashlib.sha256("\0".join(("salts of SCRAM", *parts)).encode("utf-8", "replace")).digest()


def own_account() -> Account | None:
    """Return who owns all mail of a server that is not root: whoever runs it; None for root."""
    if os.geteuid() == 0:
        return None
    entry = pwd.getpwuid(os.geteuid())
    return Account(entry.pw_uid, entry.pw_gid, entry.pw_dir)
