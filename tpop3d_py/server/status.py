"""Asking all workers at once what they are doing.

A worker answers when one of its threads is free.  One that does not within `PATIENCE` is passed over, so that
a worker that is stuck delays nobody's answer.  What comes later, for a question that nobody waits for any
more, is told by its number and dropped.

When things fail: a worker that is gone, or says what makes no sense, counts as silent.
"""

from __future__ import annotations

import itertools
import select
import threading
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass

from tpop3d_py.server.live import PACKET, Message, pack, unpack
from tpop3d_py.server.slots import Slot

#: Seconds a worker has for its next packet.
PATIENCE = 1.0
#: Seconds that all packets of one worker may take together.
LONGEST = 10.0


@dataclass(slots=True)
class _Asked:
    slot: Slot
    due: float


class Inquiry:
    """Asks workers over their control channels; one question at a time, whoever asks."""

    def __init__(self) -> None:
        self._numbers = itertools.count(time.monotonic_ns())
        self._lock = threading.Lock()

    def ask(self, slots: Sequence[Slot], question: Message) -> Generator[tuple[Slot, Message | None]]:
        """Put a question to workers; yield each packet of their answers, and None for the silent ones.

        Args:
            slots: of the workers.
            question: without a number.
        """
        with self._lock:
            number = next(self._numbers)
            yield from self._collect(slots, number, pack({**question, "n": number}))

    def _collect(
        self, slots: Sequence[Slot], number: int, packet: bytes
    ) -> Generator[tuple[Slot, Message | None]]:
        poll = select.poll()
        waiting: dict[int, _Asked] = {}
        for slot in slots:
            if _send(slot, packet):
                fd = slot.far_control.fileno()
                waiting[fd] = _Asked(slot, time.monotonic() + PATIENCE)
                poll.register(fd, select.POLLIN)
            else:
                yield slot, None
        end = time.monotonic() + LONGEST
        while waiting:
            for fd, _ in poll.poll(50):
                asked = waiting[fd]
                asked.due = time.monotonic() + PATIENCE
                message = _receive(asked.slot)
                if message is not None and message["n"] != number:
                    continue
                if message is None or message.get("last"):
                    poll.unregister(fd)
                    del waiting[fd]
                yield asked.slot, message
            now = time.monotonic()
            for fd, asked in list(waiting.items()):
                if now >= min(asked.due, end):
                    poll.unregister(fd)
                    del waiting[fd]
                    yield asked.slot, None


def _send(slot: Slot, packet: bytes) -> bool:
    try:
        slot.far_control.send(packet)
    except OSError:  # it is gone, or has not read the questions before
        return False
    return True


def _receive(slot: Slot) -> Message | None:
    try:
        return unpack(slot.far_control.recv(PACKET))
    except (OSError, ValueError):
        return None
