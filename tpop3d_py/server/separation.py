"""The directives of separated mode: who the processes are, and what bounds them.

When things fail: accounts that do not exist, or that would undo the separation, are a `PrivilegeError`.
"""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass

from tpop3d_py.server.privileges import PrivilegeError
from tpop3d_py.settings import BOOLEAN, PATH, TEXT, integer, setting, words_of


def _folder(word: str) -> str:
    path: str = PATH.parse(word)
    if path.rstrip("/") == "":
        raise ValueError("the root of the file system is no bound")
    return path


@dataclass(frozen=True, slots=True)
class SeparationSettings:
    """Privilege separation, where the server is started as root."""

    enable: bool = setting(
        "privilege-separation",
        BOOLEAN,
        default=False,
        summary="Take what clients send, check passwords and read mail in processes of different Unix "
        "users: see security.md. Mail may then belong to any Unix user, and not only to run-as. Needs "
        "root.",
    )
    net_user: str = setting(
        "net-user",
        TEXT,
        default="nobody",
        summary="Unix user of the processes that talk to clients in separated mode; it should own nothing.",
    )
    auth_user: str = setting(
        "auth-user",
        TEXT,
        default=None,
        summary="Unix user of the processes that check passwords in separated mode; run-as if nothing is "
        "said. Another one is better, but must be able to read what the drivers read after the start, "
        "such as a SQLite directory.",
    )
    first_uid: int = setting(
        "first-uid",
        integer(1, 2**31 - 1),
        default=1000,
        summary="In separated mode mail that belongs to a Unix user with a lower number is not served, "
        "but for that of run-as.",
    )
    mail_owners: int = setting(
        "max-mail-owners",
        integer(1, 400),
        default=100,
        summary="In separated mode each Unix user with an open mailbox has a process of his own, which ends "
        "when it has had nothing to do for a minute; so many there may be besides those of run-as.",
    )
    mail_folders: tuple[str, ...] = setting(
        "mail-folders",
        words_of("list of absolute paths", _folder),
        default=(),
        summary="In separated mode processes that read mail can reach no files but those below these "
        "folders, where the kernel has Landlock. If nothing is said that is mail-root if auth-directory is "
        "the only driver, and else everything that the mailbox's owner can reach.",
        example="/var/spool/mail/SERVERS /home",
    )

    @property
    def wanted(self) -> bool:
        """Whether this process shall serve in separated mode; without root there is nothing to separate."""
        return self.enable and os.geteuid() == 0


@dataclass(frozen=True, slots=True)
class Cast:
    """The accounts of separated mode.

    Args:
        net: talks to clients.
        auth: checks passwords.
        mail: owns the mail of virtual domains.
    """

    net: pwd.struct_passwd
    auth: pwd.struct_passwd
    mail: pwd.struct_passwd


def cast_of(settings: SeparationSettings, run_as: str) -> Cast:
    """Find the accounts.

    Raises:
        PrivilegeError: one does not exist, is root, or is the same as another that it must not be.
    """
    mail = _account("run-as", run_as)
    net = _account("net-user", settings.net_user)
    auth = _account("auth-user", settings.auth_user) if settings.auth_user else mail
    if net.pw_uid in (mail.pw_uid, auth.pw_uid):
        raise PrivilegeError(f"net-user: {net.pw_name} also reads mail or checks passwords; name another one")
    return Cast(net, auth, mail)


def _account(directive: str, name: str) -> pwd.struct_passwd:
    try:
        account = pwd.getpwnam(name)
    except KeyError:
        raise PrivilegeError(f"{directive}: there is no Unix account {name!r}") from None
    if account.pw_uid == 0:
        raise PrivilegeError(f"{directive}: must not be root")
    return account
