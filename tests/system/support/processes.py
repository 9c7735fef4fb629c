"""Child processes that run as long as a test needs them, on free loopback ports.

Every child writes to a log file; `Child.all` lists those that run, so that a
failing test can show what they said.  A child is stopped by its pid, and the
kernel stops it if the test run is killed.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

CHECKOUT = Path(__file__).parents[3]
INSTALL = CHECKOUT / "scripts" / "install-test-peers"
_HALT_SECONDS = 20


class PeerMissing(Exception):
    """A program that the system tests need is not installed."""


def program(*names: str) -> str:
    """Find a program by the first of its names or paths that exists.

    Raises:
        PeerMissing: none does; the text says what to run.
    """
    for name in names:
        found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
        if found:
            return found
    raise PeerMissing(f"{names[0]} is not installed; run: {INSTALL}")


def free_port() -> int:
    """Find a TCP port of 127.0.0.1 that nobody uses just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(condition: Callable[[], object], what: str, seconds: float = 20) -> None:
    """Return when a condition has become true.

    Args:
        condition: asked every 20 ms.
        what: a name for the failure's text.
        seconds: patience; generous, because it is spent only by tests that fail.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s for {what}")
        time.sleep(0.02)


def listens(port: int) -> bool:
    """Tell whether somebody accepts connections on a port of 127.0.0.1."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Child:
    """A server in the foreground."""

    all: ClassVar[list[Child]] = []

    def __init__(self, command: Sequence[str], log: Path, user: str = "") -> None:
        """Start it.

        Args:
            command: program and arguments.
            log: file for its standard output and error.
            user: the account to run as; empty: this one.
        """
        self.name = Path(command[0]).name
        self.logs = [log]
        # --pdeathsig: a test run that is killed leaves no server behind.
        guard = [program("setpriv"), "--pdeathsig", "TERM"]
        if user:
            guard += ["--reuid", user, "--regid", user, "--init-groups"]
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*guard, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        Child.all.append(self)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def wait_until(self, condition: Callable[[], object], what: str) -> None:
        """Wait for a condition, but not for a process that has died."""

        def ready() -> bool:
            if self._process.poll() is not None:
                raise RuntimeError(
                    f"{self.name} ended with code {self._process.returncode}:\n{self.output()}"
                )
            return bool(condition())

        wait_for(ready, what)

    def output(self, octets: int = 4000) -> str:
        """Return the end of each of its logs."""
        parts = []
        for path in self.logs:
            if path.exists():
                parts.append(f"--- {path.name}\n" + path.read_bytes()[-octets:].decode("utf-8", "replace"))
        return "\n".join(parts)

    def stop(self) -> None:
        """Ask it to end, insist after a while, and wait for it."""
        if self in Child.all:
            Child.all.remove(self)
        self._process.terminate()
        try:
            self._process.wait(_HALT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
