"""Which processes there are, whether they are all there, and whether a client could log in.

*Healthy* means that every process is running that the settings ask for, and shows signs of life.  *Ready*
means that, and that the directory answers: a question of a client's has been answered within `FRESH`
seconds, or else one of our own is, about a user that nobody can be, on the way that logins take.

When things fail: the answer is a sentence that says what is missing, and none if nothing is.
"""

from __future__ import annotations

import secrets
import select
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum

from tpop3d_py.contracts import Credentials, Decision, Mechanism, Peer, Verdict
from tpop3d_py.server.gate import Gate
from tpop3d_py.server.slots import Slot
from tpop3d_py.server.tally import Inhabitant, Tally

#: Seconds for which an answer of the directory proves that it answers.
FRESH = 2.0
#: Seconds of silence after which a worker does not count as alive; its heart beats four times a second.
SILENT = 10.0
#: Part of the name we ask about; the random rest makes sure that nobody has it.
_NOBODY = "pypop3d-readiness"


class Part(IntEnum):
    """What a process is for, as its row says."""

    WORKER = 1
    AUTHENTICATOR = 2
    MONITOR = 3
    MAIL = 4


class Census:
    """Counts processes.

    Args:
        tally: whose rows tell which processes there are.
        generation: number of the reading of the settings that is in force.
        expected: how many processes of each part it asks for.
        slots: of all processes, for their heartbeats.
        probe: asks the directory; returns what is wrong, or nothing.
    """

    def __init__(
        self,
        tally: Tally,
        generation: int,
        expected: Mapping[Part, int],
        slots: Sequence[Slot],
        probe: Callable[[], str],
    ) -> None:
        self._tally = tally
        self._generation = generation
        self._expected = expected
        self._slots = {slot.number: slot for slot in slots}
        self._probe = probe
        self._lock = threading.Lock()
        self._probed = (float("-inf"), "")

    def count(self) -> Counter[tuple[str, bool]]:
        """Count processes by what they are for, and whether they belong to settings of before."""
        return Counter(
            (Part(one.kind).name.lower(), one.generation != self._generation)
            for one in self._tally.inhabitants()
        )

    def workers(self) -> list[tuple[Slot, Inhabitant]]:
        """Return the workers that can be asked."""
        return [
            (self._slots[one.row], one)
            for one in self._tally.inhabitants()
            if one.kind in (Part.WORKER, Part.MAIL) and one.row in self._slots
        ]

    def draining(self, one: Inhabitant) -> bool:
        """Tell whether a process only finishes what it began before the settings were read again."""
        return one.generation != self._generation

    def ailment(self) -> str:
        """Say what keeps the daemon from being healthy; nothing if it is."""
        there = self.count()
        for part, expected in self._expected.items():
            name = part.name.lower()
            if (alive := there[name, False]) < expected:
                return f"{alive} of {expected} {name} processes are running"
        for slot, one in self.workers():
            if slot.silent_for() > SILENT:
                return f"worker process {one.pid} shows no sign of life"
        return ""

    def obstacle(self) -> str:
        """Say what keeps clients from logging in; nothing if nothing does."""
        return self.ailment() or self._directory()

    def _directory(self) -> str:
        now = time.monotonic()
        lately = max((one.answered for one in self._tally.inhabitants()), default=0.0)
        if lately and now - lately <= FRESH:
            return ""
        with self._lock:  # one probe at a time, however many ask
            if time.monotonic() - self._probed[0] > FRESH:
                trouble = self._probe()
                self._probed = time.monotonic(), trouble
            return self._probed[1]


def asking(gate: Gate[str], timeout: float, domain: str) -> Callable[[], str]:
    """Make a probe that asks the authentication processes about nobody.

    Args:
        gate: the way to them.
        timeout: seconds after which there is no answer.
        domain: a virtual domain of ours.
    """
    poll = select.poll()
    poll.register(gate.answers, select.POLLIN)

    def probe() -> str:
        token = secrets.token_hex(8)
        name = f"{_NOBODY}-{token}@{domain}"
        peer = Peer("127.0.0.1", 0, "127.0.0.1", 0, domain)
        gate.submit(token, Credentials(Mechanism.PASSWORD, name, token.encode(), b"", peer))
        decision = _await(gate, poll, token, time.monotonic() + timeout)
        if decision is None:
            return "logins are not answered in time"
        return "the directory cannot be asked" if decision.verdict is Verdict.UNAVAILABLE else ""

    return probe


def _await(gate: Gate[str], poll: select.poll, token: str, end: float) -> Decision | None:
    while (left := end - time.monotonic()) > 0:
        if poll.poll(left * 1000):
            answer = gate.take()
            if answer is not None and answer[0] == token:
                return answer[1]
        for _ in gate.expired(time.monotonic()):
            pass  # what nobody waits for any more
    return None
