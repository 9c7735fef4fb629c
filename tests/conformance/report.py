"""Shows results to people and to programs."""

from __future__ import annotations

import json
from collections.abc import Sequence

from tests.conformance.run import Outcome, Result

_WORDS = {Outcome.PASS: "pass", Outcome.FAIL: "FAIL", Outcome.NOT_APPLICABLE: "n/a "}


def as_text(results: Sequence[Result], *, verbose: bool) -> str:
    """One line for each check, reasons below, and the totals."""
    lines = []
    for result in results:
        check = result.check
        lines.append(f"{_WORDS[result.outcome]}  {check.level.value:<6}  {check.source:<24}  {check.title}")
        if result.outcome is not Outcome.PASS:
            lines.append(f"        {check.name}: {result.reason}")
        if verbose:
            lines += [f"          {line}" for line in result.dialogue]
    lines.append("")
    slow = sorted(results, key=lambda result: -result.seconds)[:3]
    lines += [f"slowest: {result.seconds:.1f} s, {result.check.name}" for result in slow]
    counts = [sum(result.outcome is outcome for result in results) for outcome in Outcome]
    total = f"{len(results)} checks: {counts[0]} passed, {counts[1]} failed, {counts[2]} not applicable"
    return "\n".join((*lines, total))


def as_json(results: Sequence[Result]) -> str:
    """An array with an object for each check."""
    rows = [
        {
            "name": result.check.name,
            "rfc": result.check.rfc,
            "section": result.check.section,
            "title": result.check.title,
            "level": result.check.level.value,
            "outcome": result.outcome.value,
            "reason": result.reason,
            "dialogue": list(result.dialogue),
            "seconds": round(result.seconds, 3),
        }
        for result in results
    ]
    return json.dumps(rows, indent=1)
