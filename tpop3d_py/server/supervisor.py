"""The master: starts processes, starts them again when they die, stops them.

It has no threads and reads nothing that a client sent.  Signal handlers only
put the number into a queue; the loop does the work.

When things fail: a process that dies is replaced at once, and after a second if
it had not lived that long, so that a fault at start-up cannot eat the machine.
One that cannot be made is tried again after a second.
Listeners belong to the master and stay open whatever dies.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NoReturn

from tpop3d_py.log import Log, one_line
from tpop3d_py.server.privileges import die_with

#: Seconds a process must have lived to be replaced without waiting, and seconds to wait otherwise.
_BACKOFF = 1.0
#: Seconds that processes get to end by themselves before they are killed.
_GRACE = 15.0
_STOP = (signal.SIGTERM, signal.SIGINT)
#: What administrators' scripts may send, and the ancestor ignored; every process of ours inherits that.
_IGNORED = (signal.SIGUSR1, signal.SIGUSR2)
_HANDLED = (*_STOP, signal.SIGCHLD, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Role:
    """A process to keep running.

    Args:
        name: for the log.
        main: runs in the process; the process ends when it returns.
        mourn: runs in the master when the process has died, before it is replaced.
    """

    name: str
    main: Callable[[], None]
    mourn: Callable[[], None] = lambda: None


class Supervisor:
    """Keeps one process per role running until told to stop."""

    def __init__(self, roles: Sequence[Role], log: Log) -> None:
        self._log = log
        self._signals: deque[int] = deque()
        self._living: dict[int, tuple[Role, float]] = {}
        self._due: list[tuple[float, Role]] = [(0.0, role) for role in roles]

    def run(self) -> int:
        """Run until SIGTERM or SIGINT; return the exit code."""
        bell, ring = os.pipe()
        for fd in (bell, ring):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(ring, warn_on_full_buffer=False)
        for number in _IGNORED:
            signal.signal(number, signal.SIG_IGN)
        for number in _HANDLED:
            signal.signal(number, lambda received, _frame: self._signals.append(received))
        while True:
            self._start_due()
            self._wait(bell)
            stop = self._obey_signals()
            if stop:
                self._stop_all(bell)
                self._log.notice(f"net_loop: terminating on signal {stop}")
                return 0

    def _start_due(self) -> None:
        now = time.monotonic()
        waiting = []
        for due, role in self._due:
            if due > now:
                waiting.append((due, role))
                continue
            try:
                self._living[self._start(role)] = role, now
            except OSError as error:  # a limit of processes or of memory is reached
                self._log.error(f"{role.name}: cannot fork: {error.strerror}; trying again")
                waiting.append((now + _BACKOFF, role))
        self._due = waiting

    def _start(self, role: Role) -> int:
        master = os.getpid()
        # Held back until the child has left our handlers: they would put its signal into a copy of our queue.
        held = signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
        try:
            pid = os.fork()
            if pid == 0:
                self._become(role, master, held)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)
        return pid

    def _become(self, role: Role, master: int, held: Iterable[int]) -> NoReturn:
        """Be the new process until it ends."""
        code = 1
        try:
            _leave_the_master(master)
            signal.pthread_sigmask(signal.SIG_SETMASK, held)
            role.main()
            code = 0
        except Exception:
            self._log.error(f"{role.name}: internal error: {one_line(traceback.format_exc())}")
        finally:
            os._exit(code)

    def _wait(self, bell: int) -> None:
        timeout = max(0.0, min((due for due, _ in self._due), default=3600.0) - time.monotonic())
        with contextlib.suppress(InterruptedError):
            select.select([bell], [], [], timeout if self._due else 3600.0)
        _silence(bell)

    def _obey_signals(self) -> int:
        while self._signals:
            number = self._signals.popleft()
            if number in _STOP:
                return number
            if number == signal.SIGHUP:
                self._log.warning(
                    "SIGHUP: this version cannot reload; restart it to read the configuration again"
                )
        self._reap()
        return 0

    def _reap(self) -> None:
        for pid, status in _ended():
            role, started = self._living.pop(pid, (None, 0.0))
            if role is None:
                continue
            now = time.monotonic()
            soon = now - started < _BACKOFF
            self._log.error(f"{role.name} (pid {pid}) {_describe(status)}; starting another")
            role.mourn()
            self._due.append((now + _BACKOFF if soon else now, role))

    def _stop_all(self, bell: int) -> None:
        self._signal_all(signal.SIGTERM)
        end = time.monotonic() + _GRACE
        while self._living and time.monotonic() < end:
            select.select([bell], [], [], 0.1)
            _silence(bell)
            for pid, _ in _ended():
                self._living.pop(pid, None)
        self._signal_all(signal.SIGKILL)

    def _signal_all(self, number: int) -> None:
        for pid in self._living:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def _leave_the_master(master: int) -> None:
    """Undo in a new process what only the master needs."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the master passes it on
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    die_with(master)


def _silence(bell: int) -> None:
    with contextlib.suppress(BlockingIOError):
        while os.read(bell, 512):
            pass


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
