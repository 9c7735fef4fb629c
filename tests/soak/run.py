"""The order of the day: a wild part with reloads and kills, then a calm one in which nothing may grow."""

from __future__ import annotations

import os
import pwd
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.soak.chaos import Chaos, Measure, children, measure
from tests.soak.clients import GONE, Address, Nuisance, Owner
from tests.soak.ledger import Box, Ledger
from tests.soak.mailer import Mailer
from tests.system.support.small import DOMAIN, SmallSite

_MAILERS, _NUISANCES = 3, 3
_KINDS = ("maildir", "bsd")


@dataclass(frozen=True, slots=True)
class Day:
    """How long and how wild it is; seconds."""

    wild: float
    calm: float
    boxes: int = 10
    reload_every: float = 10.0
    kill_every: float = 4.0
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it: broken promises, counted events, and the daemon before and after the calm part."""

    wrongs: list[str]
    counts: dict[str, int]
    before: Measure
    after: Measure


def live_through(
    day: Day, folder: Path, owner: pwd.struct_passwd, say: Callable[[str], None] = print
) -> Outcome:
    """Start a pypop3d as root and do everything to it."""
    ledger = Ledger([Box(f"box{n}", _KINDS[n % 2]) for n in range(day.boxes)])
    site = SmallSite(folder, owner, {box.name: box.kind for box in ledger.boxes}, "timeout-seconds: 120\n")
    try:
        return _live(day, site, ledger, owner, say)
    finally:
        site.stop()


def _live(
    day: Day, site: SmallSite, ledger: Ledger, owner: pwd.struct_passwd, say: Callable[[str], None]
) -> Outcome:
    master = site.pop3d.child.pid
    address = Address(site.port, site.tls_port, DOMAIN)
    over = threading.Event()
    chaos = Chaos(ledger, master, over, day.reload_every, day.kill_every, day.seed)
    _spend(day.wild, over, [chaos, *_crowd(ledger, site, address, owner, over, day.seed)], say, ledger)
    os.kill(master, signal.SIGHUP)  # the calm part begins with new processes
    _settle(master)
    warm = threading.Event()
    _spend(day.calm / 2, warm, _crowd(ledger, site, address, owner, warm, day.seed + 100), say, ledger)
    _settle(master)
    before = measure(master)
    calm = threading.Event()
    _spend(day.calm / 2, calm, _crowd(ledger, site, address, owner, calm, day.seed + 200), say, ledger)
    _settle(master)
    after = measure(master)
    for box in ledger.boxes:
        ledger.check_complete(box, _last_visit(ledger, box, address))
    return Outcome(ledger.wrongs, ledger.counts, before, after)


def _crowd(
    ledger: Ledger,
    site: SmallSite,
    address: Address,
    owner: pwd.struct_passwd,
    over: threading.Event,
    seed: int,
) -> list[threading.Thread]:
    return [
        *(Mailer(ledger, site.root, owner, over, 0.1, seed + n) for n in range(_MAILERS)),
        *(Owner(ledger, box, address, over, seed + n) for n, box in enumerate(ledger.boxes)),
        *(Nuisance(ledger, address, over, seed + n) for n in range(_NUISANCES)),
    ]


def _spend(
    seconds: float,
    over: threading.Event,
    crowd: list[threading.Thread],
    say: Callable[[str], None],
    ledger: Ledger,
) -> None:
    for thread in crowd:
        thread.start()
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(30.0, left))
        say(f"{len(ledger.wrongs)} wrong; {ledger.counts}")
    over.set()
    for thread in crowd:
        thread.join(90)
        if thread.is_alive():
            ledger.wrong(f"a {type(thread).__name__} hangs")


def _settle(master: int) -> None:
    """Wait until processes of older settings have gone and the rest are done with their clients."""
    end = time.monotonic() + 60
    last: tuple[list[int], int] = [], 0
    same = 0
    while same < 10 and time.monotonic() < end:
        time.sleep(0.2)
        now = children(master), measure(master).descriptors
        same = same + 1 if now == last else 0
        last = now


def _last_visit(ledger: Ledger, box: Box, address: Address) -> set[str]:
    """Read a box once more; a mailbox that is still held by a lost session is waited for."""
    reader = Owner(ledger, box, address, threading.Event(), 0)
    end = time.monotonic() + 30
    while True:
        try:
            return reader.visit(0)
        except GONE as error:
            if time.monotonic() > end:
                ledger.wrong(f"{box.name} cannot be opened at the end: {error}")
                return set(box.letters)
            time.sleep(0.5)
