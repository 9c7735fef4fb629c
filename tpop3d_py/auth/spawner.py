"""Runs a site's authentication program, as the user it is to run as; a process of its own.

Started by `coprocess.Spawner` as ``python spawner.py CONTROL STDERR GRACE UID GID GROUPS PROGRAM CONTEXT``,
while the authentication process is still root.  It becomes the program's user at once and for good, so that
the program can be started again later although nobody has any rights left.  It knows one program, reads no
octet that a client sent, imports nothing of ours, and has none of our memory.

CONTROL is a packet socket.  ``start`` ends what runs and starts the program anew; the answer is its process
id and, as descriptors, the two ends to talk to it by, or a sentence about what went wrong.  ``end`` ends
it; there is no answer.  When the other side closes, the program is ended and so is this.

The program is started as its authors expect: nothing in its environment but PATH and TPOP3D_CONTEXT, no
descriptor but 0, 1 and 2, in a session of its own, so that its children are ended with it.  To end means
SIGTERM, and SIGKILL when GRACE seconds have not been enough.

When things fail: the sentence in an answer to ``start``; an exit when the user cannot be changed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import socket
import sys
from typing import NoReturn

_PR_SET_PDEATHSIG = 1
_NOT_RUN = 127
#: The authentication process says when it is over, and a socket that closes is no accident.
_IGNORED = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGPIPE, signal.SIGUSR1, signal.SIGUSR2)


class Program:
    """The program while it runs.

    Args:
        pid: of it and of its group.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._watch = os.pidfd_open(pid)

    def has_ended(self, seconds: float) -> bool:
        """Wait for its end."""
        poll = select.poll()
        poll.register(self._watch, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def end(self, grace: float) -> None:
        """End it and what it has started."""
        for number in (signal.SIGTERM, signal.SIGKILL):  # the second also for what is left of its children
            with contextlib.suppress(PermissionError):  # a set-user-id program is not ours to end
                os.killpg(self.pid, number)  # the number is its own until it has been waited for
            self.has_ended(grace)
        os.waitpid(self.pid, os.WNOHANG)
        os.close(self._watch)


class Runner:
    """Obeys one authentication process.

    Args:
        control: the socket to it.
        stderr: descriptor that becomes the program's standard error.
        grace: seconds between SIGTERM and SIGKILL.
        program: absolute path.
        context: what TPOP3D_CONTEXT says.
    """

    def __init__(self, control: socket.socket, stderr: int, grace: float, program: str, context: str) -> None:
        self._control = control
        self._stderr = stderr
        self._grace = grace
        self._program = program
        self._environment = {"PATH": "/bin", "TPOP3D_CONTEXT": context}
        self._prctl = ctypes.CDLL(None).prctl
        self._running: Program | None = None

    def run(self) -> None:
        """Obey until the other side closes."""
        try:
            while word := self._control.recv(16):
                self._end()
                if word == b"start":
                    self._answer()
        finally:
            self._end()

    def _end(self) -> None:
        if self._running is not None:
            self._running.end(self._grace)
            self._running = None

    def _answer(self) -> None:
        ends: list[int] = []
        try:
            ends += os.pipe()
            ends += os.pipe()
            theirs_in, ours_out, ours_in, theirs_out = ends
            self._running = Program(self._start(theirs_in, theirs_out))
            socket.send_fds(self._control, [b"%d" % self._running.pid], [ours_out, ours_in])
        except OSError as error:
            self._control.send(f"{self._program}: {error.strerror}".encode())
        finally:
            for fd in ends:
                os.close(fd)

    def _start(self, stdin: int, stdout: int) -> int:
        """Start the program; raise the `OSError` that it could not be executed for."""
        told, tell = os.pipe()
        try:
            pid = os.fork()
            if pid == 0:
                self._become(stdin, stdout, tell)
            os.close(tell)
            tell = -1
            if number := os.read(told, 16):
                os.waitpid(pid, 0)
                raise OSError(int(number), os.strerror(int(number)))
        finally:
            os.close(told)
            if tell >= 0:
                os.close(tell)
        return pid

    def _become(self, stdin: int, stdout: int, tell: int) -> NoReturn:
        try:
            os.setsid()
            self._prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
            for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
                signal.signal(number, signal.SIG_DFL)  # whatever we, or who started the daemon, have ignored
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            # Ours are all above 2, and none but these three outlives the execution.
            for fd, standard in ((stdin, 0), (stdout, 1), (self._stderr, 2)):
                os.dup2(fd, standard, inheritable=True)
            os.chdir("/")
            os.execve(self._program, [self._program], self._environment)  # noqa: S606 - no shell is wanted
        except OSError as error:
            os.write(tell, b"%d" % (error.errno or 0))
        finally:
            os._exit(_NOT_RUN)


def _become_user(uid: int, gid: int, groups: list[int]) -> None:
    if os.geteuid() == 0:
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    if os.getresuid() != (uid,) * 3 or os.getresgid() != (gid,) * 3:
        raise PermissionError("cannot become the program's user")


def main(arguments: list[str]) -> None:
    """Be the process; see the module's description for the arguments."""
    control, stderr, grace, uid, gid, groups, program, context = arguments
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    for fd in (int(control), int(stderr)):
        os.set_inheritable(fd, False)
    runner = Runner(socket.socket(fileno=int(control)), int(stderr), float(grace), program, context)
    _become_user(int(uid), int(gid), [int(group) for group in groups.split(",") if group])
    runner.run()


if __name__ == "__main__":
    main(sys.argv[1:])
