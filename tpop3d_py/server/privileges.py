"""Giving root up for good, and what every process of ours does to itself.

When things fail: `PrivilegeError`; a process that could not give everything up
must not go on.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import resource
import signal
from collections.abc import Iterable

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_libc = ctypes.CDLL(None, use_errno=True)


class PrivilegeError(Exception):
    """Privileges cannot be given up as asked."""


def check_account(user: str) -> pwd.struct_passwd | None:
    """Find the account that `drop_for_good` would become; None when there is nothing to give up.

    For a start that must still be able to say what is wrong, before it leaves the terminal.

    Raises:
        PrivilegeError: the account does not exist or is root.
    """
    if os.geteuid() != 0:
        return None
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        raise PrivilegeError(f"run-as: there is no Unix account {user!r}") from None
    if account.pw_uid == 0:
        raise PrivilegeError("run-as: mail is never served as root")
    return account


def raise_descriptor_limit(wanted: int) -> int:
    """Let every process of ours hold as many open files as it may; return how many that is.

    The usual soft limit of 1,024 is for programs that use select(2).

    Args:
        wanted: root makes the hard limit this large if it is not.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (max(hard, wanted), hard) if os.geteuid() == 0 else (hard,):
        with contextlib.suppress(OSError, ValueError):  # a container may forbid even root
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
            return limit
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def drop_for_good(user: str, extra_groups: Iterable[int]) -> None:
    """Become a Unix user without any way back; does nothing but forbid new privileges when not root.

    Args:
        user: account to become.
        extra_groups: supplementary groups besides the account's own, for lock files in shared spools.

    Raises:
        PrivilegeError: the account does not exist, is root, or something of root is left.
    """
    account = check_account(user)
    if account is not None:
        groups = {*os.getgrouplist(user, account.pw_gid), *extra_groups} - {0}
        os.setgroups(sorted(groups))
        os.setresgid(account.pw_gid, account.pw_gid, account.pw_gid)
        os.setresuid(account.pw_uid, account.pw_uid, account.pw_uid)
        _verify(account.pw_uid, account.pw_gid)
    # Not even through a set-uid program; inherited by every process made from here on.
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise PrivilegeError(f"no_new_privs: {os.strerror(ctypes.get_errno())}")


def _verify(uid: int, gid: int) -> None:
    if os.getresuid() != (uid,) * 3 or os.getresgid() != (gid,) * 3 or 0 in os.getgroups():
        raise PrivilegeError("privileges were not dropped completely")
    try:
        os.setresuid(0, 0, 0)
    except PermissionError:
        return
    raise PrivilegeError("root could be regained after dropping it")


def die_with(parent: int) -> None:
    """Have the kernel end this process when its parent dies, however it dies.

    Args:
        parent: the parent's pid, to notice that it died before the kernel was told.
    """
    _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
