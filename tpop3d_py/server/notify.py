"""Words to the service manager (sd_notify(3)): ready, reloading, stopping, alive.

When things fail: nothing is raised; without a service manager nothing is sent.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time


class Notifier:
    """Speaks to the service manager that started us, if one did; the environment forgets it.

    Our processes inherit the object and must not use it: only the master speaks.
    """

    def __init__(self) -> None:
        path = os.environ.pop("NOTIFY_SOCKET", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path
        watched, pid = os.environ.pop("WATCHDOG_USEC", ""), os.environ.pop("WATCHDOG_PID", "")
        mine = pid in ("", str(os.getpid())) and watched.isdigit()
        #: Seconds between two signs of life, half of what the manager waits; 0: it does not watch us.
        self.interval = int(watched) / 2_000_000 if mine else 0.0

    @property
    def listening(self) -> bool:
        """Whether a service manager waits for our word; it wants to see the process that it started."""
        return bool(self._address)

    def ready(self, status: str) -> None:
        """Tell that we serve, after a start or a reload."""
        self._send(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """Tell that the settings are being read again; `ready` ends that."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Tell that we are about to end."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """Give a sign of life."""
        self._send("WATCHDOG=1")

    def _send(self, words: str) -> None:
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.sendto(words.encode(), self._address)
