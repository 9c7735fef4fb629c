"""From a configuration file to one settings object per component.

Values are parsed by the kinds that the components declared, all mistakes are
collected, and only a file without any gives a `Configuration`.

When things fail: `ConfigError`, whose text has one line per mistake with file,
line, directive and the nearest known name.  Things that are legal but probably
not meant (a repeated directive, a password in a file that everybody can read)
are warnings of the `Configuration`.
"""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import Iterable, Sequence, Set
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

from tpop3d_py.config import ancestor, grammar
from tpop3d_py.config.grammar import Entry, Place, Problem
from tpop3d_py.settings import Declaration, build, declarations

T = TypeVar("T")


@runtime_checkable
class Checked(Protocol):
    """A settings group with rules between its directives."""

    def conflicts(self) -> Iterable[tuple[str, str]]:
        """Yield (directive, what is wrong with it) for each broken rule."""


class ConfigError(Exception):
    """A configuration with mistakes; its text lists them all, one per line."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class Configuration:
    """The settings of every component, and what an operator should look at."""

    def __init__(self, groups: dict[type[Any], Any], warnings: Sequence[str], files: Sequence[str]) -> None:
        self._groups = groups
        self.warnings = tuple(warnings)
        self.files = tuple(files)

    def get(self, group: type[T]) -> T:
        """Return the settings of one component."""
        return cast("T", self._groups[group])


def load(path: str, groups: Sequence[type[Any]], *, foreign: Sequence[type[Any]] = ()) -> Configuration:
    """Read a file into settings.

    Args:
        path: the file.
        groups: settings dataclasses to fill.
        foreign: groups of other programs that may share the file; their values are checked and dropped.

    Raises:
        ConfigError: the file, or one it includes, cannot be read or has mistakes.
    """
    reading = grammar.read(path)
    known = {d.name: d for group in (*groups, *foreign) for d in declarations(group)}
    problems = list(reading.problems)
    kept, warnings = _first_of_each(reading.entries)
    values = _parse(kept, known, problems)
    built = {group: build(group, values) for group in groups}
    if reading.complete:
        # What a value broke is reported once, as that value's mistake.
        broken = kept.keys() - values.keys()
        problems += _conflicts(built.values(), kept, Place(path, 0), broken)
    if problems:
        raise ConfigError(sorted(problems, key=lambda p: (p.place.file != path, p.place.file, p.place.line)))
    warnings += _readable_secrets(kept, known)
    return Configuration(built, warnings, reading.files)


def _first_of_each(entries: Iterable[Entry]) -> tuple[dict[str, Entry], list[str]]:
    """Keep the first of repeated directives, as the ancestor does."""
    kept: dict[str, Entry] = {}
    warnings = []
    for entry in entries:
        first = kept.setdefault(entry.name, entry)
        if first is not entry:
            warnings.append(
                f"{entry.place}: {entry.name} was set at {first.place} already; that value is kept"
            )
    return kept, warnings


def _parse(kept: dict[str, Entry], known: dict[str, Declaration], problems: list[Problem]) -> dict[str, Any]:
    values = {}
    for entry in kept.values():
        declaration = known.get(entry.name)
        if declaration is None:
            problems.append(Problem(entry.place, _unknown(entry.name, known)))
            continue
        try:
            values[entry.name] = declaration.kind.parse(entry.value)
        except ValueError as error:
            problems.append(Problem(entry.place, f"{entry.name}: {error}"))
    return values


def _unknown(name: str, known: Iterable[str]) -> str:
    if explanation := ancestor.explain(name):
        return f"{name}: {explanation}"
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"unknown directive {name!r}" + (f"; did you mean {near[0]}?" if near else "")


def _conflicts(
    groups: Iterable[Any], kept: dict[str, Entry], nowhere: Place, broken: Set[str]
) -> list[Problem]:
    return [
        Problem(kept[name].place if name in kept else nowhere, f"{name}: {text}")
        for group in groups
        if isinstance(group, Checked)
        for name, text in group.conflicts()
        if name not in broken
    ]


def _readable_secrets(kept: dict[str, Entry], known: dict[str, Declaration]) -> list[str]:
    warnings = []
    for name, entry in kept.items():
        if known[name].secret and os.stat(entry.place.file).st_mode & stat.S_IROTH:
            warnings.append(f"{entry.place}: everybody on this machine can read {name}; chmod o-r the file")
    return warnings
