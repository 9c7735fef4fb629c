"""From one reading of the settings to the processes that obey it.

When things fail: `StartError` with what is wrong; nothing has been started then, and of the listening sockets
those that were open stay as they were.
"""

from __future__ import annotations

import gc
import itertools
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial

from tpop3d_py.assemble.doors import Entrance, open_doors
from tpop3d_py.assemble.groups import Options, StartError, auth_settings, make_log
from tpop3d_py.assemble.monitoring import Ears, Monitoring, Scene, open_ears
from tpop3d_py.auth.cache import CacheSettings, LoginCache
from tpop3d_py.auth.plugin import DriverError
from tpop3d_py.auth.registry import Authentication, NoDrivers, assemble_chain
from tpop3d_py.auth.tokens import TokenCheckError
from tpop3d_py.config import Configuration
from tpop3d_py.directory.engine import DirectorySettings
from tpop3d_py.directory.errors import DirectoryError
from tpop3d_py.log import Log
from tpop3d_py.maildrop.opener import MaildropSettings, Opener
from tpop3d_py.server import authenticator, privileges
from tpop3d_py.server.admission import Admission
from tpop3d_py.server.authlink import AuthLink
from tpop3d_py.server.bounds import LimitSettings
from tpop3d_py.server.certificates import CertificateError
from tpop3d_py.server.connection import Connection
from tpop3d_py.server.contexts import Contexts
from tpop3d_py.server.crew import Generation, Kind, Role
from tpop3d_py.server.ears import EarError
from tpop3d_py.server.figures import LAYOUT, RELOADS, RESTARTS
from tpop3d_py.server.gate import Gate
from tpop3d_py.server.habits import Habits
from tpop3d_py.server.limits import Shared
from tpop3d_py.server.listeners import ListenError
from tpop3d_py.server.meter import Both
from tpop3d_py.server.patience import Timeouts
from tpop3d_py.server.sessionlog import Dialogue, SessionLog
from tpop3d_py.server.settings import LogSettings, ServerSettings
from tpop3d_py.server.slots import MOST, Slot, Slots
from tpop3d_py.server.sockets import Sockets, handed_over
from tpop3d_py.server.tally import Tally
from tpop3d_py.server.worker import Worker, WorkerPlan

#: Seconds that helpers serve longer than the last login of their generation can take.
_MARGIN = 5.0


@dataclass(frozen=True, slots=True)
class Lasting:
    """What belongs to the master and outlives every reading of the settings."""

    sockets: Sockets = field(default_factory=lambda: Sockets(handed_over()))
    contexts: Contexts = field(default_factory=Contexts)
    shared: Shared = field(default_factory=lambda: Shared.for_rows(MOST))
    tally: Tally = field(default_factory=lambda: Tally(LAYOUT, MOST))
    slots: Slots = field(default_factory=Slots)
    readings: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    started: float = field(default_factory=time.time)

    def note_reading(self, outcome: str) -> None:
        """Count a reading of the settings after the first, as ``ok`` or ``failed``."""
        self.tally.master[RELOADS.cell(outcome)] += 1

    def note_death(self, role: Role) -> None:
        """Count a process that has died and is replaced."""
        self.tally.master[RESTARTS.cell(role.name.partition(" ")[0])] += 1


@dataclass(frozen=True, slots=True)
class _Opened:
    """What was opened for one reading of the settings; `files` is how many a process may have open."""

    entrance: Entrance
    ears: Ears
    authentication: Authentication
    files: int


def make_generation(conf: Configuration, options: Options, lasting: Lasting) -> Generation:
    """Open what the settings ask for and plan the processes; the listeners are in force when this returns.

    Raises:
        StartError: the settings cannot be obeyed.
    """
    server, bounds = conf.get(ServerSettings), conf.get(LimitSettings)
    try:
        account = privileges.check_account(server.run_as)
        log = make_log(conf.get(LogSettings), options, account.pw_uid if account else None)
        for warning in conf.warnings:
            log.warning(warning)
        authentication = assemble_chain(auth_settings(conf), log)
        with lasting.contexts.reading() as selection, lasting.sockets.claiming() as claims:
            entrance = open_doors(conf, claims, selection, log)
            ears = open_ears(conf, claims)
            claims.keep()
    except (
        NoDrivers,
        DriverError,
        TokenCheckError,
        ListenError,
        EarError,
        CertificateError,
        DirectoryError,
        privileges.PrivilegeError,
    ) as error:
        raise StartError(str(error)) from None
    except KeyError as error:
        raise StartError(str(error.args[0])) from None
    opened = _Opened(entrance, ears, authentication, _ask_for_descriptors(bounds, log))
    _announce(entrance, authentication, log)
    plant = _Plant(conf, options, lasting, opened, log)
    gc.unfreeze()  # what an earlier reading left, cycles of the libraries with our log in them
    gc.collect()
    gc.freeze()  # what was loaded so far is shared by all processes and never garbage
    lasts = bounds.login_timeout_seconds + server.auth_timeout + _MARGIN
    return Generation(plant.roles(), log, lasts, entrance.watch.changed, lasting.note_death)


