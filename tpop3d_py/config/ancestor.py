"""Directives of tpop3d 1.5 that this version knows but does not obey yet.

They are mistakes, not warnings: a file that says ``tcp-wrappers-name: pop`` must not
start a server that lets everybody in.
"""

from __future__ import annotations

_NOT_YET = frozenset(
    {
        "drac-server",
        "tcp-wrappers-name",
        "whoson-enable",
    }
)
_PERL = (
    "this server runs no Perl inside; run it as a program by auth-other, or write the subroutines as methods "
    "of a class for auth-python (docs/drivers.md)"
)


def explain(name: str) -> str:
    """Say why a directive of the ancestor is not obeyed; empty if it is none of the ancestor's."""
    if name.startswith("auth-perl-"):
        return _PERL
    if name == "auth-ldap-tls":
        return "only tpop3d's manual calls it so; its program, and this one, call it auth-ldap-use-tls"
    if name == "onlogin-child-wait":
        return "nobody waits for what follows a login here; leave it out (docs/drivers.md, After a login)"
    if name in _NOT_YET:
        return "this directive of tpop3d is not supported by this version"
    return ""
