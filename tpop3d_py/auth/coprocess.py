"""A program that is asked by packets on pipes, and the helper that runs it: see `spawner` and `packets`.

The life of a `Coprocess` follows that of its driver: `launch` while the process is still root, `listen`
when it is not, then one question at a time.  The program lives on between questions; one that has ended in
the meantime is started anew, and asked again what it took to the grave if that was not its first question.

What it writes to its standard error goes to the log, line by line, at most `_MOST_LINES` in `_PERIOD`
seconds.  A thread reads it: nobody else is there to do that while no login is under way, and a full pipe
would stop the program.

When things fail: `Unanswered`; the program is being ended then and the next question starts it anew.
`HelperLost` when it never can: whoever asks has to end, and be replaced.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from tpop3d_py.auth import packets, spawner
from tpop3d_py.log import NOTICE, Log, printable

#: Seconds that may pass between a decision to start the program and the news that it runs, besides those that
#: the one before may take to end.
_STARTING = 2.0
_MOST_LINES = 20
_PERIOD = 10.0
#: Octets of a line in the log; what is longer becomes several.
_LONGEST_LINE = 1000
_READ = 4096


class Unanswered(Exception):
    """The program gave no answer that could be understood, or not in time."""


class HelperLost(Unanswered):
    """The process that runs the program is gone."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be run.

    Args:
        name: of the driver, for the log.
        program: absolute path.
        uid: user it runs as.
        gid: its group.
        groups: its supplementary groups.
        timeout: seconds in which it must answer, and again in which it must end.
    """

    name: str
    program: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    timeout: float


class Coprocess:
    """One instance of a program; for one process, which asks one question at a time.

    Args:
        job: what is to be run.
        log: for what it says on standard error.
        patience: returns how many seconds there are for a question; less than the job's timeout counts.
    """

    def __init__(self, job: Job, log: Log, patience: Callable[[], float]) -> None:
        self._job = job
        self._log = log
        self._patience = patience
        self._control: socket.socket | None = None
        self._stderr = -1
        self._pipes: _Pipes | None = None
        self._helper: subprocess.Popen[bytes] | None = None
        self._awaited = False  # the answer to a start, which was too late

    def launch(self) -> None:
        """Start the helper, which takes the program's user.

        Raises:
            OSError: there is no room for another process.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        job = self._job
        reads, writes = os.pipe()
        groups = ",".join(map(str, job.groups))
        with theirs:
            fds = theirs.fileno(), writes
            words = [*fds, job.timeout, job.uid, job.gid, groups, job.program, f"auth_{job.name}"]
            # -I -S: nothing but Python itself is loaded.  It ends when its socket does.
            self._helper = subprocess.Popen(  # noqa: S603 - this is what the operator has asked for
                [sys.executable, "-I", "-S", spawner.__file__, *map(str, words)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=writes,
                env={},
                cwd="/",
                pass_fds=fds,
                start_new_session=True,
            )
            os.close(writes)
        self._control, self._stderr = ours, reads

    def listen(self) -> None:
        """Begin to log what the program says, and start it."""
        if self._control is None:
            return
        # The thread must take none of the signals that the main one waits for.
        held = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        threading.Thread(target=_copy, args=(self._stderr, self._job, self._log), daemon=True).start()
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
        with contextlib.suppress(Unanswered):
            self._start(time.monotonic() + _STARTING)

    def ask(self, question: dict[bytes, bytes], *, terse: bool = False) -> dict[bytes, bytes]:
        """Return the answer to a question.

        Args:
            question: what is asked.
            terse: whether one NUL is an answer: nothing is to be said to this.

        Raises:
            Unanswered: there is none, in time.
            BadPacket: the question is too long.
        """
        packet = packets.pack(question)
        deadline = time.monotonic() + self._patience()
        fresh = self._pipes is None
        try:
            if self._pipes is None:
                self._start(deadline)
            try:
                return self._exchange(packet, deadline, terse)
            except _Ended:
                if fresh:
                    raise
                self._start(deadline)
                return self._exchange(packet, deadline, terse)
        except Unanswered:
            self._end()
            raise

    def close(self) -> None:
        """End the program and its helper; whoever just ends need not call this."""
        self._close()
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._helper is not None:
            self._helper.wait()

    def _exchange(self, packet: bytes, deadline: float, terse: bool) -> dict[bytes, bytes]:
        if self._pipes is None:
            raise Unanswered("it does not run")
        until = min(deadline, time.monotonic() + self._job.timeout)
        return self._pipes.exchange(packet, until, terse)

    def _start(self, deadline: float) -> None:
        """Have the program started, after its predecessor has ended."""
        self._close()
        if self._control is None:
            raise HelperLost("there is no process that could run it")
        try:
            most = _STARTING + 2 * self._job.timeout
            self._control.settimeout(min(max(0.001, deadline - time.monotonic()), most))
            if not self._awaited:
                self._control.send(b"start")
            self._awaited = True
            text, fds = _receive(self._control)
            self._awaited = False
        except TimeoutError:
            raise Unanswered("it could not be started in time") from None
        except OSError as error:
            raise HelperLost(f"the process that runs it is gone: {error.strerror}") from None
        if len(fds) != 2:
            raise Unanswered(text) if text else HelperLost("the process that runs it has ended")
        self._pipes = _Pipes(*fds)

    def _end(self) -> None:
        """Let it be ended, without waiting for that."""
        self._close()
        if self._control is not None and not self._awaited:
            with contextlib.suppress(OSError):
                self._control.send(b"end")

    def _close(self) -> None:
        if self._pipes is not None:
            self._pipes.close()
            self._pipes = None


class _Ended(Unanswered):
    """The program had ended when it was asked, or then ended after it had answered others."""


class _Pipes:
    """The ends of a program's standard input and output."""

    def __init__(self, to: int, from_: int) -> None:
        self._to = to
        self._from = from_
        self._has_answered = False
        for fd in (to, from_):
            os.set_blocking(fd, False)

    def close(self) -> None:
        os.close(self._to)
        os.close(self._from)

    def exchange(self, packet: bytes, deadline: float, terse: bool) -> dict[bytes, bytes]:
        self._throw_away()
        try:
            if os.write(self._to, packet) < len(packet):  # at most PIPE_BUF, so it is all or nothing
                raise Unanswered("it does not read its questions")
        except BlockingIOError:
            raise Unanswered("it does not read its questions") from None
        except BrokenPipeError:
            raise _Ended("it has ended") from None
        return self._answer(deadline, terse)

    def _throw_away(self) -> None:
        """Forget NULs behind the last answer; anything else would be taken for the next one."""
        with contextlib.suppress(BlockingIOError):
            if os.read(self._from, _READ).strip(b"\0") or os.read(self._from, _READ):
                raise Unanswered("it said something that nobody has asked")

    def _answer(self, deadline: float, terse: bool) -> dict[bytes, bytes]:
        octets = b""
        while True:
            self._wait(deadline)
            piece = os.read(self._from, _READ)
            if not piece:
                if self._has_answered and not octets:
                    raise _Ended("it has ended")
                raise Unanswered("it ended instead of answering")
            octets += piece
            try:
                found = packets.unpack(octets, terse=terse)
            except packets.BadPacket as error:
                raise Unanswered(f"not an answer: {error}") from None
            if found is not None:
                self._has_answered = True
                return found

    def _wait(self, deadline: float) -> None:
        poll = select.poll()
        poll.register(self._from, select.POLLIN)
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            raise Unanswered("it did not answer in time")


def _receive(control: socket.socket) -> tuple[str, list[int]]:
    octets, fds, _, _ = socket.recv_fds(control, 1024, 2, socket.MSG_CMSG_CLOEXEC)
    return octets.decode("utf-8", "replace"), fds


def _copy(fd: int, job: Job, log: Log) -> None:
    """Write what comes through a pipe to the log; the body of a thread."""
    budget = _Budget()
    rest = b""
    while piece := os.read(fd, _READ):
        *lines, rest = (rest + piece).split(b"\n")
        while len(rest) > _LONGEST_LINE:
            lines.append(rest[:_LONGEST_LINE])
            rest = rest[_LONGEST_LINE:]
        for line in filter(None, lines):
            if (held_back := budget.spend()) is not None:
                more = f" ({held_back} lines before this one were left out)" if held_back else ""
                log.write(NOTICE, f"auth-{job.name}: {job.program}: {printable(line)}{more}")


class _Budget:
    """How many lines may be written."""

    def __init__(self) -> None:
        self._until = 0.0
        self._left = 0
        self._held_back = 0

    def spend(self) -> int | None:
        """Return how many lines were held back before this one; None: this one is to be held back, too."""
        now = time.monotonic()
        if now >= self._until:
            self._until, self._left = now + _PERIOD, _MOST_LINES
        if not self._left:
            self._held_back += 1
            return None
        self._left -= 1
        held_back, self._held_back = self._held_back, 0
        return held_back
