"""`make demo`: what it says where it cannot work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

DEMO = Path(__file__).resolve().parents[1] / "scripts" / "demo"


def test_a_place_that_cannot_be_had_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    wanted = tmp_path / "file" / "demo"
    done = subprocess.run(
        [sys.executable, DEMO, "--directory", wanted], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (
        1,
        f"demo: {wanted}: Not a directory; remove it, or use --directory\n",
    )
