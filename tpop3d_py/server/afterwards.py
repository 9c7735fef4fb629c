"""A process that does what follows from logins: takes one packet after the other, and answers nobody.

Each is done within a deadline, like a login: an alarm kills the process that hangs, and the master makes
another, which goes on with the next packet.  Told to end, it does what has come so far, for as long as the
deadline.

When things fail: damaged packets are logged and dropped; of what did not fit into the queue the log tells, at
most once a minute.
"""

from __future__ import annotations

import select
import signal
import socket
import time
from collections.abc import Callable
from typing import NamedTuple

from tpop3d_py.log import Log
from tpop3d_py.server.authlink import PACKET
from tpop3d_py.server.hearing import hear

#: Seconds between two lines about what was lost.
_QUIET = 60.0


class Plan(NamedTuple):
    """What such a process works with.

    Args:
        incoming: where packets come from.
        take: does one; `ValueError` says that the packet is damaged.
        rest: called when nothing is waiting; returns the seconds after which to call it again, or None.
        lost: tells how many packets there was no room for.
        deadline: seconds that one may take.
        log: the log.
    """

    incoming: socket.socket
    take: Callable[[bytes], None]
    rest: Callable[[], float | None]
    lost: Callable[[], int]
    deadline: float
    log: Log


def serve(plan: Plan) -> None:
    """Take packets until told to end by SIGTERM; the alarm is set for what comes after, too."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    wake, woken = socket.socketpair()
    woken.setblocking(False)
    signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
    ended: list[bool] = []
    log = plan.log
    hear({signal.SIGUSR1: lambda *_: log.reopen(), signal.SIGTERM: lambda *_: ended.append(True)})
    losses = _Losses(plan)
    again: float | None = 0.0
    while not ended:
        ready, _, _ = select.select([plan.incoming, wake], [], [], again)
        if wake in ready:
            wake.recv(64)
        while not ended and _take_next(plan):
            pass
        losses.tell()
        again = _rest(plan)
    signal.setitimer(signal.ITIMER_REAL, plan.deadline)
    while _obey_next(plan):
        pass
    plan.rest()


class _Losses:
    """Tells of packets there was no room for."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._told, self._quiet_until = plan.lost(), 0.0

    def tell(self) -> None:
        lost, now = self._plan.lost(), time.monotonic()
        if lost != self._told and now >= self._quiet_until:
            self._plan.log.warning(f"after logins: {lost - self._told} were not told of: too many at a time")
            self._told, self._quiet_until = lost, now + _QUIET


def _take_next(plan: Plan) -> bool:
    """Do what follows from one packet, within the deadline; False if there is none."""
    signal.setitimer(signal.ITIMER_REAL, plan.deadline)
    taken = _obey_next(plan)
    signal.setitimer(signal.ITIMER_REAL, 0)
    return taken


def _rest(plan: Plan) -> float | None:
    signal.setitimer(signal.ITIMER_REAL, plan.deadline)
    again = plan.rest()
    signal.setitimer(signal.ITIMER_REAL, 0)
    return again


def _obey_next(plan: Plan) -> bool:
    try:
        packet = plan.incoming.recv(PACKET, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    try:
        plan.take(packet)
    except ValueError as error:
        plan.log.error(f"after logins: dropped a damaged packet: {error}")
    return True
