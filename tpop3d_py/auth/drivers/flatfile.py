"""``auth-flatfile``: a text file of names and stored passwords, or one for each domain.

Lines are ``local_part:stored password``, and whatever follows another colon is ignored; the first that fits
counts.  ``$(domain)`` in the path is the client's text: one that could lead to another folder names no file
at all.

The file is opened for every login, so that it may be replaced at any time; the processes that do so run as
``run-as``, not as root.

When things fail: lines without a colon are passed over, with a warning; without a file for a domain the
driver knows nobody of that domain; any other fault of a file is `Unreadable`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from tpop3d_py.auth.drivers.hashfile import HashFile, Unreadable, mail_user_setting, missing
from tpop3d_py.auth.plugin import Driver, Plugin, Tools, enable_setting, mail_group_setting, mailbox_setting
from tpop3d_py.contracts import Identity, MaildropError
from tpop3d_py.log import WARNING, Log, printable
from tpop3d_py.maildrop.patterns import Pattern, read_parts
from tpop3d_py.settings import Kind, setting

NAME = "flatfile"
#: Seconds between two warnings about one file.
_QUIET = 600.0


def _path(text: str) -> Pattern:
    if len(text.split()) != 1 or not text.startswith("/") or ".." in text.split("/"):
        raise ValueError("must be one absolute path without ..")
    return Pattern(text, "", tuple(read_parts(text, text, ("domain",))))


@dataclass(frozen=True, slots=True)
class FlatfileSettings:
    """Logins from text files (auth-flatfile)."""

    enable: bool = enable_setting(NAME, "Log users in from a text file.")
    passwd_file: Pattern = setting(
        "auth-flatfile-passwd-file",
        Kind("absolute path with $(domain)", _path),
        default=None,
        summary="The file, with a line LOCAL_PART:PASSWORD for each user; $(domain) stands for the domain in "
        "the login. run-as must be able to read it.",
        example="/etc/vmail/passwd/$(domain)",
    )
    mail_user: str = mail_user_setting(NAME)
    mailbox: tuple[Pattern, ...] = mailbox_setting(NAME)
    mail_group: str = mail_group_setting(NAME)

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Yield what is missing when the driver is on."""
        return missing(NAME, self)


class FlatFiles:
    """The files.

    Args:
        path: where they are.
        log: for lines that make no sense.
    """

    def __init__(self, path: Pattern, log: Log) -> None:
        self._path = path
        self._log = log

    def find(self, local_part: str, domain: str) -> str | None:
        """Return a stored password; None if no file knows the name.

        Raises:
            Unreadable: the file cannot be read.
        """
        if ":" in local_part:
            return None
        try:
            path = self._path.expand(Identity("", NAME, 0, 0, domain=domain))
        except MaildropError:
            return None  # a domain of that name is nobody's
        try:
            with open(path, "rb", opener=_open) as file:
                return self._search(path, file, local_part.encode())
        except FileNotFoundError as error:
            if path != self._path.text:
                return None
            raise Unreadable(f"{path}: {error.strerror}") from None
        except OSError as error:
            raise Unreadable(f"{path}: {error.strerror}") from None

    def _search(self, path: str, file: Iterator[bytes], wanted: bytes) -> str | None:
        strange = first = 0
        found = None
        for number, line in enumerate(file, 1):
            name, colon, rest = line.rstrip(b"\r\n").partition(b":")
            if not colon:
                strange, first = strange + 1, first or number
            elif name == wanted:
                found = rest.partition(b":")[0].decode("utf-8", "surrogateescape")
                break
        if strange:
            where = f"{printable(path)}, line {first}"
            text = f"auth-{NAME}: {where}: there is no colon, in {strange} lines; they are passed over"
            self._log.once(text, _QUIET, WARNING, text)
        return found


def _open(path: str, flags: int) -> int:
    """Open a file that is one, without waiting for the other end of a pipe."""
    fd = os.open(path, flags | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(0, "is no regular file")
    return fd


def make(settings: FlatfileSettings, tools: Tools) -> Driver:
    """Make the driver.

    Raises:
        KeyError: there is no such account or group.
    """
    owner = tools.owner(settings.mail_group).of(settings.mail_user)
    return HashFile(NAME, FlatFiles(settings.passwd_file, tools.log), owner, tools)


PLUGIN = Plugin(NAME, FlatfileSettings, make)
