"""A descriptor kept for the day when there is no other: to tell clients that there is no room.

A listener whose clients cannot be accepted stays ready, so that a worker would do nothing but try.  With the
spare one closed for a moment, one client is accepted, told to come back later, and closed.

When things fail: nothing is raised.  Where even the spare one does not help (the machine's descriptors or its
memory ran out), `turn_away` says so, and the worker has to rest.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading

#: Said in the words of no catalog: there is no session that would know one.
NO_ROOM = b"-ERR [SYS/TEMP] Too many connections; come back later.\r\n"


class Spare:
    """One descriptor in reserve."""

    def __init__(self) -> None:
        self._fd = os.open(os.devnull, os.O_RDONLY)
        self._lock = threading.Lock()

    def turn_away(self, listener: socket.socket, *, silently: bool = False) -> bool:
        """Accept one client and send it away; tell whether that was possible.

        Args:
            listener: non-blocking; if nobody waits there, that is well too.
            silently: say nothing, because the client expects a TLS handshake.
        """
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1
            try:
                return _refuse_one(listener, silently)
            finally:
                with contextlib.suppress(OSError):  # then it is tried again next time
                    self._fd = os.open(os.devnull, os.O_RDONLY)


def _refuse_one(listener: socket.socket, silently: bool) -> bool:
    try:
        client, _ = listener.accept()
    except (BlockingIOError, ConnectionAbortedError):
        return True
    except OSError:
        return False
    with client, contextlib.suppress(OSError):
        client.setblocking(False)
        if not silently:
            client.send(NO_ROOM)
    return True
