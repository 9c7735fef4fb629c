"""``vmail passwords``: in which forms the passwords of boxes and domains are stored.

Counts only: neither names nor stored forms are shown.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from tpop3d_py.auth import schemes
from tpop3d_py.auth.schemes import PLAIN, SCRAM
from tpop3d_py.directory.engine import Directory
from tpop3d_py.directory.operations import stored_passwords

_NONE = "no password"
_TABLES = {"boxes": "popbox", "domains": "domain"}


def add_to(areas: Any) -> None:
    """Add the area to the parser of ``vmail``."""
    area = areas.add_parser("passwords", help="see how passwords are stored")
    commands = area.add_subparsers(metavar="report", required=True)
    report = commands.add_parser("report", help="count accounts by the scheme of their passwords")
    report.add_argument("--json", action="store_true", help="for programs")
    report.set_defaults(action=_report)


def _report(directory: Directory, arguments: argparse.Namespace) -> None:
    counts = {what: _count(stored_passwords(directory, table)) for what, table in _TABLES.items()}
    print(json.dumps(_facts(counts), indent=2, sort_keys=True) if arguments.json else _page(counts))


class _Kind(NamedTuple):
    """What is counted together.

    Args:
        name: of the scheme.
        weak: whether it can be guessed quickly by whoever steals it.
        apop: whether APOP can be done with it.
        scram: whether SCRAM can.
    """

    name: str
    weak: bool = False
    apop: bool = False
    scram: bool = False


def _kind(stored: str) -> _Kind:
    if not stored:
        return _Kind(_NONE)
    form = schemes.read(stored)
    name, weak = schemes.kind(form)
    plain = form.scheme in PLAIN
    return _Kind(name, weak, plain, plain or form.scheme == SCRAM)


def _count(passwords: Iterable[str]) -> Counter[_Kind]:
    return Counter(map(_kind, passwords))


def _facts(counts: dict[str, Counter[_Kind]]) -> dict[str, Any]:
    return {
        what: [
            {"scheme": kind.name, "count": count, "weak": kind.weak, "apop": kind.apop, "scram": kind.scram}
            for kind, count in counted.most_common()
        ]
        for what, counted in counts.items()
    }


def _page(counts: dict[str, Counter[_Kind]]) -> str:
    kinds = sorted({*counts["boxes"], *counts["domains"]}, key=lambda kind: (-counts["boxes"][kind], kind))
    lines = [f"{'scheme':20} {'boxes':>9} {'domains':>9}"]
    for kind in kinds:
        facts = (("weak", kind.weak), ("APOP", kind.apop), ("SCRAM", kind.scram))
        notes = [text for text, is_so in facts if is_so]
        numbers = f"{counts['boxes'][kind]:9} {counts['domains'][kind]:9}"
        lines.append(f"{kind.name:20} {numbers}  {', '.join(notes)}".rstrip())
    return "\n".join(lines)
