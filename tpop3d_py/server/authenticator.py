"""An authentication process: takes one login at a time, checks it, answers.

Hashing a password holds the interpreter and a database may hang; both happen
here, where nobody else has to wait.  Before each check the process sets an
alarm whose default action kills it: no code of a driver can outlive the
deadline, however it hangs.  The master replaces a dead process; the worker that
asked has its own clock and answers [SYS/TEMP] by itself.

When things fail: a damaged packet is logged and dropped; a login nobody waits
for any more is dropped unread; an answer that the worker does not take within
the deadline dies with this process.  Workers that cannot be heard any more, which only one
that obeys somebody else can bring about, end it: the master then replaces it once a second.
"""

from __future__ import annotations

import contextlib
import select
import signal
import socket
import time
from collections.abc import Callable
from typing import Protocol

from tpop3d_py import libc
from tpop3d_py.contracts import Credentials, Decision, Verdict
from tpop3d_py.log import Log
from tpop3d_py.server.authlink import PACKET, AuthLink, Request, pack_answer, unpack_request
from tpop3d_py.server.hearing import hear

#: Octets of free memory that a process keeps.  argon2id works in 19 MiB; to take 5,000 pages from the kernel
#: for each check made it half as dear again (31 ms instead of 21).
_FOR_HASHES = 32 << 20

Decide = Callable[[Credentials], Decision]
#: Has a login that was granted go on elsewhere; returns None then, else the answer.
Grant = Callable[[Request, Decision], Decision | None]


class Chores(Protocol):
    """What is to be done when nobody waits for an answer."""

    def __bool__(self) -> bool:
        """Whether there is anything to do."""

    def do_one(self) -> None:
        """Do one thing; must not raise."""


def serve(
    link: AuthLink,
    decide: Decide,
    deadline: float,
    log: Log,
    chores: Chores | None = None,
    grant: Grant | None = None,
) -> None:
    """Answer login requests until told to end by SIGTERM; the alarm is set for what comes after, too.

    Args:
        link: the sockets to the workers.
        decide: checks one login; must not raise.
        deadline: seconds one check may take.
        log: for damaged packets.
        chores: done between logins, each within the deadline.
        grant: asked about each login that is granted; None: who asked is answered.
    """
    libc.keep_heap(_FOR_HASHES)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    end = _End()
    hear({signal.SIGUSR1: lambda _number, _frame: log.reopen(), signal.SIGTERM: end.ask})
    with contextlib.suppress(_Told):
        while True:
            packet = end.or_packet(link.requests_in)
            if not packet:
                log.error("authentication: no worker can be heard any more; restart the server")
                break
            signal.setitimer(signal.ITIMER_REAL, deadline)
            try:
                _answer(link, packet, decide, grant)
            except ValueError as error:
                log.error(f"authentication: dropped a damaged request: {error}")
            signal.setitimer(signal.ITIMER_REAL, 0)
            while chores and not end.asked and not _has_packet(link.requests_in):
                signal.setitimer(signal.ITIMER_REAL, deadline)
                chores.do_one()
                signal.setitimer(signal.ITIMER_REAL, 0)
    signal.setitimer(signal.ITIMER_REAL, deadline)


class _Told(BaseException):
    """This process was told to end."""


class _End:
    """Whether this process has been told to end; a login that is being checked is answered first."""

    def __init__(self) -> None:
        self.asked = False
        self._idle = False

    def ask(self, _number: int, _frame: object) -> None:
        self.asked = True
        if self._idle:
            self._idle = False  # once: a second signal must not interrupt what comes after
            raise _Told

    def or_packet(self, requests: socket.socket) -> bytes:
        """Wait for a request; raise `_Told` if the end comes first."""
        self._idle = True
        if self.asked:
            raise _Told
        packet = requests.recv(PACKET)
        self._idle = False
        return packet


def _has_packet(requests: socket.socket) -> bool:
    return bool(select.select([requests], [], [], 0)[0])


def _answer(link: AuthLink, packet: bytes, decide: Decide, grant: Grant | None) -> None:
    request = unpack_request(packet)
    if not 0 <= request.worker < len(link.answers_out):
        raise ValueError("there is no such worker")
    if request.expires <= time.monotonic() * 1000:
        return
    decision: Decision | None = decide(request.credentials)
    if grant is not None and decision is not None and decision.verdict is Verdict.GRANTED:
        decision = grant(request, decision)
    if decision is not None:
        link.answers_out[request.worker].send(pack_answer(request.number, decision))
