"""Directives of tpop3d 1.5 that this version knows but does not obey yet.

They are mistakes, not warnings: a file that says ``apop-only: yes`` must not
start a server that takes plain passwords.
"""

from __future__ import annotations

_NOT_YET = frozenset(
    {
        "apop-only",
        "authcache-enable",
        "authcache-entry-lifetime",
        "authcache-use-client-host",
        "drac-server",
        "lowercase-mailbox",
        "maildir-evaluate-filename",
        "maildir-exclusive-lock",
        "maildir-ignore-folders",
        "maildir-recursion",
        "maildir-size-string",
        "mailspool-index",
        "no-commit-on-early-close",
        "onlogin-child-wait",
        "permit-empty-password",
        "permit-empty-passwords",
        "tcp-send-buffer",
        "tcp-wrappers-name",
        "tls-no-bug-workarounds",
        "uidl-style",
        "whoson-enable",
    }
)
_DRIVERS = ("auth-flatfile-", "auth-gdbm-", "auth-ldap-", "auth-mysql-", "auth-other-", "auth-passwd-")
_MORE_DRIVERS = ("auth-perl-", "auth-pgsql-")


def is_known(name: str) -> bool:
    """Tell whether a directive belongs to the ancestor."""
    return name in _NOT_YET or name.startswith(_DRIVERS + _MORE_DRIVERS)
