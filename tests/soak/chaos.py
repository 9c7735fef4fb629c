"""Reloads, kills and measures a running pypop3d from outside."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from tests.soak.ledger import Ledger


def children(master: int) -> list[int]:
    """Return the processes that a master has now."""
    with contextlib.suppress(OSError):
        return [int(pid) for pid in Path(f"/proc/{master}/task/{master}/children").read_text().split()]
    return []


class Chaos(threading.Thread):
    """Reloads every so often, and kills a random process in between.

    Args:
        ledger: counts what was done.
        master: the daemon.
        over: set to stop it.
        reload_every, kill_every: seconds.
        seed: of its random choices.
    """

    def __init__(
        self,
        ledger: Ledger,
        master: int,
        over: threading.Event,
        reload_every: float,
        kill_every: float,
        seed: int,
    ) -> None:
        super().__init__(daemon=True)
        self._ledger, self._master, self._over = ledger, master, over
        self._every = {"reloads": reload_every, "kills": kill_every, "log rotations": 3 * reload_every}
        self._dice = random.Random(seed)

    def run(self) -> None:
        """Do it until told to stop."""
        due = {what: time.monotonic() + every for what, every in self._every.items()}
        while not self._over.wait(0.1):
            for what, at in due.items():
                if at <= time.monotonic():
                    due[what] = time.monotonic() + self._every[what]
                    self._do(what)
                    self._ledger.count(what)

    def _do(self, what: str) -> None:
        if what == "kills":
            if victims := children(self._master):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._dice.choice(victims), signal.SIGKILL)
        else:
            os.kill(self._master, signal.SIGHUP if what == "reloads" else signal.SIGUSR1)


@dataclass(frozen=True, slots=True)
class Measure:
    """What the daemon has at one moment, all processes together; memory in KiB."""

    processes: int
    descriptors: int
    threads: int
    memory: int
    masters_descriptors: int

    def __str__(self) -> str:
        return (
            f"{self.processes} processes, {self.threads} threads, {self.descriptors} descriptors "
            f"({self.masters_descriptors} of the master), {self.memory / 1024:.1f} MiB"
        )


def measure(master: int) -> Measure:
    """Look at /proc."""
    pids = [master, *children(master)]
    return Measure(
        processes=len(pids),
        descriptors=sum(_count(pid, "fd") for pid in pids),
        threads=sum(_count(pid, "task") for pid in pids),
        memory=sum(_pss(pid) for pid in pids),
        masters_descriptors=_count(master, "fd"),
    )


def _count(pid: int, what: str) -> int:
    with contextlib.suppress(OSError):
        return len(os.listdir(f"/proc/{pid}/{what}"))
    return 0


def _pss(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0
