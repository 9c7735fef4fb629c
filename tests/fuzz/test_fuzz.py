"""A short run of the fuzzer on every target, all at once; the same run as long as the code is the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.fuzz.targets import TARGETS

CHECKOUT = Path(__file__).parents[2]
#: Inputs for each target: some ten seconds of work in all.
RUNS = {
    "lines": 2000,
    "sasl": 4000,
    "mbox": 20_000,
    "maildir_index": 9000,
    "mbox_index": 9000,
    "program_answer": 10_000,
}


def test_a_short_run_of_every_target(tmp_path: Path) -> None:
    runs = {}
    for target in TARGETS:
        limits = ["--runs", str(RUNS[target]), "--seed", "1", "--seconds", "60"]
        folder = tmp_path / target
        folder.mkdir()
        command = [sys.executable, "-m", "tests.fuzz", target, *limits, "--collect", str(folder)]
        # From the checkout, so that a crash is found by whoever looks for it.
        runs[target] = subprocess.Popen(
            command, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    said = {target: run.communicate(timeout=120)[0] for target, run in runs.items()}
    failed = {target: said[target][-4000:] for target, run in runs.items() if run.returncode != 0}
    assert not failed, "\n".join(failed.values())
    assert all("Done " in text for text in said.values())
