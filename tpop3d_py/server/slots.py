"""A slot is the place of one process of ours: its row in every shared table, its channel, its heartbeat.

The master hands a slot to each process it starts and takes it back when the process is gone, over all
reloads; the lowest free number first, so that the rows in use stay few and close together.

Two ends belong to a slot: `control` is the process's own, over which it is asked what it is doing and told
to do things; `far_control` the asking one.  The heartbeat is a cell of memory shared with the master: what
does not beat any more is hung and gets replaced.

When things fail: an `OSError` where the machine has no descriptors left, or where `MOST` processes live.
"""

from __future__ import annotations

import errno
import heapq
import mmap
import socket
import time
from dataclasses import dataclass, field

#: Processes at one time, those that only finish what they began before a reload included.
MOST = 512
_CELL = 8


@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """The place of one process.

    Args:
        number: of the slot, 0 to `MOST` - 1.
        control: the process's end of its channel, non-blocking, one packet for each request or answer.
        far_control: the end of whoever asks, non-blocking.
        beats: the shared heartbeats, CLOCK_MONOTONIC milliseconds by slot.
    """

    number: int
    control: socket.socket
    far_control: socket.socket
    beats: memoryview = field(repr=False)

    def beat(self) -> None:
        """Show the master that this process is not hung."""
        self.beats[self.number] = int(time.monotonic() * 1000)

    def silent_for(self) -> float:
        """How many seconds ago the last sign of life was."""
        return time.monotonic() - self.beats[self.number] / 1000


class Slots:
    """All slots; made by the master before its first fork."""

    def __init__(self) -> None:
        self._beats = memoryview(mmap.mmap(-1, MOST * _CELL)).cast("q")
        self._free = list(range(MOST))  # a heap, and in order
        self._taken: dict[int, Slot] = {}

    def take(self) -> Slot:
        """Take the lowest free slot.

        Raises:
            OSError: there is none, or there are no descriptors for its channel.
        """
        if not self._free:
            raise OSError(errno.EAGAIN, f"{MOST} processes are running already")
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        near.setblocking(False)
        far.setblocking(False)
        slot = Slot(heapq.heappop(self._free), near, far, self._beats)
        slot.beat()
        self._taken[slot.number] = slot
        return slot

    def living(self) -> list[Slot]:
        """The slots that are taken, by number; for a process that asks the others."""
        return [self._taken[number] for number in sorted(self._taken)]

    def handed_over(self, slot: Slot) -> None:
        """Close the master's copy of an end that the process has now, so that its death ends the channel."""
        slot.control.close()

    def keep_only(self, slot: Slot) -> None:
        """In a new process: close the ends that belong to others."""
        for other in self._taken.values():
            other.far_control.close()
            if other is not slot:
                other.control.close()

    def release(self, slot: Slot) -> None:
        """Take the slot of a dead process back."""
        slot.control.close()
        slot.far_control.close()
        if self._taken.pop(slot.number, None) is slot:
            heapq.heappush(self._free, slot.number)
