"""The `mailbox` directive's patterns: where mail lies when a driver does not say.

``[DRIVER:]PATHSPEC`` with ``$(user)``, ``$(local_part)``, ``$(domain)``, ``$(home)``, or one character of
them, ``$(user[0])``, counted from 0 or, if negative, from the end.  Patterns are read once; values are
data and never read again.

Values come from logins.  One that is empty, begins with a dot, or holds ``/``, ``..``, NUL or another
control character could name somebody else's mail or a helper file of ours, and is refused.  ``$(home)``
is a path by nature: it must be absolute and without ``..``.

When things fail: `Pattern.parse` raises `ValueError` with a sentence for the operator, `Pattern.expand`
`MaildropError`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tpop3d_py.contracts import Identity, MaildropError, Reason
from tpop3d_py.log import printable

KINDS = ("bsd", "maildir", "empty")
_NAMES = ("user", "local_part", "domain", "home")
_DRIVER = re.compile(r"([A-Za-z0-9_-]+):(.*)", re.DOTALL)
_VARIABLE = re.compile(r"\$\(([^()\[\]]*)(?:\[([^()\[\]]*)\])?\)")
_INDEX = re.compile(r"-?[0-9]{1,3}")


@dataclass(frozen=True, slots=True)
class Place:
    """One ``$(name)`` or ``$(name[index])`` in a pattern."""

    name: str
    index: int | None

    def pick(self, value: str) -> str:
        """Return a value, or its character at the index; `MaildropError` if there is none."""
        if self.index is None:
            return value
        try:
            return value[self.index]
        except IndexError:
            detail = f"$({self.name}[{self.index}]) does not exist in {printable(value)}"
            raise MaildropError(Reason.MAILBOX, detail) from None


@dataclass(frozen=True, slots=True)
class Pattern:
    """One entry of the `mailbox` directive.

    Args:
        text: as written.
        kind: the driver's name, or empty: told by the path.
        parts: literal text and variables in turn.
    """

    text: str
    kind: str
    parts: tuple[str | Place, ...]

    @classmethod
    def parse(cls, word: str) -> Pattern:
        """Read a pattern; `ValueError` says what is wrong with it."""
        match = _DRIVER.fullmatch(word)
        kind, path = (match[1], match[2]) if match else ("", word)
        if match and kind not in KINDS:
            raise ValueError(f"{word}: unknown mailbox driver {kind}; there are {', '.join(KINDS)}")
        parts = tuple(read_parts(word, path, _NAMES))
        if kind != "empty" and not path.startswith(("/", "$(home)/")):
            raise ValueError(f"{word}: must be an absolute path or begin with $(home)/")
        if ".." in path.split("/"):
            raise ValueError(f"{word}: must not contain ..")
        return cls(word, kind, parts)

    def expand(self, identity: Identity) -> str:
        """Return the path for one login; `MaildropError` if a value is missing or unfit."""
        return "".join(part if isinstance(part, str) else _value(part, identity) for part in self.parts)

    def __str__(self) -> str:
        return self.text


def check_path(path: str) -> None:
    """Refuse a path that a driver gave and that we do not want to follow: `MaildropError`."""
    steps = path.removesuffix("/").split("/")
    # A last step that is empty or "." is the domain's own folder, from a row whose name says nothing.
    if not path.startswith("/") or "\0" in path or ".." in steps or steps[-1] in ("", "."):
        raise MaildropError(Reason.MAILBOX, f"mailbox path is not absolute and plain: {printable(path)}")


def _value(place: Place, identity: Identity) -> str:
    """Return a variable's value for one login; `MaildropError` if that must not be part of a path."""
    value: str = getattr(identity, place.name)
    problem = _problem(value, is_path=place.name == "home")
    if problem:
        raise MaildropError(Reason.MAILBOX, f"$({place.name}) {problem}: {printable(value)}")
    return place.pick(value)


def read_parts(word: str, path: str, names: Sequence[str]) -> list[str | Place]:
    """Split a path into literal text and variables.

    Args:
        word: what the operator wrote, for messages.
        path: what of it is to be split.
        names: the variables that there are.

    Raises:
        ValueError: an unknown variable, or brackets that do not fit.
    """
    parts: list[str | Place] = []
    end = 0
    for match in _VARIABLE.finditer(path):
        name, index = match[1], match[2]
        if name not in names:
            known = ", ".join(f"$({known})" for known in names)
            raise ValueError(f"{word}: unknown variable $({name}); there are {known}")
        if index is not None and not _INDEX.fullmatch(index):
            raise ValueError(f"{word}: [{index}] is not a position")
        parts += [path[end : match.start()], Place(name, None if index is None else int(index))]
        end = match.end()
    parts.append(path[end:])
    if any(isinstance(part, str) and "$(" in part for part in parts):
        raise ValueError(f"{word}: unfinished $(")
    return [part for part in parts if part]


def _problem(value: str, *, is_path: bool) -> str:
    if not value:
        return "has no value"
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in value):
        return "holds control characters"
    if is_path:
        return (
            "" if value.startswith("/") and ".." not in value.split("/") else "is not a plain absolute path"
        )
    if "/" in value or ".." in value or value.startswith("."):
        return "cannot be part of a path"
    return ""
