"""How a component declares the directives it obeys.

A group of settings is a frozen dataclass beside the component; each field is
made by `setting()` and so carries the directive's name, its kind (type and
bounds), default and a sentence for the operator.  The configuration reader, the
sample file and the reference page all come from these declarations.

When things fail: a kind's `parse` raises `ValueError` with a sentence that the
reader prints behind file and line.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_KEY = "tpop3d_py.setting"


@dataclasses.dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """A type of value: how it is read, written and described."""

    name: str
    parse: Callable[[str], T]
    show: Callable[[T], str] = str


@dataclasses.dataclass(frozen=True, slots=True)
class Declaration:
    """One directive, as documented to the operator."""

    name: str
    field: str
    kind: Kind[Any]
    default: Any
    summary: str
    example: str
    secret: bool

    @property
    def default_text(self) -> str:
        """The default as it would be written in a file; empty if there is none."""
        return "" if self.default is None else self.kind.show(self.default)


def setting(
    name: str, kind: Kind[T], *, default: T | None, summary: str, example: str = "", secret: bool = False
) -> Any:
    """Declare a directive as a field of a settings dataclass.

    Args:
        name: the directive, for example ``timeout-seconds``.
        kind: type and bounds.
        default: value when the file does not say; None if there is none.
        summary: one sentence for the operator.
        example: a value for the sample file where the default is empty.
        secret: never shown by any command.
    """
    details = {"name": name, "kind": kind, "summary": summary, "example": example, "secret": secret}
    return dataclasses.field(default=default, metadata={_KEY: details})


def declarations(group: type[Any]) -> list[Declaration]:
    """List the directives that a settings dataclass declares, in order."""
    return [
        Declaration(field=f.name, default=f.default, **f.metadata[_KEY])
        for f in dataclasses.fields(group)
        if _KEY in f.metadata
    ]


def build(group: type[T], values: Mapping[str, Any]) -> T:
    """Make one settings object from values keyed by directive name; foreign names are ignored."""
    return group(**{d.field: values[d.name] for d in declarations(group) if d.name in values})


# --- kinds -----------------------------------------------------------------


def _boolean(word: str) -> bool:
    if word in ("yes", "true"):
        return True
    if word in ("no", "false"):
        return False
    raise ValueError("must be yes or no")


#: ``yes`` or ``no``.  tpop3d took everything but ``yes`` and ``true`` for no, in silence; we refuse it.
BOOLEAN: Kind[bool] = Kind("yes or no", _boolean, lambda value: "yes" if value else "no")


def integer(minimum: int, maximum: int = 2**31 - 1, unit: str = "") -> Kind[int]:
    """Make a kind for decimal whole numbers between two bounds, both allowed."""

    def parse(word: str) -> int:
        if not (word.isascii() and word.removeprefix("-").isdigit() and len(word) <= 12):
            raise ValueError("must be a whole number")
        value = int(word)
        if not minimum <= value <= maximum:
            raise ValueError(f"must be between {minimum} and {maximum}")
        return value

    return Kind(f"whole number{f' of {unit}' if unit else ''}, {minimum} to {maximum}", parse)


def seconds(minimum: float, maximum: float) -> Kind[float]:
    """Make a kind for a duration in seconds, fractions allowed."""

    def parse(word: str) -> float:
        try:
            value = float(word)
        except ValueError:
            raise ValueError("must be a number of seconds") from None
        if not minimum <= value <= maximum:  # also refuses nan
            raise ValueError(f"must be between {minimum:g} and {maximum:g} seconds")
        return value

    return Kind(f"seconds, {minimum:g} to {maximum:g}", parse, lambda value: f"{value:g}")


def _text(word: str) -> str:
    if not word:
        raise ValueError("must not be empty")
    return word


TEXT: Kind[str] = Kind("text", _text)


def _absolute(word: str) -> str:
    if not word.startswith("/"):
        raise ValueError("must be an absolute path")
    return word


PATH: Kind[str] = Kind("absolute path", _absolute)


def choice(*words: str) -> Kind[str]:
    """Make a kind for one word out of a few."""

    def parse(word: str) -> str:
        if word not in words:
            raise ValueError(f"must be one of: {', '.join(words)}")
        return word

    return Kind(" or ".join(words), parse)


def words_of(
    name: str, parse_one: Callable[[str], T], show_one: Callable[[T], str] = str
) -> Kind[tuple[T, ...]]:
    """Make a kind for a list split on blanks."""

    def parse(text: str) -> tuple[T, ...]:
        return tuple(parse_one(word) for word in text.split())

    def show(values: Iterable[T]) -> str:
        return " ".join(show_one(value) for value in values)

    return Kind(name, parse, show)
