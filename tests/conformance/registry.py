"""What a check is: a function with a place in an RFC, and how a check says what it found.

A check returns when all is well.  It raises `Failed` (best through `expect`) when the server does something
else, and `NotApplicable` when the server does not offer what the check is about or the maildrop has nothing
to try it on.  Checks judge signs (``+OK``, ``-ERR``), numbers, octets and response codes, never words.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from tests.conformance.site import Site


class Level(Enum):
    """How binding a rule is."""

    MUST = "must"  #: the RFC requires it, or a client loses mail or synchronization without it
    SHOULD = "should"  #: the RFC recommends it, or leaves little other choice
    CARE = "care"  #: no RFC asks for it; a careful server does it


class Failed(Exception):
    """The server does not do what the check asks for."""


class NotApplicable(Exception):
    """The check cannot be tried on this server, with this maildrop, or with these options."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check.

    Args:
        name: module and function, and the case in brackets.
        rfc: number of the RFC; empty if there is none.
        section: of the RFC.
        title: what is true of a server that passes.
        level: how binding it is.
        destructive: whether it may remove mail.
        run: does it.
    """

    name: str
    rfc: str
    section: str
    title: str
    level: Level
    destructive: bool
    run: Callable[[Site], None]

    @property
    def source(self) -> str:
        """Where it is written."""
        return f"RFC {self.rfc} section {self.section}" if self.rfc else "practice"


CHECKS: list[Check] = []
T = TypeVar("T")
CheckFunction = Callable[["Site"], None]


def check(
    rfc: str, section: str, title: str, *, level: Level = Level.MUST, destructive: bool = False
) -> Callable[[CheckFunction], CheckFunction]:
    """Enter a function into the list."""

    def enter(function: CheckFunction) -> CheckFunction:
        CHECKS.append(Check(_name(function), rfc, section, title, level, destructive, function))
        return function

    return enter


def check_each(
    cases: Mapping[str, T], rfc: str, section: str, title: str, *, level: Level = Level.MUST
) -> Callable[[Callable[[Site, T], None]], Callable[[Site, T], None]]:
    """Enter a function once for each case; ``{}`` in the title stands for the case's name."""

    def enter(function: Callable[[Site, T], None]) -> Callable[[Site, T], None]:
        for label, case in cases.items():
            run = functools.partial(_with_case, function, case)
            name = f"{_name(function)}[{label}]"
            CHECKS.append(Check(name, rfc, section, title.format(label), level, False, run))
        return function

    return enter


def _with_case(function: Callable[[Site, T], None], case: T, site: Site) -> None:
    function(site, case)


def _name(function: Callable[..., None]) -> str:
    return f"{function.__module__.rpartition('.')[2]}.{function.__name__}"


def expect(condition: object, message: str) -> None:
    """Fail with a message unless the condition is true."""
    if not condition:
        raise Failed(message)


def expect_equal(found: object, wanted: object, what: str) -> None:
    """Fail unless two values are equal, and show both, shortened."""
    if found != wanted:
        raise Failed(f"{what}: found {_short(found)}, expected {_short(wanted)}")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:120]} ... {text[-60:]} ({len(text)} characters)"
