"""The master: obeys signals and the service manager, and keeps the crew complete.

It has no threads and reads nothing that a client sent, so it may keep root for what only root can do:
reading keys and binding ports again when the settings are read again.  Signal handlers only put the number
into a queue; the loop does the work.

When things fail: settings that cannot be read again leave everything as it is, and the log says why.
Listeners belong to the master and stay open whatever dies; see `crew` for what dies.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections import deque
from collections.abc import Callable

from tpop3d_py.log import one_line
from tpop3d_py.server.crew import MASTERS, TEND, Crew, Generation
from tpop3d_py.server.notify import Notifier
from tpop3d_py.server.slots import Slots

#: Seconds that processes get to end by themselves before they are killed.
_GRACE = 15.0
_STOP = (signal.SIGTERM, signal.SIGINT)
#: What administrators' scripts may send, and the ancestor ignored.
_IGNORED = (signal.SIGUSR2,)


class NotReloaded(Exception):
    """The settings could not be read again; the text, one or more lines, says why."""


def _never() -> Generation:
    raise NotReloaded("this program cannot read its settings again")


class Supervisor:
    """Keeps the processes of the present settings running until told to stop.

    Args:
        first: what to start with.
        reload: reads the settings again; raises `NotReloaded`.
        notifier: the way to the service manager.
        slots: the places of all processes.
    """

    def __init__(
        self,
        first: Generation,
        reload: Callable[[], Generation] = _never,
        notifier: Notifier | None = None,
        slots: Slots | None = None,
    ) -> None:
        self._crew = Crew(first, slots or Slots())
        self._reload = reload
        self._notifier = notifier or Notifier()
        self._signals: deque[int] = deque()
        self._ring_out, self._ring_in = -1, -1
        self._tend_at = time.monotonic() + TEND

    def run(self) -> int:
        """Run until SIGTERM or SIGINT; return the exit code."""
        self._listen()
        self._crew.start_due()
        self._notifier.ready("serving")
        stop = 0
        while not stop:
            self._wait()
            stop = self._obey_signals()
            if not stop:
                self._crew.reap()
                self._tend()
                self._crew.start_due()
        self._notifier.stopping()
        self._stop_all()
        self._crew.current.log.notice(f"net_loop: terminating on signal {stop}")
        return 0

    def _listen(self) -> None:
        self._ring_out, self._ring_in = os.pipe()
        for fd in (self._ring_out, self._ring_in):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(self._ring_in, warn_on_full_buffer=False)
        for number in _IGNORED:
            signal.signal(number, signal.SIG_IGN)
        for number in MASTERS:
            signal.signal(number, lambda received, _frame: self._signals.append(received))

    def _wait(self) -> None:
        now = time.monotonic()
        times = [self._tend_at]
        if (due := self._crew.next_due()) is not None:
            times.append(due)
        if self._notifier.interval:
            times.append(now + self._notifier.interval)
        self._sleep(max(0.0, min(times) - now))
        if self._notifier.interval:
            self._notifier.alive()

    def _sleep(self, most: float) -> None:
        """Wait for a signal, but not for longer than some seconds; run errands that come meanwhile."""
        errands = {sock.fileno(): (sock, one) for sock, one in self._crew.errands().items()}
        poll = select.poll()  # not select(2), which knows no descriptors above 1,023
        for fd in (self._ring_out, *errands):
            poll.register(fd, select.POLLIN)
        for fd, _ in poll.poll(most * 1000):
            if fd in errands:
                self._crew.run_errand(*errands[fd])
        with contextlib.suppress(BlockingIOError):
            while os.read(self._ring_out, 512):
                pass

    def _obey_signals(self) -> int:
        """Return the signal that ends us, or 0."""
        again = ""
        while self._signals:
            number = self._signals.popleft()
            if number in _STOP:
                return number
            if number == signal.SIGUSR1 and not self._crew.current.reopens:
                again = "for other log files"
            elif number == signal.SIGUSR1:
                self._crew.current.log.reopen(len(self._crew))
                self._crew.signal_all(number)
            elif number == signal.SIGHUP:
                again = "on signal 1"
        if again:
            self._read_again(again)
        return 0

    def _tend(self) -> None:
        now = time.monotonic()
        if now < self._tend_at:
            return
        self._tend_at = now + TEND
        self._crew.tend()
        if self._crew.current.outdated():
            self._read_again("because files have changed")

    def _read_again(self, why: str) -> None:
        """Put new settings in force, or keep what there is."""
        log = self._crew.current.log
        self._notifier.reloading()
        try:
            newer = self._reload()
        except NotReloaded as error:
            for line in str(error).splitlines():
                log.error(f"not reloaded: {line}")
            log.error("the settings could not be read again; those from before stay in force")
            self._notifier.ready("serving with old settings; see the log")
        except Exception as error:  # a fault of ours must not take the service down
            log.error(f"not reloaded: internal error: {one_line(repr(error))}")
            self._notifier.ready("serving with old settings; see the log")
        else:
            self._crew.relieve(newer)
            newer.log.notice(f"net_loop: restarting {why}")
            self._notifier.ready("serving")

    def _stop_all(self) -> None:
        self._crew.signal_all(signal.SIGTERM)
        end = time.monotonic() + _GRACE
        while self._crew and time.monotonic() < end:
            self._sleep(0.1)
            self._crew.bury_all()
        self._crew.signal_all(signal.SIGKILL)
