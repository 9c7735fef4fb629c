"""A clean Debian with systemd as its first process, in a container of systemd-nspawn.

Units are tried here as they will run: what they forbid is forbidden, and what they wait for has to come.
The network is shared, so a test reaches a service on the loopback address.  Where this machine has no systemd
itself, the container gets control groups made for it; they go when it goes.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.system.support.cleanroot import QUIET, CleanRoot
from tests.system.support.processes import Child, program, wait_for

#: Of version 1; the others would need settings before a process can be in a group of theirs.
_CONTROLLERS = {"name=systemd", "pids", "memory"}
_SECONDS = 90


class Machine:
    """A booted system.

    Attributes:
        root: its files.
    """

    def __init__(self, root: CleanRoot, log: Path) -> None:
        """Boot it, and wait until it has started what it starts."""
        self.root = root
        managed = Path("/run/systemd/system").is_dir()
        self._groups = [] if managed else list(_groups(f"tpop3d-machine-{os.getpid()}"))
        for group in self._groups:
            group.mkdir(exist_ok=True)
        join = " ".join(f"{group}/cgroup.procs" for group in self._groups)
        script = f'for group in {join}; do echo $$ > "$group"; done; exec "$@"'
        options = ["--boot", "--register=no", "--link-journal=no", "--resolv-conf=off", "--timezone=off"]
        options += ["--console=pipe", f"--directory={root.path}", *([] if managed else ["--keep-unit"])]
        self.child = Child([program("sh"), "-c", script, "sh", program("systemd-nspawn"), *options], log)
        try:
            self.child.wait_until(self._up, "the machine to boot")
        except Exception:
            self.stop()
            raise

    def attempt(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a shell command in it as root, whatever comes of it."""
        enter = [program("nsenter"), "-t", str(self._first()), "-m", "-p", "-u", "-i", "-C"]
        return subprocess.run(
            [*enter, "sh", "-c", command],
            capture_output=True,
            text=True,
            env=QUIET,
            timeout=_SECONDS,
            check=False,
        )

    def run(self, command: str) -> str:
        """Run a shell command that must succeed; return its output."""
        done = self.attempt(command)
        if done.returncode:
            told = self.attempt("journalctl --no-pager -o cat -n 20").stdout
            raise AssertionError(f"{command}:\n{done.stdout}{done.stderr}--- journal\n{told}")
        return done.stdout.strip()

    def journal(self, unit: str) -> str:
        """Return what a unit has written, and what systemd says of it."""
        return self.run(f"journalctl --no-pager -o cat -u {unit}")

    def stop(self) -> None:
        """Switch it off."""
        with contextlib.suppress(OSError, IndexError, subprocess.TimeoutExpired):
            self.attempt("systemctl poweroff --force")
        self.child.stop()
        for group in self._groups:
            wait_for(lambda group=group: _removed(group), f"{group} to be left")  # type: ignore[misc]

    def _first(self) -> int:
        """The container's first process, by its number outside."""
        return int(Path(f"/proc/{self.child.pid}/task/{self.child.pid}/children").read_text().split()[0])

    def _up(self) -> bool:
        with contextlib.suppress(OSError, IndexError):
            return self.attempt("systemctl is-system-running").stdout.strip() in ("running", "degraded")
        return False


def _groups(name: str) -> Iterator[Path]:
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, options, *_ = line.split()
        if kind == "cgroup2" or (kind == "cgroup" and _CONTROLLERS & set(options.split(","))):
            yield Path(place) / name


def _removed(group: Path) -> bool:
    if not group.exists():
        return True
    for folder, _, _ in os.walk(group, topdown=False):
        with contextlib.suppress(OSError):  # its last process is just ending
            os.rmdir(folder)
    return not group.exists()
