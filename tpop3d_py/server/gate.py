"""A worker's side of password checking: who waits for which answer, and who need not wait.

A login that the memory knows is answered at once; any other goes to an authentication process, and what
that says is offered to the memory.

When things fail: nothing is raised.  An answer that does not come in time, and a
request that cannot be sent, end as `Verdict.UNAVAILABLE`.
"""

from __future__ import annotations

import itertools
import socket
import time
from collections import deque
from collections.abc import Iterator
from typing import Generic, NamedTuple, TypeVar

from tpop3d_py.contracts import Credentials, Decision, LoginMemory, Verdict
from tpop3d_py.log import Log
from tpop3d_py.server.authlink import PACKET, Request, pack_request, unpack_answer

Waiter = TypeVar("Waiter")
_TOO_LATE = Decision(Verdict.UNAVAILABLE, detail="no answer from authentication in time")


class _Asked(NamedTuple, Generic[Waiter]):
    waiter: Waiter
    credentials: Credentials
    at: float


class Gate(Generic[Waiter]):
    """Sends logins to the authentication processes and matches the answers.

    Args:
        requests: where requests go.
        answers: where answers come from.
        worker: the slot that the answers are for.
        timeout: seconds to wait for an answer.
        log: for what is damaged or cannot be sent.
        memory: what is known without asking; None if every login is checked.

    Threads may call all methods at once: a waiter leaves the table by one `dict.pop`, so it is handed out
    once.
    """

    def __init__(
        self,
        requests: socket.socket,
        answers: socket.socket,
        worker: int,
        timeout: float,
        log: Log,
        memory: LoginMemory | None = None,
    ) -> None:
        self.answers = answers
        self._requests = requests
        self._worker = worker
        self._timeout = timeout
        self._log = log
        self._memory = memory
        self._numbers = itertools.count(time.monotonic_ns())
        self._waiting: dict[int, _Asked[Waiter]] = {}
        self._unsent: deque[bytes] = deque()

    def submit(self, waiter: Waiter, credentials: Credentials) -> Decision | None:
        """Return what is known of a login, or send it to be checked and return None.

        Then `waiter` comes back from `take` or `expired`.
        """
        if self._memory is not None and (known := self._memory.recall(credentials)) is not None:
            return known
        number, now = self._number(), time.monotonic()
        expires = int((now + self._timeout) * 1000)
        packet = pack_request(Request(number, self._worker, expires, credentials))
        self._waiting[number] = _Asked(waiter, credentials, now)
        self._unsent.append(packet)
        self._send()
        return None

    def _number(self) -> int:
        """Return a number for a request, which no other one has."""
        return next(self._numbers)

    @property
    def waiting(self) -> int:
        """How many answers are still to come."""
        return len(self._waiting)

    def forget(self, user: str) -> None:
        """Have an account's next login checked, whatever is remembered; `user` as logs have it."""
        if self._memory is not None:
            self._memory.forget(user)

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
        asked = self._waiting.pop(number, None)
        if asked is None:
            return None
        if self._memory is not None:
            self._memory.learn(asked.credentials, decision, asked.at)
        return asked.waiter, decision

    def expired(self, now: float) -> Iterator[tuple[Waiter, Decision]]:
        """Yield those who have waited too long."""
        self._send()
        for number, asked in list(self._waiting.items()):
            if asked.at + self._timeout <= now and (late := self._waiting.pop(number, None)):
                yield late.waiter, _TOO_LATE

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
