"""Programs that read what we ship or write: they must be content with it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.system.support.processes import CHECKOUT, program


def run(*command: object, **options: str) -> str:
    """Run a program that must be content; return all it says."""
    words = [program(str(command[0])), *map(str, command[1:])]
    done = subprocess.run(
        words,
        capture_output=True,
        text=True,
        env={**os.environ, "LC_ALL": "C.UTF-8", **options},
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def found_by_filter(lines: str, folder: Path) -> list[str]:
    """Return the addresses that the filter finds, one for each line that it takes for a refused login."""
    filters = folder / "filter.d"
    shutil.copytree("/etc/fail2ban/filter.d", filters, ignore=lambda _at, names: {*names} - {"common.conf"})
    shutil.copy(CHECKOUT / "scripts/fail2ban/filter.d/pypop3d.conf", filters)
    (folder / "log").write_text(lines)
    return run("fail2ban-regex", "-o", "ip", folder / "log", filters / "pypop3d.conf").split()
