"""The virtual domain of a listener that was not given one: found by the local address of each connection.

Rules, which are the ancestor's: with ``/REGEX/`` the domain is what its group takes of a name that reverse
DNS gives the address, else the address itself; without, it is what stands behind the first dot of such a
name, else the machine's own name, else ``x.invalid``.

When things fail: there is always a domain, at the latest when the resolver's patience ends.
"""

from __future__ import annotations

import functools
import re
import socket

from tpop3d_py.server.hosts import Resolver

DOMAIN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
_ADDRESSES_KEPT = 4096
#: Classes of POSIX, which the ancestor's expressions may use and Python's do not know.
_CLASSES = {
    "alpha": "A-Za-z",
    "digit": "0-9",
    "alnum": "A-Za-z0-9",
    "lower": "a-z",
    "upper": "A-Z",
    "space": r"\s",
    "xdigit": "0-9A-Fa-f",
    "punct": r"!-/:-@\[-`{-~",
}


class Naming:
    """Finds the domain of connections.

    Args:
        resolver: gives addresses their names.
        pattern: takes the domain out of a name; None: what is behind the first dot.
        hosts: first parts of names that clients ask for which are not part of a mail domain.
    """

    def __init__(
        self, resolver: Resolver, pattern: re.Pattern[str] | None, hosts: frozenset[str] = frozenset()
    ) -> None:
        self._names = resolver.names
        self._pattern = pattern
        self._hosts = hosts
        self._domain = functools.lru_cache(_ADDRESSES_KEPT)(self._choose)
        self._machine = machine_domain()

    def known(self, address: str) -> str:
        """Return the domain of a local address; empty while it is worth while to ask again."""
        address = address.partition("%")[0]  # a zone is this machine's, and in no name
        names = self._names(address)
        return "" if names is None else self._domain(address, names)

    def of_name(self, name: str) -> str:
        """Return the domain that goes with a name a client has asked for; empty if none does."""
        if not DOMAIN.fullmatch(name):
            return ""
        return mail_domain(name, self._hosts) if self._pattern is None else _taken(self._pattern, name)

    def _choose(self, address: str, names: tuple[str, ...]) -> str:
        if self._pattern is None:
            return _behind_the_dot(names) or self._machine
        return next(filter(None, (_taken(self._pattern, name) for name in names)), address)


def compile_pattern(text: str) -> re.Pattern[str]:
    """Read an expression as it is written between slashes.

    Raises:
        ValueError: it is none, or has not exactly one group.
    """
    try:
        pattern = re.compile(re.sub(r"\[:([a-z]+):\]", _posix_class, text), re.IGNORECASE)
    except re.error as error:
        raise ValueError(f"/{text}/: {error}") from None
    if pattern.groups != 1:
        raise ValueError(f"/{text}/ needs exactly one pair of parentheses, around the domain")
    return pattern


def mail_domain(name: str, hosts: frozenset[str]) -> str:
    """Take the mail domain out of the name of a server.

    Args:
        name: in lower case.
        hosts: first parts that do not belong to the domain, such as ``mail``.
    """
    host, _, rest = name.partition(".")
    return rest if host in hosts and "." in rest else name


def machine_domain() -> str:
    """Return what a machine without any other name stands for."""
    node = socket.gethostname()
    return node.lower() if DOMAIN.fullmatch(node) else "x.invalid"


def _taken(pattern: re.Pattern[str], name: str) -> str:
    found = pattern.search(name)
    return found[1].lower() if found and found[1] and DOMAIN.fullmatch(found[1]) else ""


def _posix_class(found: re.Match[str]) -> str:
    if found[1] not in _CLASSES:
        raise re.error(f"there is no class [:{found[1]}:]")
    return _CLASSES[found[1]]


def _behind_the_dot(names: tuple[str, ...]) -> str:
    for name in names:
        host, dot, domain = name.partition(".")
        if host and dot and DOMAIN.fullmatch(domain):
            return domain.lower()
    return ""
