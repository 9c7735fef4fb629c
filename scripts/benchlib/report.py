"""What was measured, for people and for programs.

Ratios compare with the server named first, which is this project's.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchlib.load import TLS_MODES
from benchlib.measure import Case, Crowd, Sample, median, spread

_TITLES = {
    "poll": "login, STAT, QUIT",
    "uidl": "login, STAT, UIDL, QUIT",
    "fetch": "login, STAT, RETR of every message, QUIT",
    "handshake": "TLS handshake, QUIT",
    "resumed": "TLS handshake with a ticket, QUIT",
}
_HEAD = (
    f"{'server':22}{'sessions/s':>11}{'p50 ms':>8}{'p99 ms':>8}{'CPU us':>8}{'user':>7}{'workers':>9}"
    f"{'auth':>7}{'SQL us':>8}{'others':>8}{'spread':>8}{'rate x':>8}{'CPU x':>7}"
)


def machine() -> dict[str, str]:
    """Describe where this was measured."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "?")
    return {
        "processors": str(len(os.sched_getaffinity(0))),
        "model": model,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load": " ".join(f"{value:.2f}" for value in os.getloadavg()),
    }


def show(results: Mapping[Case, Sequence[Sample]]) -> str:
    """Lay the figures out, a table for every kind of session and stored form."""
    groups: dict[tuple[str, str], dict[str, Sequence[Sample]]] = {}
    for case, samples in results.items():
        groups.setdefault((case.mode, case.form), {})[case.server] = samples
    return "\n\n".join(
        "\n".join([_title(mode, form), _HEAD, *_rows(servers)]) for (mode, form), servers in groups.items()
    )


def _title(mode: str, form: str) -> str:
    return _TITLES[mode] if mode in TLS_MODES else f"{_TITLES[mode]}; passwords stored as {form}"


def _rows(servers: Mapping[str, Sequence[Sample]]) -> list[str]:
    first = median(next(iter(servers.values())))
    return [_row(name, median(samples), spread(samples), first) for name, samples in servers.items()]


def _row(name: str, s: Sample, apart: float, first: Sample) -> str:
    remark = f"  {s.resumed:.0%} resumed" if s.resumed else ""
    if s.errors:
        remark += f"  {s.errors} sessions failed"
    return (
        f"{name:22}{s.rate:11,.0f}{s.p50:8.2f}{s.p99:8.2f}{s.cpu:8,.0f}{s.user:7,.0f}{s.workers:9,.0f}"
        f"{s.authenticators:7,.0f}{s.database:8,.0f}{s.others:8.2f}{apart:8.0%}{s.rate / first.rate:8.2f}"
        f"{s.cpu / first.cpu:7.2f}{remark}"
    )


def show_crowds(crowds: Mapping[str, Crowd]) -> str:
    """List what idle sessions take, and what a newcomer notices of them."""
    head = f"{'server':22}{'held':>8}{'KiB each':>10}{'alone p50, p99 ms':>20}{'among them':>14}"
    return "\n".join([head, *(_crowd(name, crowd) for name, crowd in crowds.items())])


def _crowd(name: str, crowd: Crowd) -> str:
    alone, among = (f"{p50:.2f} {p99:.2f}" for p50, p99 in (crowd.alone, crowd.among))
    return f"{name:22}{crowd.sessions:8}{crowd.octets / 1024:10.1f}{alone:>20}{among:>14}"


def document(
    about: Mapping[str, Any],
    results: Mapping[Case, Sequence[Sample]],
    crowds: Mapping[str, Crowd],
) -> dict[str, Any]:
    """Return everything as values for JSON, single measurements included."""
    return {
        "about": dict(about),
        "results": [
            {
                **asdict(case),
                "median": asdict(median(samples)),
                "samples": [asdict(sample) for sample in samples],
            }
            for case, samples in results.items()
        ],
        "crowds": {name: asdict(crowd) for name, crowd in crowds.items()},
    }
