"""From settings to the chain: which drivers are on, in the ancestor's order.

When things fail: `NoDrivers` if there is nobody to ask, `KeyError` for a mail
group that does not exist, `DirectoryUnavailable` for a directory that is not
configured, `TokenCheckError` for a token check that cannot be loaded.  A database that is
merely down is no reason not to start.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pwd
from collections.abc import Iterator
from dataclasses import dataclass

from tpop3d_py.auth.accounts import Account, Accounts, group_id
from tpop3d_py.auth.breaker import Breaker
from tpop3d_py.auth.chain import Chain, Driver
from tpop3d_py.auth.drivers import directory, mysql
from tpop3d_py.auth.drivers.directory import DirectoryDriverSettings
from tpop3d_py.auth.drivers.mysql import MysqlSettings
from tpop3d_py.auth.drivers.pam import PamSettings
from tpop3d_py.auth.drivers.virtualemail import Owner, VirtualEmail
from tpop3d_py.auth.exchange import Exchanges
from tpop3d_py.auth.names import NameSettings
from tpop3d_py.auth.scram import Salts
from tpop3d_py.auth.tokens import TokenSettings, load_check
from tpop3d_py.directory.engine import DirectorySettings, engine_for, make_engine
from tpop3d_py.directory.lookup import LoginLookup
from tpop3d_py.log import Log


class NoDrivers(Exception):
    """No authentication driver is switched on."""


@dataclass(frozen=True, slots=True)
class AuthSettings:
    """The settings of everything that takes part in a login."""

    names: NameSettings
    pam: PamSettings
    directory: DirectorySettings
    directory_driver: DirectoryDriverSettings
    mysql: MysqlSettings
    tokens: TokenSettings
    empty_passwords: bool


@dataclass(frozen=True, slots=True)
class Authentication:
    """A chain that is ready to be asked, and what the operator should hear at start-up."""

    chain: Chain
    drivers: int
    notices: tuple[str, ...]
    groups: tuple[int, ...]


def assemble_chain(settings: AuthSettings, log: Log) -> Authentication:
    """Make the chain of the drivers that are on.

    Raises:
        NoDrivers: none is.
        KeyError: a mail group does not exist.
        DirectoryUnavailable: auth-directory is on and no directory is configured.
        TokenCheckError: the token check cannot be loaded.
    """
    notices: tuple[str, ...] = ()
    if settings.pam.enable:
        notices = ("auth-pam-enable: this version has no PAM driver; nobody logs in through PAM",)
    exchanges = Exchanges(Salts(_salt_key(settings)))
    drivers = list(_drivers(settings, exchanges, log))
    if not drivers:
        raise NoDrivers("no authentication driver is on; set auth-directory-enable or auth-mysql-enable")
    groups = {settings.mysql.mail_group} if settings.mysql.enable else set()
    ids = tuple(group_id(name) for name in groups if name)
    chain = Chain(
        drivers,
        settings.names,
        log,
        exchanges=exchanges,
        tokens=load_check(settings.tokens.check) if settings.tokens.check else None,
        empty_passwords=settings.empty_passwords,
    )
    return Authentication(chain, len(drivers), notices, ids)


def _salt_key(settings: AuthSettings) -> bytes:
    """Make a key that no client knows and that is the same after a restart, of what is configured anyway."""
    parts = [
        str(settings.directory.database_url),
        f"{settings.mysql.hostname} {settings.mysql.database} {settings.mysql.password}",
    ]
    for path in ("/etc/machine-id", settings.directory.database_password_file):
        # Whoever needs the password complains if it cannot be read; here it is only salt.
        with (
            contextlib.suppress(OSError),
            open(path or os.devnull, encoding="utf-8", errors="replace") as file,
        ):
            parts.append(file.readline(4096))
    return hashlib.sha256("\0".join(("salts of SCRAM", *parts)).encode("utf-8", "replace")).digest()


def _drivers(settings: AuthSettings, exchanges: Exchanges, log: Log) -> Iterator[Driver]:
    accounts, fixed = Accounts(), own_account()
    if settings.mysql.enable:
        group = group_id(settings.mysql.mail_group) if settings.mysql.mail_group else None
        lookup = LoginLookup(engine_for(settings.mysql.url(), password=settings.mysql.password_octets()))
        guarded = Breaker(lookup, mysql.NAME, log)
        yield VirtualEmail(mysql.NAME, guarded, Owner(accounts, fixed, group), exchanges)
    if settings.directory_driver.enable:
        lookup = LoginLookup(make_engine(settings.directory))
        guarded = Breaker(lookup, directory.NAME, log)
        yield VirtualEmail(directory.NAME, guarded, Owner(accounts, fixed), exchanges)


def own_account() -> Account | None:
    """Return who owns all mail of a server that is not root: whoever runs it; None for root."""
    if os.geteuid() == 0:
        return None
    entry = pwd.getpwuid(os.geteuid())
    return Account(entry.pw_uid, entry.pw_gid, entry.pw_dir)