def _ask_for_descriptors(bounds: LimitSettings, log: Log) -> int:
    """Return how many files a process may have open."""
    wanted = bounds.files
    limit = privileges.raise_descriptor_limit(wanted)
    if limit < wanted:
        log.warning(
            f"open files are limited to {limit}; max-children and max-connections may need {wanted} "
            "(ulimit -n, LimitNOFILE=)"
        )
    return limit


def _announce(entrance: Entrance, authentication: Authentication, log: Log) -> None:
    """Write the paper's start-up lines."""
    for door in entrance.doors:
        host, port = door.sock.getsockname()[:2]
        mode = "stls" if door.stls else "immediate"
        tls = f"; TLS mode {mode}" if door.tls is not None else ""
        log.notice(f"listening on address {host}, port {port}, {door.stands_for}{tls}")
    for notice in (*entrance.warnings, *authentication.notices):
        log.warning(notice)
    log.notice(f"{len(authentication.drivers)} authentication drivers successfully loaded")


class _Plant:
    """The processes of one reading."""

    def __init__(
        self, conf: Configuration, options: Options, lasting: Lasting, opened: _Opened, log: Log
    ) -> None:
        server, bounds = conf.get(ServerSettings), conf.get(LimitSettings)
        self._server = server
        self._lasting = lasting
        self._entrance = opened.entrance
        self._authentication = opened.authentication
        self._log = log
        self._marks = conf.get(LogSettings).mark_passwords
        self._mail_root = conf.get(DirectorySettings).mail_root
        # The monitor asks the authentication processes too, as if it were one more worker.
        self._seat = server.worker_count
        self._cache = conf.get(CacheSettings)
        self._link = AuthLink(server.worker_count + 1)
        self._opener = Opener(conf.get(MaildropSettings), log, own=opened.authentication.mailboxes)
        trace = Dialogue(log) if options.verbose else None
        habits = Habits(Timeouts(server.timeout_seconds, bounds.login_timeout_seconds), log, trace)
        admission = Admission(self._opener.open, log)
        limits = bounds.limits(opened.files)
        lines = SessionLog(log)
        self._plan = WorkerPlan(
            opened.entrance.doors, admission, lasting.shared, limits, habits, server.threads, log, lines
        )
        scene = Scene(
            tally=lasting.tally,
            board=lasting.shared.board,
            limits=limits,
            slots=lasting.slots,
            generation=next(lasting.readings),
            started=lasting.started,
            certificates=opened.entrance.expiry,
            link=self._link,
            seat=self._seat,
            log=log,
        )
        self._monitoring = Monitoring(conf, opened.ears, scene)

    def roles(self) -> list[Role]:
        """All processes, in the order they are to be started in."""
        gone = self._monitoring.gone
        roles = [
            Role(f"authenticator {n}", self._authenticate, gone)
            for n in range(self._server.authenticator_count)
        ]
        roles += [
            Role(f"worker {n}", partial(self._work, n), partial(self._mourn, n), Kind.WORKER, self._expect)
            for n in range(self._server.worker_count)
        ]
        if self._monitoring.wanted:
            roles.append(Role("monitor", self._watch, gone, Kind.MONITOR))
        return roles

    def _expect(self, slot: Slot) -> None:
        self._lasting.shared.open(slot.number)

    def _mourn(self, number: int, slot: Slot) -> None:
        self._lasting.shared.clear(slot.number)
        self._monitoring.gone(slot)
        self._link.drain(number)

    def _work(self, number: int, slot: Slot) -> None:
        self._drop()
        self._opener.set_aside(self._mail_root)
        self._entrance.start_resolver()
        link = self._link
        memory = LoginCache(self._cache) if self._cache.enable else None
        gate: Gate[Connection] = Gate(
            link.requests_out, link.answers_in[number], number, self._server.auth_timeout, self._log, memory
        )
        Worker(slot, gate, self._watched(slot)).run()

    def _watched(self, slot: Slot) -> WorkerPlan:
        """Complete the plan in a worker: with lines that tell its process, and with what counts if wanted."""
        meter, habits = self._monitoring.in_worker(slot), self._plan.habits
        lines = SessionLog(self._log, meter, mark_passwords=self._marks)
        if meter is None:
            return replace(self._plan, lines=lines)
        trace = meter if habits.trace is None else Both(meter, habits.trace)
        admission = Admission(meter.timing(self._opener.open), self._log)
        return replace(self._plan, lines=lines, admission=admission, habits=habits._replace(trace=trace))

    def _authenticate(self, slot: Slot) -> None:
        self._lasting.sockets.close_all()
        self._authentication.start()
        self._drop()
        self._authentication.settle()
        authentication = self._authentication
        decide = self._monitoring.in_authenticator(slot, authentication.decide)
        authenticator.serve(self._link, decide, self._server.auth_timeout, self._log, authentication.chores)
        authentication.stop()

    def _watch(self, slot: Slot) -> None:
        self._link.drain(self._seat)
        self._monitoring.serve(slot, self._lasting.sockets.close_all, self._drop)

    def _drop(self) -> None:
        """Give root up; after that the kernel has to be told again whose death ends us."""
        master = os.getppid()
        privileges.drop_for_good(self._server.run_as, self._authentication.groups)
        privileges.die_with(master)
