"""``auth-directory``: the directory that vmail.conf names, whatever its dialect."""

from __future__ import annotations

from dataclasses import dataclass

from tpop3d_py.auth.drivers.sqlaccounts import Queries, make_driver
from tpop3d_py.auth.plugin import Driver, Plugin, Tools, enable_setting, mail_group_setting, mailbox_setting
from tpop3d_py.directory.engine import make_engine
from tpop3d_py.maildrop.patterns import Pattern

NAME = "directory"


@dataclass(frozen=True, slots=True)
class DirectoryDriverSettings:
    """Logins from the directory (auth-directory)."""

    enable: bool = enable_setting(NAME, "Log users in from the directory that database-url names.")
    mailbox: tuple[Pattern, ...] = mailbox_setting(NAME)
    mail_group: str = mail_group_setting(NAME)


def make(settings: DirectoryDriverSettings, tools: Tools) -> Driver:
    """Make the driver; no database is asked yet.

    Raises:
        DirectoryUnavailable: no directory is configured.
    """
    engine = make_engine(tools.directory)
    return make_driver(NAME, [engine], Queries(), tools.owner(settings.mail_group), tools)


PLUGIN = Plugin(NAME, DirectoryDriverSettings, make)
