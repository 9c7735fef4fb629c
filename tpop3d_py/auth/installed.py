"""Which authentication drivers there are: our own, in the ancestor's order, and those of other packages.

When things fail: `DriverError` for a driver of another package that cannot be loaded, is none, or takes
directives that are not its own.  The server does not start then: a driver that is silently missing
would answer "unknown user" to everybody it knows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from tpop3d_py.auth.drivers import (
    directory,
    flatfile,
    gdbm,
    ldap,
    mysql,
    other,
    pam,
    passwd,
    pgsql,
    python,
    sqlite,
)
from tpop3d_py.auth.plugin import DriverError, Plugin
from tpop3d_py.settings import Kind, declarations, setting

#: The entry point group of other packages' drivers.
ENTRY_POINTS = "tpop3d_py.auth"
#: Our own drivers, in the order in which they are asked when nobody says otherwise: the ancestor's.
BUILT_IN: tuple[Plugin[Any], ...] = (
    pam.PLUGIN,
    passwd.PLUGIN,
    mysql.PLUGIN,
    pgsql.PLUGIN,
    sqlite.PLUGIN,
    directory.PLUGIN,
    ldap.PLUGIN,
    other.PLUGIN,
    python.PLUGIN,
    flatfile.PLUGIN,
    gdbm.PLUGIN,
)
_NAME = re.compile(r"[a-z][a-z0-9]*")


@cache
def drivers() -> tuple[Plugin[Any], ...]:
    """Return all drivers, in the order in which they are asked when nobody says otherwise.

    Other packages' are looked for once, and come last, by name.

    Raises:
        DriverError: one of them cannot be used.
    """
    return (*BUILT_IN, *load(entry_points(group=ENTRY_POINTS)))


def load(found: Iterable[EntryPoint]) -> list[Plugin[Any]]:
    """Load other packages' drivers.

    Raises:
        DriverError: one of them cannot be used.
    """
    plugins: dict[str, Plugin[Any]] = {}
    for entry in sorted(found, key=lambda entry: entry.name):
        if entry.name in plugins or any(entry.name == plugin.name for plugin in BUILT_IN):
            raise DriverError(f"{_source(entry)}: there is another driver of this name")
        plugins[entry.name] = _load_one(entry)
    return list(plugins.values())


def _load_one(entry: EntryPoint) -> Plugin[Any]:
    try:
        plugin = entry.load()
    except Exception as error:  # foreign code, at start: whatever it raises is for the operator
        raise DriverError(f"{_source(entry)}: {type(error).__name__}: {error}") from error
    if not isinstance(plugin, Plugin):
        raise DriverError(f"{_source(entry)}: is no Plugin of tpop3d_py.auth.plugin")
    if problem := _problem(entry.name, plugin):
        raise DriverError(f"{_source(entry)}: {problem}")
    return plugin


def _problem(name: str, plugin: Plugin[Any]) -> str:
    if not _NAME.fullmatch(name) or plugin.name != name:
        return (
            f"entry point and driver must have one name of lower-case letters and digits, not {plugin.name!r}"
        )
    try:
        declared = declarations(plugin.settings)
        plugin.settings()
    except Exception as error:
        return f"its settings are no group of settings: {error}"
    if foreign := [d.name for d in declared if not d.name.startswith(f"auth-{name}-")]:
        return f"its directives must begin with auth-{name}-: {', '.join(foreign)}"
    if not any(d.field == "enable" and d.name == f"auth-{name}-enable" for d in declared):
        return f"has no directive auth-{name}-enable"
    return ""


def _source(entry: EntryPoint) -> str:
    package = f" of {entry.dist.name}" if entry.dist is not None else ""
    return f"authentication driver {entry.name}{package} ({entry.value})"


def _name(word: str) -> str:
    if word not in (names := [plugin.name for plugin in drivers()]):
        raise ValueError(f"{word}: no such driver; there are {', '.join(names)}")
    return word


def _order(text: str) -> tuple[str, ...]:
    names = tuple(_name(word) for word in text.split())
    if len(set(names)) < len(names):
        raise ValueError("names a driver twice")
    return names


@dataclass(frozen=True, slots=True)
class OrderSettings:
    """The order of authentication drivers."""

    order: tuple[str, ...] = setting(
        "auth-order",
        Kind("list of drivers", _order, " ".join),
        default=tuple(plugin.name for plugin in BUILT_IN),
        summary="In which order the drivers that are on are asked; those not named here come after, in the "
        "order of the default. The first that grants a login decides. A driver that cannot tell, because its "
        "database is away, ends the search: whoever is behind it might not be asked by rights.",
    )


def arranged(order: Iterable[str]) -> list[Plugin[Any]]:
    """Return all drivers, those named first."""
    rest = {plugin.name: plugin for plugin in drivers()}
    first = [rest.pop(name) for name in order]
    return [*first, *rest.values()]
