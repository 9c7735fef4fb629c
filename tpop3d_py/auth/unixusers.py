"""Unix users who log in themselves, for auth-passwd and auth-pam.

Only plain names are theirs, and root is nobody: its mail is never served, so its password need not be tried
here either.  The name that counts is the one of the machine's list, also where that finds it under another.

When things fail: a list that cannot be asked knows nobody; that is all that the C library tells.
"""

from __future__ import annotations

import pwd

from tpop3d_py.auth.names import Attempt
from tpop3d_py.contracts import Identity


def find(attempt: Attempt) -> pwd.struct_passwd | None:
    """Return the Unix user that a reading of a login names; None if there is none, or it is root."""
    if attempt.local_part is not None:
        return None
    try:
        entry = pwd.getpwnam(attempt.user)
    except (KeyError, ValueError):
        return None
    return entry if entry.pw_uid else None


def identity(driver: str, attempt: Attempt, entry: pwd.struct_passwd, group: int | None) -> Identity:
    """Return whose mail a Unix user reads: his own.

    Args:
        driver: who vouches for it.
        attempt: the login.
        entry: the user.
        group: to work with; None: his own.
    """
    gid = entry.pw_gid if group is None else group
    return Identity(
        user=entry.pw_name,
        driver=driver,
        uid=entry.pw_uid,
        gid=gid,
        domain=attempt.domain or "",
        home=entry.pw_dir,
    )
