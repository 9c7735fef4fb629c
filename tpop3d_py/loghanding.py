"""The way of a rotated log file from the master to processes that may not open it.

Rules: one packet for each process, each with a descriptor of the new file (SCM_RIGHTS in unix(7)).  Only the
master gives; other processes close that end, because they read what clients send.

When things fail: a process that finds no packet tries to open the file itself.
"""

from __future__ import annotations

import contextlib
import os
import socket


class Handing:
    """The way of a new log file to processes that may not open it; made by the master before its first fork.

    All packets of one rotation carry the same file, so it does not matter who takes which.
    """

    def __init__(self) -> None:
        self._in, self._out = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for sock in (self._in, self._out):
            sock.setblocking(False)

    def give(self, fd: int, processes: int) -> None:
        """Hand a descriptor to so many processes."""
        with contextlib.suppress(OSError):  # the rest will try to open it themselves
            for _ in range(processes):
                socket.send_fds(self._out, [b"."], [fd])

    def take(self) -> int | None:
        """Take the descriptor that was handed to this process; None if there is none."""
        try:
            _, descriptors, _, _ = socket.recv_fds(self._in, 1, 1)
        except OSError:
            return None
        return descriptors[0] if descriptors else None

    def clear(self) -> None:
        """Forget what processes that have died did not take."""
        while (fd := self.take()) is not None:
            os.close(fd)

    def follow(self) -> None:
        """Give up giving: what others write to is not for a process to say that reads what clients send."""
        self._out.close()
