"""Which settings there are, and what several parts of the server need of them."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from tpop3d_py.auth import installed
from tpop3d_py.auth.cache import CacheSettings
from tpop3d_py.auth.installed import OrderSettings
from tpop3d_py.auth.names import NameSettings
from tpop3d_py.auth.plugin import DriverError
from tpop3d_py.auth.registry import AuthSettings
from tpop3d_py.auth.tokens import TokenSettings
from tpop3d_py.config import Configuration
from tpop3d_py.directory.engine import DirectorySettings
from tpop3d_py.log import Log
from tpop3d_py.loghanding import Handing
from tpop3d_py.logsink import File
from tpop3d_py.maildrop.opener import MaildropSettings
from tpop3d_py.pop3.settings import ProtocolSettings
from tpop3d_py.server.bounds import LimitSettings
from tpop3d_py.server.ears import MonitorSettings
from tpop3d_py.server.edge import EdgeSettings
from tpop3d_py.server.separation import SeparationSettings
from tpop3d_py.server.settings import LogSettings, ServerSettings
from tpop3d_py.server.throttle import ThrottleSettings

_IDENT = "pypop3d"
#: Settings of the POP3 daemon without other packages' drivers, in the order of the sample file and the
#: reference page.
POP3_GROUPS: tuple[type[Any], ...] = (
    ServerSettings,
    SeparationSettings,
    EdgeSettings,
    LimitSettings,
    ProtocolSettings,
    NameSettings,
    CacheSettings,
    ThrottleSettings,
    MaildropSettings,
    LogSettings,
    MonitorSettings,
    TokenSettings,
    OrderSettings,
    *(plugin.settings for plugin in installed.BUILT_IN),
)
#: Settings of the directory, which every command reads.
DIRECTORY_GROUPS: tuple[type[Any], ...] = (DirectorySettings,)


class StartError(Exception):
    """The server cannot start; the text is for the operator."""


def daemon_groups() -> tuple[type[Any], ...]:
    """Return all settings of the POP3 daemon on this machine, those of the directory included.

    Raises:
        StartError: an authentication driver of another package cannot be used.
    """
    try:
        drivers = installed.drivers()
    except DriverError as error:
        raise StartError(str(error)) from None
    others = (plugin.settings for plugin in drivers if plugin.settings not in POP3_GROUPS)
    return (*POP3_GROUPS, *others, *DIRECTORY_GROUPS)


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says.

    Args:
        foreground: stay attached and log to standard error.
        verbose: log the dialogue with every client.
        pid_file: where to store the process id; empty: nowhere.
    """

    foreground: bool = False
    verbose: bool = False
    pid_file: str = ""


@functools.cache
def _handing() -> Handing:
    """Make the way of log files to other processes: one for all readings of the settings."""
    return Handing()


def make_log(settings: LogSettings, options: Options, owner: int | None = None) -> Log:
    """Open the log that settings and command line ask for.

    Args:
        settings: of the log.
        options: of the command line.
        owner: user id that a new log file is given to.

    Raises:
        StartError: the log file cannot be used.
    """
    structured = settings.form == "json"
    try:
        ident = "" if structured else _IDENT
        file = File(settings.file, ident, owner, _handing()) if settings.file else None
    except OSError as error:
        raise StartError(f"log-file {settings.file}: {error.strerror}") from None
    return Log(
        _IDENT,
        level="debug" if options.verbose else settings.level,
        facility=settings.facility,
        to_stderr=options.foreground or settings.stderr,
        to_syslog=True,
        file=file,
        structured=structured,
    )


def auth_settings(conf: Configuration) -> AuthSettings:
    """Pick the settings that logins depend on."""
    return AuthSettings(
        names=conf.get(NameSettings),
        order=conf.get(OrderSettings).order,
        directory=conf.get(DirectorySettings),
        tokens=conf.get(TokenSettings),
        empty_passwords=conf.get(ProtocolSettings).empty_passwords,
        drivers={plugin.name: conf.get(plugin.settings) for plugin in installed.drivers()},
    )
