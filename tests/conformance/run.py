"""Runs the checks one after the other, and turns whatever happens into a result."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from tests.conformance.checks import ALL_MODULES
from tests.conformance.prepare import Preparer
from tests.conformance.registry import CHECKS, Check, Failed, NotApplicable
from tests.conformance.site import Options, Site


class Outcome(Enum):
    """What came of a check."""

    PASS = "pass"
    FAIL = "fail"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True, slots=True)
class Result:
    """A check and what came of it.

    Args:
        check: that was run.
        outcome: what came of it.
        reason: why it failed or does not apply; empty if it passed.
        dialogue: what was said; only of a check that failed.
        seconds: it took.
    """

    check: Check
    outcome: Outcome
    reason: str = ""
    dialogue: tuple[str, ...] = ()
    seconds: float = 0.0


def run(options: Options, preparer: Preparer | None, only: str = "") -> list[Result]:
    """Prepare the maildrop, then run all checks, those that remove mail last.

    Args:
        options: where the server is.
        preparer: a way into the maildrop.
        only: part of the name of the checks that are wanted; empty: all.

    Raises:
        OSError: nobody can be reached there.
        Failed: the messages cannot be delivered.
    """
    assert ALL_MODULES  # importing them has filled CHECKS
    site = Site(options, preparer)
    site.prepare()
    wanted = [check for check in CHECKS if only in check.name]
    return [_run_one(check, site) for check in sorted(wanted, key=lambda check: check.destructive)]


def _run_one(check: Check, site: Site) -> Result:
    site.dialogues = []
    start = time.monotonic()
    outcome, reason = _try(check, site)
    dialogue = _flat(site.dialogues) if outcome is Outcome.FAIL else ()
    return Result(check, outcome, reason, dialogue, time.monotonic() - start)


def _try(check: Check, site: Site) -> tuple[Outcome, str]:
    if check.destructive and not site.options.destructive:
        return Outcome.NOT_APPLICABLE, "needs --destructive"
    try:
        check.run(site)
    except NotApplicable as reason:
        return Outcome.NOT_APPLICABLE, str(reason)
    except Failed as failure:
        return Outcome.FAIL, str(failure)
    except Exception as error:  # whatever a server's answer makes of a check: it is not what was asked for
        return Outcome.FAIL, f"{type(error).__name__}: {error}"
    return Outcome.PASS, ""


def _flat(dialogues: Sequence[Sequence[str]]) -> tuple[str, ...]:
    lines: list[str] = []
    for dialogue in dialogues[-3:]:
        lines += ["(connected)", *dialogue[-12:]]
    return tuple(lines)
