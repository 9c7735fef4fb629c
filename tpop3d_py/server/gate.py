"""A worker's side of password checking: who waits for which answer.

When things fail: nothing is raised.  An answer that does not come in time, and a
request that cannot be sent, end as `Verdict.UNAVAILABLE`.
"""

from __future__ import annotations

import itertools
import socket
import time
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

from tpop3d_py.contracts import Credentials, Decision, Verdict
from tpop3d_py.log import Log
from tpop3d_py.server.authlink import PACKET, Request, pack_request, unpack_answer

Waiter = TypeVar("Waiter")
_TOO_LATE = Decision(Verdict.UNAVAILABLE, detail="no answer from authentication in time")


class Gate(Generic[Waiter]):
    """Sends logins to the authentication processes and matches the answers.

    Threads may call all methods at once: a waiter leaves the table by one `dict.pop`, so it is handed out
    once.
    """

    def __init__(
        self, requests: socket.socket, answers: socket.socket, worker: int, timeout: float, log: Log
    ) -> None:
        self.answers = answers
        self._requests = requests
        self._worker = worker
        self._timeout = timeout
        self._log = log
        self._numbers = itertools.count(time.monotonic_ns())
        self._waiting: dict[int, tuple[Waiter, float]] = {}
        self._unsent: deque[bytes] = deque()

    def submit(self, waiter: Waiter, credentials: Credentials) -> None:
        """Send a login to be checked; `waiter` comes back from `take` or `expired`."""
        number = next(self._numbers)
        deadline = time.monotonic() + self._timeout
        packet = pack_request(Request(number, self._worker, int(deadline * 1000), credentials))
        self._waiting[number] = waiter, deadline
        self._unsent.append(packet)
        self._send()

    def take(self) -> tuple[Waiter, Decision] | None:
        """Read one answer and return who waits for it; None if it is nobody, or if there is no answer."""
        try:
            number, decision = unpack_answer(self.answers.recv(PACKET))
        except BlockingIOError:
            return None
        except ValueError as error:
            self._log.error(f"authentication: dropped a damaged answer: {error}")
            return None
        if self._unsent:
            self._send()
        waiting = self._waiting.pop(number, None)
        return None if waiting is None else (waiting[0], decision)

    def expired(self, now: float) -> Iterator[tuple[Waiter, Decision]]:
        """Yield those who have waited too long."""
        self._send()
        for number, (_, deadline) in list(self._waiting.items()):
            if deadline <= now and (waiting := self._waiting.pop(number, None)):
                yield waiting[0], _TOO_LATE

    def _send(self) -> None:
        """Send what the socket takes; the rest follows when an answer has made room."""
        while True:
            try:
                packet = self._unsent.popleft()
            except IndexError:
                return
            try:
                self._requests.send(packet)
            except BlockingIOError:
                self._unsent.appendleft(packet)
                return
            except OSError as error:
                self._log.error(f"authentication: cannot send a request: {error.strerror}")
                return
