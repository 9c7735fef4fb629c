"""The directories of domains on the disk.

This is the only part of the directory that touches files, and it may run as
root.  It never follows a symbolic link at the last step, changes owner and mode
through the descriptor of what it has just made or checked, and removes nothing
but an empty directory that it made itself a moment ago.

When things fail: `Refused` with one line; what was made is taken away again.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import pwd
import stat
from collections.abc import Iterator

from tpop3d_py.directory.errors import AlreadyThere, NotFound, Refused
from tpop3d_py.log import printable

#: The owner works in it, the group may look, others see nothing.
_MODE = 0o750
_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def owner(unix_user: str) -> pwd.struct_passwd:
    """Look up the account that is to own a domain's mail.

    Raises:
        Refused: it does not exist, is root, or only root could give files to it.
    """
    try:
        account = pwd.getpwnam(unix_user)
    except (KeyError, ValueError):  # ValueError: a NUL in the name
        raise NotFound(f"Unix user '{printable(unix_user)}' does not exist") from None
    if account.pw_uid == 0:
        raise Refused("mail must not belong to root; name another Unix user")
    if os.geteuid() not in (0, account.pw_uid):
        me = os.geteuid()
        raise Refused(f"only root can make a directory for '{printable(unix_user)}'; you are user id {me}")
    return account


@contextlib.contextmanager
def domain_directory(path: str, account: pwd.struct_passwd) -> Iterator[None]:
    """Make a domain's directory for the time of the block, and for good if the block ends well.

    A directory that exists already is accepted if it is a real one, belongs to the account and
    cannot be changed by others.

    Args:
        path: absolute and normalized; its parent is made too if that is all that is missing.
        account: who is to own it.

    Raises:
        Refused: it cannot be made, or what is there cannot be used.
    """
    parent, name = posixpath.split(path)
    try:
        parent_fd = _open_parent(parent)
        try:
            created = _make(parent_fd, name, path, account)
            try:
                yield
            except BaseException:
                if created:
                    _remove(parent_fd, name)
                raise
        finally:
            os.close(parent_fd)
    except OSError as error:
        raise Refused(f"directory '{printable(path)}': {error.strerror}") from error


def _open_parent(parent: str) -> int:
    # A fresh machine has /var/spool/mail, but not the SERVERS below it.
    with contextlib.suppress(FileExistsError):
        os.mkdir(parent, 0o755)
    return os.open(parent, _OPEN_DIRECTORY)


def _make(parent_fd: int, name: str, path: str, account: pwd.struct_passwd) -> bool:
    try:
        os.mkdir(name, 0o700, dir_fd=parent_fd)
    except FileExistsError:
        _check_existing(parent_fd, name, path, account)
        return False
    try:
        _hand_over(parent_fd, name, account)
    except BaseException:
        _remove(parent_fd, name)
        raise
    return True


def _hand_over(parent_fd: int, name: str, account: pwd.struct_passwd) -> None:
    fd = os.open(name, _OPEN_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent_fd)
    try:
        # Between mkdir and open somebody who may write in the parent could have put his own there.
        if os.fstat(fd).st_uid != os.geteuid():
            raise Refused(f"directory '{printable(name)}' was replaced while it was made")
        if os.geteuid() == 0:
            os.fchown(fd, account.pw_uid, account.pw_gid)
        os.fchmod(fd, _MODE)  # also against the umask, and against a setgid bit of /var/mail
    finally:
        os.close(fd)


def _check_existing(parent_fd: int, name: str, path: str, account: pwd.struct_passwd) -> None:
    found = os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
    if not stat.S_ISDIR(found.st_mode):
        raise Refused(f"'{printable(path)}' exists and is not a directory")
    if found.st_uid != account.pw_uid:
        raise Refused(f"directory '{printable(path)}' exists and does not belong to '{account.pw_name}'")
    if found.st_mode & stat.S_IWOTH:
        raise Refused(f"directory '{printable(path)}' exists and everybody may write in it")


def _remove(parent_fd: int, name: str) -> None:
    # Not empty or gone: then it is no longer only ours, and stays.
    with contextlib.suppress(OSError):
        os.rmdir(name, dir_fd=parent_fd)


def refuse_old_mail(path: str, mbox_name: str) -> None:
    """Make sure that a new box begins empty: its new owner must not read an old owner's mail.

    Args:
        path: the domain's directory.
        mbox_name: file of the box below it.

    Raises:
        AlreadyThere: the file or maildir exists.
        Refused: the directory does not exist or cannot be looked into.
    """
    try:
        if not stat.S_ISDIR(os.stat(path).st_mode):
            raise Refused(f"'{printable(path)}' is not a directory")
    except FileNotFoundError:
        raise Refused(f"directory '{printable(path)}' of the domain does not exist") from None
    except OSError as error:
        raise Refused(f"directory '{printable(path)}': {error.strerror}") from error
    file = mailbox_path(path, mbox_name)
    with contextlib.suppress(FileNotFoundError):
        _stat(file.rstrip("/"))
        raise AlreadyThere(
            f"'{printable(file)}' holds mail of an earlier box; move it away, or use --adopt to hand it over"
        )


def _stat(file: str) -> os.stat_result:
    try:
        return os.stat(file, follow_symlinks=False)
    except FileNotFoundError:
        raise
    except OSError as error:  # cannot look is not "nothing there"
        raise Refused(f"'{printable(file)}': {error.strerror}") from error


def mailbox_path(path: str, mbox_name: str) -> str:
    """Join a domain's directory and a box's file; empty if either is missing."""
    return f"{path.rstrip('/')}/{mbox_name}" if path and mbox_name else ""
