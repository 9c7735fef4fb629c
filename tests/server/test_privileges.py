"""What a process does to itself, tried in processes of their own."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_soft_limit_of_open_files_is_raised_to_the_hard_one() -> None:
    program = "from tpop3d_py.server import privileges; print(privileges.raise_descriptor_limit(10))"
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            program + "; import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE))",
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, 500)),
    )
    assert done.stdout.split("\n")[:2] == ["500", "(500, 500)"]
