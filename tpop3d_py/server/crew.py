"""The processes of the master, over all readings of the settings.

One reading makes a *generation*: workers that serve clients, helpers that serve those workers, and a monitor
that asks all of them.  A new generation starts beside the old one, which is retired: its workers take no new
clients and end with their last one, its helpers end after them.  So no session is dropped by a reload.

In separated mode there are mail processes, too, some of which are made when they are first needed and end
when they are not needed any more (`Crew.hire`).  They outlive the workers of their generation, whose clients
they have taken over.

When things fail: a process that dies is replaced at once, and after a second if it had not lived that long,
so that a fault at start-up cannot eat the machine.  One that cannot be made is tried again after a second.
A worker that has shown no sign of life for `HUNG` seconds is killed and replaced.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NoReturn, Protocol

from tpop3d_py.log import Log, one_line
from tpop3d_py.server.hearing import HELD
from tpop3d_py.server.privileges import die_with
from tpop3d_py.server.slots import Slot, Slots

#: Seconds a process must have lived to be replaced without waiting, and seconds to wait otherwise.
_BACKOFF = 1.0
#: Seconds without a sign of life after which a worker is replaced.
HUNG = 30.0
#: Seconds between two looks at the signs of life.
TEND = 5.0
#: What the master obeys; held back while a new process leaves the handlers behind.
MASTERS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGHUP, signal.SIGUSR1)


class Kind(Enum):
    """What a process is for."""

    WORKER = "serves clients"
    MAIL = "serves clients that workers of its generation have let in"
    HELPER = "serves the workers of its generation"
    MONITOR = "asks all workers; started anew when one of them is"


#: Those with clients of their own.
_SERVING = (Kind.WORKER, Kind.MAIL)


def _nothing(_slot: Slot) -> None:
    pass


@dataclass(frozen=True, slots=True, eq=False)
class Role:
    """A process to keep running.

    Args:
        name: for the log.
        main: runs in the process; the process ends when it returns.
        mourn: runs in the master when the process has died, before it is replaced.
        kind: what it is for.
        born: runs in the master before the process is made.
        passing: it is needed no more once it has ended, whatever it died of.
    """

    name: str
    main: Callable[[Slot], None]
    mourn: Callable[[Slot], None] = _nothing
    kind: Kind = Kind.HELPER
    born: Callable[[Slot], None] = _nothing
    passing: bool = False


class Errands(Protocol):
    """What processes of a generation ask the master for."""

    def sockets(self) -> Sequence[socket.socket]:
        """Return where they ask."""

    def attend(self, sock: socket.socket, hire: Callable[[Role], None]) -> None:
        """Read and answer what has come; must neither wait nor raise.

        Args:
            sock: one of `sockets`.
            hire: has a process made.
        """


@dataclass(frozen=True, slots=True, eq=False)
class Generation:
    """The processes of one reading of the settings.

    Args:
        roles: in the order they are to be started in.
        log: where the master writes while these settings are in force.
        linger: seconds that helpers may be needed after their workers take no new clients.
        outdated: tells, without waiting, whether files have changed that should be read again.
        missed: told of each process that died without being told to and is replaced.
        errands: what its processes ask for; None: nothing.
        reopens: its processes can open log files by themselves; else it takes others to do that.
    """

    roles: Sequence[Role]
    log: Log
    linger: float = 120.0
    outdated: Callable[[], bool] = lambda: False
    missed: Callable[[Role], None] = lambda _role: None
    errands: Errands | None = None
    reopens: bool = True


@dataclass(slots=True, eq=False)
class _Member:
    role: Role
    generation: Generation
    slot: Slot
    started: float
    #: It was told to end, so its end is no accident.
    asked: bool = False


class Crew:
    """Makes, replaces and retires processes; does nothing by itself."""

    def __init__(self, first: Generation, slots: Slots) -> None:
        self.current = first
        self._slots = slots
        self._living: dict[int, _Member] = {}
        self._retired: dict[Generation, float] = {}
        self._due: list[tuple[float, Role, Generation]] = [(0.0, role, first) for role in first.roles]
        self._tended = time.monotonic()

    def __len__(self) -> int:
        return len(self._living)

    def relieve(self, newer: Generation) -> None:
        """Start a new generation at the next `start_due` and retire the present one."""
        older, self.current = self.current, newer
        self._retired[older] = time.monotonic() + older.linger
        kept = (Kind.HELPER, Kind.MAIL)
        self._due = [due for due in self._due if due[2] is not older or due[1].kind in kept]
        self._due += [(0.0, role, newer) for role in newer.roles]
        for pid, member in self._members(older):
            if member.role.kind is Kind.WORKER:
                self._tell(pid, member, signal.SIGUSR2)
            elif member.role.kind is Kind.MONITOR:
                self._tell(pid, member, signal.SIGTERM)

    def start_due(self) -> None:
        """Make the processes whose time has come."""
        now = time.monotonic()
        waiting, workers = [], False
        for due, role, generation in self._due:
            if due > now:
                waiting.append((due, role, generation))
                continue
            try:
                self._start(role, generation, now)
                workers |= role.kind is Kind.WORKER
            except OSError as error:  # a limit of processes, descriptors or memory is reached
                generation.log.error(f"{role.name}: cannot fork: {error.strerror}; trying again")
                waiting.append((now + _BACKOFF, role, generation))
        self._due = waiting
        if workers:
            self._renew_monitors(now)

    def next_due(self) -> float | None:
        """CLOCK_MONOTONIC seconds at which `start_due` has something to do; None: when something dies."""
        return min((due for due, _, _ in self._due), default=None)

    def reap(self) -> None:
        """Take note of processes that have ended, and plan their successors."""
        for pid, status in _ended():
            member = self._living.pop(pid, None)
            if member is None:
                continue
            member.role.mourn(member.slot)
            self._slots.release(member.slot)
            self._succeed(pid, member, status)

    def tend(self) -> None:
        """Kill workers that are hung, and end what a retired generation does not need any more."""
        now = time.monotonic()
        watching, self._tended = now - self._tended < 2 * TEND, now
        if watching:  # else the whole machine slept, and nobody is to blame for silence
            for pid, member in list(self._living.items()):
                if member.role.kind in _SERVING and member.slot.silent_for() > HUNG:
                    member.generation.log.error(f"{member.role.name} (pid {pid}) is hung; killing it")
                    _kill(pid, signal.SIGKILL)
        for generation, end in list(self._retired.items()):
            self._dismiss(generation, now >= end)
        mail = [member.started for member in self._living.values() if member.role.kind is Kind.MAIL]
        # Mail processes come and go with their users: too often to start the monitor anew at once.
        self._renew_monitors(max(mail, default=0.0))

    def hire(self, role: Role, generation: Generation) -> None:
        """Have a process made at the next `start_due`, unless its generation is not served any more."""
        if generation is self.current or generation in self._retired:
            self._due.append((0.0, role, generation))

    def errands(self) -> dict[socket.socket, Generation]:
        """Tell where processes ask the master for something."""
        served = (self.current, *self._retired)
        return {sock: each for each in served if each.errands is not None for sock in each.errands.sockets()}

    def run_errand(self, sock: socket.socket, generation: Generation) -> None:
        """Attend to what has come on one of the sockets of `errands`."""
        if generation.errands is not None:
            generation.errands.attend(sock, lambda role: self.hire(role, generation))

    def signal_all(self, number: int) -> None:
        """Send a signal to every process."""
        for pid in self._living:
            _kill(pid, number)

    def bury_all(self) -> None:
        """Take note of processes that have ended, and of nothing else: everything is being stopped."""
        for pid, _ in _ended():
            self._living.pop(pid, None)

    def _start(self, role: Role, generation: Generation, now: float) -> None:
        slot = self._slots.take()
        try:
            role.born(slot)
            pid = self._fork(role, generation.log, slot)
        except OSError:
            self._slots.release(slot)
            raise
        self._slots.handed_over(slot)
        self._living[pid] = _Member(role, generation, slot, now)

    def _fork(self, role: Role, log: Log, slot: Slot) -> int:
        master = os.getpid()
        # Held back until the child has left our handlers: they would put its signal into a copy of our queue.
        held = signal.pthread_sigmask(signal.SIG_BLOCK, {*MASTERS, *HELD})
        try:
            pid = os.fork()
            if pid == 0:
                if role.kind is not Kind.MONITOR:
                    self._slots.keep_only(slot)
                _become(role, log, slot, master, held | HELD)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)
        return pid

    def _succeed(self, pid: int, member: _Member, status: int) -> None:
        now = time.monotonic()
        generation, role = member.generation, member.role
        retired = generation is not self.current
        helps = role.kind in (Kind.HELPER, Kind.MAIL)
        needed = (not retired or (helps and generation in self._retired)) and not role.passing
        if not ((member.asked or role.passing) and (needed or status == 0)):
            replaced = needed and not member.asked
            if replaced:
                generation.missed(role)
            then = "; starting another" if replaced else ""
            generation.log.error(f"{role.name} (pid {pid}) {_describe(status)}{then}")
        if needed and (role.kind is Kind.MONITOR or not member.asked):
            soon = now - member.started < _BACKOFF and not member.asked
            self._due.append((now + _BACKOFF if soon else now, role, generation))

    def _renew_monitors(self, since: float) -> None:
        """Let a monitor that was made before this moment know the channels of processes made after it."""
        for pid, member in self._members(self.current):
            if member.role.kind is Kind.MONITOR and member.started < since:
                self._tell(pid, member, signal.SIGTERM)

    def _dismiss(self, generation: Generation, overdue: bool) -> None:
        """End the helpers of a retired generation when its workers have gone, or need them no more.

        Mail processes serve whom they have and then end.
        """
        members = list(self._members(generation))
        served = any(member.role.kind is Kind.WORKER for _, member in members)
        if served and not overdue:
            return
        self._due = [due for due in self._due if due[2] is not generation]
        self._retired.pop(generation, None)
        for pid, member in members:
            if member.role.kind is Kind.HELPER:
                self._tell(pid, member, signal.SIGTERM)
            elif member.role.kind is Kind.MAIL:
                self._tell(pid, member, signal.SIGUSR2)

    def _members(self, generation: Generation) -> Iterator[tuple[int, _Member]]:
        yield from [(p, m) for p, m in self._living.items() if m.generation is generation]

    def _tell(self, pid: int, member: _Member, number: int) -> None:
        member.asked = True
        _kill(pid, number)


def _become(role: Role, log: Log, slot: Slot, master: int, mask: Iterable[int]) -> NoReturn:
    """Be the new process until it ends."""
    code = 1
    try:
        _leave_the_master(master)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        role.main(slot)
        code = 0
    except Exception:
        log.error(f"{role.name}: internal error: {one_line(traceback.format_exc())}")
    finally:
        os._exit(code)


def _leave_the_master(master: int) -> None:
    """Undo in a new process what only the master needs."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the master passes it on
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    die_with(master)


def _kill(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _ended() -> list[tuple[int, int]]:
    found = []
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            found.append((pid, status))
    return found


def _describe(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"died of signal {-code}" if code < 0 else f"ended with code {code}"
