"""Which settings there are, and what several parts of the server need of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tpop3d_py.auth.drivers.directory import DirectoryDriverSettings
from tpop3d_py.auth.drivers.mysql import MysqlSettings
from tpop3d_py.auth.drivers.pam import PamSettings
from tpop3d_py.auth.names import NameSettings
from tpop3d_py.auth.registry import AuthSettings
from tpop3d_py.auth.tokens import TokenSettings
from tpop3d_py.config import Configuration
from tpop3d_py.directory.engine import DirectorySettings
from tpop3d_py.log import Log
from tpop3d_py.maildrop.opener import MaildropSettings
from tpop3d_py.pop3.settings import ProtocolSettings
from tpop3d_py.server.settings import LogSettings, ServerSettings

#: Settings of the POP3 daemon, in the order of the sample file and the reference page.
POP3_GROUPS: tuple[type[Any], ...] = (
    ServerSettings,
    ProtocolSettings,
    NameSettings,
    MaildropSettings,
    LogSettings,
    DirectoryDriverSettings,
    MysqlSettings,
    PamSettings,
    TokenSettings,
)
#: Settings of the directory, which every command reads.
DIRECTORY_GROUPS: tuple[type[Any], ...] = (DirectorySettings,)


class StartError(Exception):
    """The server cannot start; the text is for the operator."""


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


def make_log(settings: LogSettings, options: Options) -> Log:
    """Open the log that settings and command line ask for."""
    return Log(
        "pypop3d",
        level="debug" if options.verbose else settings.level,
        facility=settings.facility,
        to_stderr=options.foreground or settings.stderr,
        to_syslog=True,
    )


def auth_settings(conf: Configuration) -> AuthSettings:
    """Pick the settings that logins depend on."""
    return AuthSettings(
        names=conf.get(NameSettings),
        pam=conf.get(PamSettings),
        directory=conf.get(DirectorySettings),
        directory_driver=conf.get(DirectoryDriverSettings),
        mysql=conf.get(MysqlSettings),
        tokens=conf.get(TokenSettings),
        empty_passwords=conf.get(ProtocolSettings).empty_passwords,
    )
