"""Giving root up for good, and what every process of ours does to itself.

When things fail: `PrivilegeError`; a process that could not give everything up
must not go on.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import pwd
import resource
import signal
from collections.abc import Iterable

_PR_SET_PDEATHSIG = 1
_PR_CAPBSET_DROP = 24
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
    if account is None:
        _forbid_new_privileges()
    else:
        become(account.pw_uid, account.pw_gid, {*os.getgrouplist(user, account.pw_gid), *extra_groups})


def become(uid: int, gid: int, groups: Iterable[int]) -> None:
    """Have root become these ids and keep nothing of root, without any way back.

    Args:
        uid: not 0.
        gid: not 0.
        groups: supplementary groups; root's is left out.

    Raises:
        PrivilegeError: an id is root's, or something of root is left.
    """
    if uid <= 0 or gid <= 0:
        raise PrivilegeError(f"uid {uid} and gid {gid} are not to be served")
    _empty_bounding_set()
    os.setgroups(sorted({*groups} - {0}))
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    _verify(uid, gid)
    _forbid_new_privileges()


def _empty_bounding_set() -> None:
    """Let no program that is executed later have a capability, whatever its file says (capabilities(7)).

    Who started us may have left us without CAP_SETPCAP, which this needs; then the set stays what he has
    made of it, and that no new privileges are to be had has to do.
    """
    capability = 0
    while _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) == 0:
        capability += 1
    if ctypes.get_errno() not in (errno.EINVAL, errno.EPERM):  # the first says that there are no more of them
        raise PrivilegeError(f"capability bounding set: {os.strerror(ctypes.get_errno())}")


def _forbid_new_privileges() -> None:
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
