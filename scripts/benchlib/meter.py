"""Meters: processor time, memory and scheduling of whole process trees, read from /proc.

Processor time is utime + stime of every living process of a tree, plus cutime +
cstime, which is where the kernel keeps what children that ended had used; so a
server that forks per session is charged for it.  The kernel derives these from
the scheduler's own nanosecond clock and rounds them to ticks (10 ms) per
process, which is below 1 % over the seconds measured here.  Work the kernel
does for a server in interrupts is charged to whoever was running, as always.

Memory is PSS of smaps_rollup: a page shared by n processes counts 1/n in each.

When things fail: a process that ends while it is looked at counts nothing; its
parent has its time by then.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")
_TICK = os.sysconf("SC_CLK_TCK")


class Spent(NamedTuple):
    """Seconds of processor time."""

    user: float
    system: float

    @property
    def total(self) -> float:
        """Both together."""
        return self.user + self.system

    def __sub__(self, other: Spent) -> Spent:
        return Spent(self.user - other.user, self.system - other.system)


def tree(root: int) -> list[int]:
    """List a process and all its descendants."""
    children: dict[int, list[int]] = {}
    for pid in (int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()):
        if fields := _stat(pid):
            children.setdefault(int(fields[1]), []).append(pid)
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def spent(pids: Iterable[int]) -> Spent:
    """Add up the processor time of processes and of their children that ended."""
    user = system = 0
    for pid in pids:
        if fields := _stat(pid):
            # proc(5): fields 14 to 17 of the line; the first two are cut off by _stat.
            utime, stime, cutime, cstime = map(int, fields[11:15])
            user += utime + cutime
            system += stime + cstime
    return Spent(user / _TICK, system / _TICK)


def pss(pids: Iterable[int]) -> int:
    """Add up the proportional memory of processes, in octets."""
    return sum(_pss(pid) for pid in pids)


def threads(pid: int) -> int:
    """Count the threads of a process; 0 if it has ended."""
    fields = _stat(pid)
    return int(fields[17]) if fields else 0


def machine_busy() -> float:
    """Return the processor seconds all of the machine has spent on anything, since it started."""
    first = (_PROC / "stat").read_text().split("\n", 1)[0]
    values = [int(word) for word in first.split()[1:]]
    user, nice, system, _idle, _iowait, irq, softirq, steal = values[:8]
    return (user + nice + system + irq + softirq + steal) / _TICK


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat behind the name, which may itself hold blanks and parentheses."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _pss(pid: int) -> int:
    try:
        lines = (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
