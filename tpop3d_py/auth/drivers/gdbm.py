"""``auth-gdbm``: a GNU dbm file of names and stored passwords.

Keys are ``local_part@domain``; values are stored passwords, with or without the NUL that C programs put
behind them.  The processes that read the file run as ``run-as``, not as root.

When things fail: a file that somebody else is writing to is tried again for `_PATIENCE` seconds; then, and
for any other fault of it, it is `Unreadable`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

from tpop3d_py.auth.deadline import seconds_left
from tpop3d_py.auth.drivers.hashfile import HashFile, Unreadable, mail_user_setting, missing
from tpop3d_py.auth.gdbm import GdbmBusy, GdbmError, GdbmFile, GdbmMissing, Library
from tpop3d_py.auth.plugin import (
    Driver,
    DriverError,
    Plugin,
    Tools,
    enable_setting,
    mail_group_setting,
    mailbox_setting,
)
from tpop3d_py.maildrop.patterns import Pattern
from tpop3d_py.settings import BOOLEAN, PATH, setting

NAME = "gdbm"
_PATIENCE = 0.5
_PAUSE = 0.02


@dataclass(frozen=True, slots=True)
class GdbmSettings:
    """Logins from a GNU dbm file (auth-gdbm)."""

    enable: bool = enable_setting(NAME, "Log users in from a GNU dbm file.")
    passwd_file: str = setting(
        "auth-gdbm-passwd-file",
        PATH,
        default=None,
        summary="The file: a stored password for each LOCAL_PART@DOMAIN. run-as must be able to read it.",
        example="/etc/vmail/passwd.gdbm",
    )
    persistent: bool = setting(
        "auth-gdbm-persistent",
        BOOLEAN,
        default=False,
        summary="Keep the file open. Nobody can write to it then; a new file under its name is noticed.",
    )
    mail_user: str = mail_user_setting(NAME)
    mailbox: tuple[Pattern, ...] = mailbox_setting(NAME)
    mail_group: str = mail_group_setting(NAME)

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Yield what is missing when the driver is on."""
        return missing(NAME, self)


class PasswordFile:
    """The file; for one process.

    Args:
        library: opens it.
        path: where it is.
        persistent: keep it open.
    """

    def __init__(self, library: Library, path: str, persistent: bool) -> None:
        self._library = library
        self._path = path
        self._persistent = persistent
        self._open: tuple[tuple[int, int], GdbmFile] | None = None

    def find(self, local_part: str, domain: str) -> str | None:
        """Return a stored password; None if the file does not know the name.

        Raises:
            Unreadable: the file cannot be read.
        """
        try:
            value = self._fetch(f"{local_part}@{domain}".encode())
        except GdbmError as error:
            self._close()
            raise Unreadable(f"{self._path}: {error}") from None
        except OSError as error:
            raise Unreadable(f"{self._path}: {error.strerror}") from None
        return None if value is None else value.partition(b"\0")[0].decode("utf-8", "surrogateescape")

    def _fetch(self, key: bytes) -> bytes | None:
        st = os.stat(self._path)
        if self._open is not None and self._open[0] != (st.st_dev, st.st_ino):
            self._close()
        if self._open is None:
            self._open = (st.st_dev, st.st_ino), self._patiently()
        try:
            return self._open[1].fetch(key)
        finally:
            if not self._persistent:
                self._close()

    def _patiently(self) -> GdbmFile:
        until = time.monotonic() + min(_PATIENCE, seconds_left())
        while True:
            try:
                return self._library.open(self._path)
            except GdbmBusy:
                if time.monotonic() >= until:
                    raise
            time.sleep(_PAUSE)

    def _close(self) -> None:
        if self._open is not None:
            self._open[1].close()
            self._open = None


def make(settings: GdbmSettings, tools: Tools) -> Driver:
    """Make the driver.

    Raises:
        DriverError: libgdbm is not installed.
        KeyError: there is no such account or group.
    """
    try:
        library = Library()
    except GdbmMissing as error:
        raise DriverError(f"auth-gdbm-enable: {error}") from None
    owner = tools.owner(settings.mail_group).of(settings.mail_user)
    return HashFile(NAME, PasswordFile(library, settings.passwd_file, settings.persistent), owner, tools)


PLUGIN = Plugin(NAME, GdbmSettings, make)
