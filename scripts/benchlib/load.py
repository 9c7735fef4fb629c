"""The load: builds popload.c and tlsload.c, runs them, reads their line of figures.

When things fail: `LoadError` says what the program or the compiler said.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import which

_SOURCES = Path(__file__).parents[1]
#: Kinds of session that are a TLS handshake and little else.
TLS_MODES = ("handshake", "resumed")
#: Seconds beyond the load itself after which popload is given up.
_PATIENCE = 60


class LoadError(Exception):
    """There is no load, or it did not go as it should."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What one run of popload measured.

    Args:
        sessions: completed.
        errors: sessions that failed.
        rate: sessions per second.
        p50: median duration of a session, in milliseconds.
        p99: duration that 99 of 100 sessions stayed under, in milliseconds.
        client_cpu: processor seconds of the load itself.
        resumed: sessions whose TLS handshake was a resumption.
    """

    sessions: int
    errors: int
    rate: float
    p50: float
    p99: float
    client_cpu: float
    resumed: int = 0


def _build(folder: Path, name: str, *libraries: str) -> Path:
    compiler = which("cc") or which("gcc")
    if compiler is None:
        raise LoadError("there is no C compiler (apt-get install gcc libc6-dev)")
    command = [compiler, "-O2", "-o", str(folder / name), str(_SOURCES / f"{name}.c"), *libraries]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LoadError(f"{name}.c does not compile:\n{done.stderr}")
    return folder / name


class Popload:
    """The load generators, built."""

    def __init__(self, folder: Path, *, tls: bool = False) -> None:
        """Build them.

        Args:
            folder: where the programs go.
            tls: also the one for TLS handshakes, which needs the headers of OpenSSL (libssl-dev).
        """
        self._program = _build(folder, "popload")
        self._tls = _build(folder, "tlsload", "-lssl", "-lcrypto", "-lpthread") if tls else None

    def run(self, port: int, names: str, mode: str, seconds: float, *, users: int, clients: int) -> Figures:
        """Put load on a server.

        Args:
            port: of 127.0.0.1.
            names: login name with %d for the user's number.
            mode: poll, uidl, fetch, or one of `TLS_MODES`.
            seconds: how long sessions are begun.
            users: how many there are.
            clients: sessions at a time.
        """
        if mode in TLS_MODES:
            command = self._handshakes(port, mode, seconds, clients)
        else:
            command = self._command(port, names, mode, seconds, users, clients)
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=seconds + _PATIENCE
        )
        values = dict(re.findall(r"(\w+)=([\d.]+)", done.stdout))
        if "sessions" not in values:
            raise LoadError(f"popload failed: {done.stdout}{done.stderr}")
        if values["sessions"] == "0" or int(values["errors"]) > int(values["sessions"]):
            raise LoadError(f"no session succeeds as {names}: {done.stdout}{done.stderr}")
        return Figures(
            int(values["sessions"]),
            int(values["errors"]),
            float(values["rate"]),
            float(values["p50"]),
            float(values["p99"]),
            float(values["clientcpu"]),
            int(values.get("resumed", 0)),
        )

    @contextmanager
    def holding(self, port: int, names: str, *, users: int, sessions: int) -> Iterator[None]:
        """Keep sessions logged in and idle as long as the block runs."""
        command = self._command(port, names, "hold", 600, users, sessions)
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as holder:
            try:
                assert holder.stdout is not None  # it is a pipe
                line = holder.stdout.readline()  # ends without a line when popload does
                if not line.startswith(f"held={sessions} "):
                    raise LoadError(f"{sessions} sessions cannot be held: {line.strip() or 'not all got in'}")
                yield
            finally:
                holder.kill()

    def _handshakes(self, port: int, mode: str, seconds: float, clients: int) -> list[str]:
        words = [str(self._tls), "-p", str(port), "-s", f"{seconds:g}", "-c", str(clients)]
        return [*words, "-r"] if mode == "resumed" else words

    def _command(
        self, port: int, names: str, mode: str, seconds: float, users: int, clients: int
    ) -> list[str]:
        words = [str(self._program), "-p", str(port), "-u", names, "-m", mode, "-s", f"{seconds:g}"]
        return [*words, "-n", str(users), "-c", str(clients), "-w", PASSWORD]


#: The password of every account.
PASSWORD = "haslo_lusera"  # noqa: S105 - of accounts that live as long as the benchmark
