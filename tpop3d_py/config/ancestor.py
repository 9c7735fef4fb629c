"""Directives of tpop3d 1.5 that this version knows but does not obey yet.

They are mistakes, not warnings: a file that says ``tcp-wrappers-name: pop`` must not
start a server that lets everybody in.
"""

from __future__ import annotations

_NOT_YET = frozenset(
    {
        "drac-server",
        "onlogin-child-wait",
        "tcp-wrappers-name",
        "whoson-enable",
    }
)
_DRIVERS = ("auth-flatfile-", "auth-gdbm-", "auth-ldap-", "auth-mysql-", "auth-passwd-")
_MORE_DRIVERS = ("auth-perl-", "auth-pgsql-")


def is_known(name: str) -> bool:
    """Tell whether a directive belongs to the ancestor."""
    return name in _NOT_YET or name.startswith(_DRIVERS + _MORE_DRIVERS)
