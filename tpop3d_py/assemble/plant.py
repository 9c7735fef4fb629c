"""What the processes of one reading of the settings have in common, in plain and in separated mode.

When things fail: nothing here can.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tpop3d_py.assemble.estate import Estate
from tpop3d_py.assemble.groups import Options
from tpop3d_py.assemble.monitoring import Ears, Monitoring, Scene
from tpop3d_py.auth.onlogin import Herald, unpack
from tpop3d_py.auth.registry import Authentication
from tpop3d_py.config import Configuration
from tpop3d_py.directory.engine import DirectorySettings
from tpop3d_py.log import Log
from tpop3d_py.maildrop.opener import MaildropSettings, Opener
from tpop3d_py.maildrop.patterns import Pattern
from tpop3d_py.server import afterwards
from tpop3d_py.server.admission import Admission
from tpop3d_py.server.authlink import AuthLink
from tpop3d_py.server.bounds import LimitSettings
from tpop3d_py.server.census import Part
from tpop3d_py.server.contexts import Contexts
from tpop3d_py.server.crew import Role
from tpop3d_py.server.door import Door
from tpop3d_py.server.figures import LAYOUT, RELOADS, RESTARTS
from tpop3d_py.server.habits import Habits
from tpop3d_py.server.limits import Shared
from tpop3d_py.server.meter import Both
from tpop3d_py.server.patience import Timeouts
from tpop3d_py.server.sessionlog import Dialogue, SessionLog
from tpop3d_py.server.settings import LogSettings, ServerSettings
from tpop3d_py.server.slots import MOST, Slot, Slots
from tpop3d_py.server.sockets import Sockets, handed_over
from tpop3d_py.server.tally import Tally
from tpop3d_py.server.throttle import Memory, Throttle, ThrottleSettings
from tpop3d_py.server.worker import WorkerPlan


@dataclass(frozen=True, slots=True)
class Lasting:
    """What belongs to the master and outlives every reading of the settings."""

    sockets: Sockets = field(default_factory=lambda: Sockets(handed_over()))
    contexts: Contexts = field(default_factory=Contexts)
    shared: Shared = field(default_factory=lambda: Shared.for_rows(MOST))
    tally: Tally = field(default_factory=lambda: Tally(LAYOUT, MOST))
    slots: Slots = field(default_factory=Slots)
    wrongs: Memory = field(default_factory=Memory)
    estate: Estate = field(default_factory=Estate)
    readings: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    started: float = field(default_factory=time.time)

    def note_reading(self, outcome: str) -> None:
        """Count a reading of the settings after the first, as ``ok`` or ``failed``."""
        self.tally.master[RELOADS.cell(outcome)] += 1

    def note_death(self, role: Role) -> None:
        """Count a process that has died and is replaced."""
        self.tally.master[RESTARTS.cell(role.name.partition(" ")[0])] += 1


@dataclass(frozen=True, slots=True)
class Opened:
    """What was opened for one reading of the settings.

    Args:
        doors: the listeners; none where each process makes its own.
        ears: the monitor's sockets.
        expiry: when each certificate ends, in seconds since 1970, by file.
        mailboxes: each driver's own patterns for mailboxes, by its name.
        files: how many files a process may have open.
        mail_processes: processes that read mail and are always there.
        hears: whether anybody wants to know of logins.
    """

    doors: Sequence[Door]
    ears: Ears
    expiry: Mapping[str, float]
    mailboxes: Mapping[str, Sequence[Pattern]]
    files: int
    mail_processes: int = 0
    hears: bool = False


class Plant:
    """What all processes of one reading are made with."""

    def __init__(
        self, conf: Configuration, options: Options, lasting: Lasting, opened: Opened, log: Log
    ) -> None:
        server, bounds = conf.get(ServerSettings), conf.get(LimitSettings)
        self._server = server
        self._lasting = lasting
        self._log = log
        self._marks = conf.get(LogSettings).mark_passwords
        self._mail_root = conf.get(DirectorySettings).mail_root
        # The monitor asks the authentication processes too, as if it were one more worker.
        self._seat = server.worker_count
        self._link = AuthLink(server.worker_count + 1)
        self._herald = Herald() if opened.hears else None
        for holder in (self._link, self._herald):
            if holder is not None:
                lasting.estate.add(holder)
        self._opener = Opener(conf.get(MaildropSettings), log, own=opened.mailboxes)
        trace = Dialogue(log) if options.verbose else None
        habits = Habits(Timeouts(server.timeout_seconds, bounds.login_timeout_seconds), log, trace)
        admission = Admission(self._opener.open, log)
        limits = bounds.limits(opened.files)
        lines = SessionLog(log)
        guesses = conf.get(ThrottleSettings)
        throttle = Throttle(guesses, lasting.wrongs, log) if guesses.enable else None
        self._plan = WorkerPlan(
            opened.doors, admission, lasting.shared, limits, habits, server.threads, log, lines, throttle
        )
        scene = Scene(
            tally=lasting.tally,
            board=lasting.shared.board,
            limits=limits,
            slots=lasting.slots,
            generation=next(lasting.readings),
            started=lasting.started,
            certificates=opened.expiry,
            link=self._link,
            seat=self._seat,
            log=log,
            mail_processes=opened.mail_processes,
        )
        self._monitoring = Monitoring(conf, opened.ears, scene)

    def _tell(self, authentication: Authentication) -> None:
        """Be the process that tells drivers of logins."""
        assert self._herald is not None  # else there is none

        def take(packet: bytes) -> None:
            authentication.logged_in(unpack(packet))

        herald = self._herald
        afterwards.serve(
            afterwards.Plan(
                herald.incoming, take, lambda: None, lambda: herald.lost, self._server.auth_timeout, self._log
            )
        )
        authentication.stop()

    def _expect(self, slot: Slot) -> None:
        self._lasting.shared.open(slot.number)

    def _bury(self, slot: Slot) -> None:
        self._lasting.shared.clear(slot.number)
        self._monitoring.gone(slot)

    def _mourn(self, number: int, slot: Slot) -> None:
        self._bury(slot)
        self._link.drain(number)

    def _watched(self, slot: Slot, part: Part = Part.WORKER) -> WorkerPlan:
        """Complete the plan in a process: with lines that tell which, and with what counts if wanted."""
        meter, habits = self._monitoring.in_worker(slot, part), self._plan.habits
        lines = SessionLog(self._log, meter, mark_passwords=self._marks)
        if meter is None:
            return replace(self._plan, lines=lines)
        trace = meter if habits.trace is None else Both(meter, habits.trace)
        admission = Admission(meter.timing(self._opener.open), self._log)
        return replace(self._plan, lines=lines, admission=admission, habits=habits._replace(trace=trace))
