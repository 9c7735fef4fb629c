"""From the settings to what is counted in each process, and to the monitor.

Without ``metrics-listen`` nothing is counted but who lives in which row; without that and ``control-socket``
there is no monitor.

When things fail: `EarError` with an address that cannot be listened on.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from tpop3d_py import __version__
from tpop3d_py.config import Configuration
from tpop3d_py.contracts import Credentials, Decision
from tpop3d_py.directory.session import Session
from tpop3d_py.log import Log
from tpop3d_py.server import figures, monitor, privileges
from tpop3d_py.server.authlink import AuthLink
from tpop3d_py.server.bounds import Limits
from tpop3d_py.server.census import Census, Part, asking
from tpop3d_py.server.ears import Ear, MonitorSettings, listen
from tpop3d_py.server.gate import Gate
from tpop3d_py.server.limits import Board
from tpop3d_py.server.live import Message
from tpop3d_py.server.meter import CheckMeter, Meter
from tpop3d_py.server.settings import ServerSettings
from tpop3d_py.server.slots import Slot, Slots
from tpop3d_py.server.sockets import Claims
from tpop3d_py.server.tally import Tally

Decide = Callable[[Credentials], Decision]


@dataclass(frozen=True, slots=True)
class Scene:
    """What there is to look at.

    Args:
        tally: the counters of all processes.
        board: connections and sessions of the moment.
        limits: how many clients there may be.
        slots: of all processes.
        generation: number of this reading of the settings.
        started: when the daemon was started, in seconds since 1970.
        certificates: when each certificate ends, in seconds since 1970, by file.
        link: the way to the authentication processes.
        seat: number of the monitor on that way.
        log: the log.
        mail_processes: how many processes read mail and are always there.
    """

    tally: Tally
    board: Board
    limits: Limits
    slots: Slots
    generation: int
    started: float
    certificates: Mapping[str, float]
    link: AuthLink
    seat: int
    log: Log
    mail_processes: int = 0


@dataclass(frozen=True, slots=True)
class Ears:
    """The sockets of the monitor; those that were not asked for are None."""

    control: socket.socket | None
    metrics: socket.socket | None


def open_ears(conf: Configuration, claims: Claims) -> Ears:
    """Open the monitor's sockets, or take them over.

    Raises:
        EarError: one cannot be listened on.
    """
    settings = conf.get(MonitorSettings)
    control = Ear(path=settings.control) if settings.control else None
    return Ears(_claim(control, 0o600, claims), _claim(settings.metrics, 0o666, claims))


def _claim(ear: Ear | None, mode: int, claims: Claims) -> socket.socket | None:
    return None if ear is None else claims.claim(ear.key, partial(listen, ear, mode))


class Monitoring:
    """What one reading of the settings asks to be counted and told.

    Args:
        conf: the settings.
        ears: the monitor's sockets.
        scene: what there is to look at.
    """

    def __init__(self, conf: Configuration, ears: Ears, scene: Scene) -> None:
        self._conf = conf
        self._ears = ears
        self._scene = scene
        self._counts = ears.metrics is not None
        _count_losses(scene.log, scene.tally.master)  # until a process takes its own row
        if self._counts:
            # Now, as root and before the first fork: a process that has given root up may not find it.
            from tpop3d_py.server import metrics  # noqa: PLC0415, F401 - costs nobody who does not ask

    @property
    def wanted(self) -> bool:
        """Whether there is to be a monitor."""
        return self._ears.control is not None or self._ears.metrics is not None

    def in_worker(self, slot: Slot, part: Part = Part.WORKER) -> Meter | None:
        """Take the row of a process that serves clients; return what counts, if anybody asks."""
        self._leave()
        row = self._settle(slot, part)
        return Meter(row) if self._counts else None

    def in_authenticator(self, slot: Slot, decide: Decide) -> Decide:
        """Take the row of an authentication process; return its check, counted if anybody looks."""
        row = self._settle(slot, Part.AUTHENTICATOR)
        if not self._counts:
            return decide
        meter = CheckMeter(row)
        Session.watch = meter.asked
        return meter.watching(decide)

    def gone(self, slot: Slot) -> None:
        """Keep what a process counted that has died; in the master."""
        self._scene.tally.bury(slot.number)

    def serve(self, slot: Slot, close_others: Callable[[], None], drop: Callable[[], None]) -> None:
        """Be the monitor.

        Args:
            slot: of this process.
            close_others: closes all listening sockets, ours included.
            drop: gives root up.
        """
        # Not whoever we become: that may be an account that other programs use too.
        account = privileges.check_account(self._conf.get(ServerSettings).run_as)
        ears = Ears(*(ear and ear.dup() for ear in (self._ears.control, self._ears.metrics)))
        close_others()
        drop()
        self._settle(slot, Part.MONITOR)
        census = self._census()
        plan = monitor.MonitorPlan(
            ears.control,
            ears.metrics,
            census,
            self._exposition(census),
            self._totals,
            frozenset({0, account.pw_uid if account else os.geteuid()}),
            self._scene.log,
        )
        monitor.serve(plan)

    def _settle(self, slot: Slot, part: Part) -> memoryview:
        row = self._scene.tally.settle(slot.number, os.getpid(), part, self._scene.generation)
        _count_losses(self._scene.log, row)
        self._scene.log.follow()
        return row

    def _leave(self) -> None:
        for ear in (self._ears.control, self._ears.metrics):
            if ear is not None:
                ear.close()

    def _census(self) -> Census:
        scene, server = self._scene, self._conf.get(ServerSettings)
        link, timeout = scene.link, server.auth_timeout
        gate: Gate[str] = Gate(link.requests_out, link.answers_in[scene.seat], scene.seat, timeout, scene.log)
        expected = {Part.WORKER: server.worker_count, Part.AUTHENTICATOR: server.authenticator_count}
        expected[Part.MAIL] = scene.mail_processes
        domain = next((each.domain for each in server.listen_address if each.domain), "x.invalid")
        probe = asking(gate, timeout, domain)
        return Census(scene.tally, scene.generation, expected, scene.slots.living(), probe)

    def _exposition(self, census: Census) -> Callable[[str], tuple[bytes, str]]:
        if not self._counts:
            return lambda _accept: (b"", "text/plain")
        from tpop3d_py.server import metrics  # noqa: PLC0415 - loaded by the master

        scene = self._scene
        bounds = {"sessions": scene.limits.sessions, "connections": scene.limits.connections}
        sources = metrics.Sources(scene.tally, scene.board, census, bounds, scene.certificates, scene.started)
        return metrics.exposition(metrics.Figures(sources))

    def _totals(self) -> Message:
        board = self._scene.board
        return {
            "version": __version__,
            "started": self._scene.started,
            "readings": self._scene.generation,
            "connection_count": board.connections(),
            "session_count": board.sessions(),
            "max_sessions": self._scene.limits.sessions,
        }


def _count_losses(log: Log, row: memoryview) -> None:
    """Have the lines that a process loses counted in its row."""
    lost = figures.LOST_LINES.cell()

    def count() -> None:
        row[lost] += 1

    log.on_loss = count
