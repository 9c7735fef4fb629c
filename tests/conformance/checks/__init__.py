"""The checks, by subject; `ALL_MODULES` is the order in which they run."""

from __future__ import annotations

from types import ModuleType

from tests.conformance.checks import (
    capabilities,
    connection,
    deletion,
    language,
    lines,
    listings,
    login,
    numbers,
    pipelining,
    retrieval,
    sasl,
    scram,
    states,
    tls,
    top,
    update,
)

ALL_MODULES: tuple[ModuleType, ...] = (
    connection,
    lines,
    states,
    login,
    capabilities,
    sasl,
    scram,
    tls,
    listings,
    numbers,
    retrieval,
    top,
    deletion,
    pipelining,
    language,
    update,
)
