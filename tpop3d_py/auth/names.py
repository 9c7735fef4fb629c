"""Login names: how one name from the wire becomes the names that drivers are asked about.

`jan@klient1.pl`, `jan!klient1.pl` and, with ``append-domain``, a bare `jan` on
the listener of klient1.pl mean the same mailbox.  The order of the attempts is
the ancestor's; a name with a separator never falls back to the listener's
domain.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tpop3d_py.settings import BOOLEAN, TEXT, setting


@dataclass(frozen=True, slots=True)
class NameSettings:
    """Login names."""

    append_domain: bool = setting(
        "append-domain",
        BOOLEAN,
        default=False,
        summary="Ask for a name without a domain again with the domain of the listener.",
    )
    strip_domain: bool = setting(
        "strip-domain",
        BOOLEAN,
        default=False,
        summary="Ask for a name with a domain again as a plain Unix user without it.",
    )
    separators: str = setting(
        "domain-separators",
        TEXT,
        default="@%!:",
        summary="Characters that may stand between user and domain in a login name; the first found counts.",
    )
    lowercase: bool = setting(
        "lowercase-user",
        BOOLEAN,
        default=False,
        summary="Turn login names to lower case before any driver sees them.",
    )

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Yield what contradicts itself."""
        if self.append_domain and self.strip_domain:
            yield "strip-domain", "append-domain and strip-domain exclude each other"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One way to read a login name.

    Args:
        user: the name as a whole.
        local_part: the part before the separator; None if the name is a plain one.
        domain: the virtual domain; None if there is none to speak of.
    """

    user: str
    local_part: str | None
    domain: str | None


def attempts(name: str, listener_domain: str, settings: NameSettings) -> Iterator[Attempt]:
    """Yield the readings of a login name, in the order in which drivers are to be asked."""
    if settings.lowercase:
        name = name.lower()
    local_part, domain = _split(name, settings.separators)
    if domain is not None:
        yield Attempt(name, local_part, domain)
        if settings.strip_domain and local_part is not None:
            yield Attempt(local_part, None, None)
        return
    yield Attempt(name, None, listener_domain)
    if settings.append_domain:
        yield Attempt(name, name, listener_domain)


def account_name(attempt: Attempt) -> str:
    """Write a reading of a login name as the account's name, the same for all ways to write it."""
    return sent_name(attempt).lower()


def sent_name(attempt: Attempt) -> str:
    """Write it with its capitals, for where they make another account."""
    if attempt.local_part is None or attempt.domain is None:
        return attempt.user
    return f"{attempt.local_part}@{attempt.domain}"


def _split(name: str, separators: str) -> tuple[str | None, str | None]:
    """Split at the first separator that has something on both sides of it."""
    found = min((i for i in map(name.find, separators) if i >= 0), default=-1)
    if found <= 0 or found == len(name) - 1:
        return None, None
    return name[:found], name[found + 1 :]
