"""Fuzz one target with libFuzzer, guided by the coverage of tpop3d_py (atheris).

New inputs that reach new code go to --collect, a scratch folder unless it is given; an input that fails is
written to crash-SHA1 in the working directory and shown.  What is worth keeping goes into corpus/TARGET.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["tpop3d_py"]):
    from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"


def main() -> None:
    """Read the command line and fuzz; libFuzzer ends the process, with code 0 if nothing failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("--seconds", type=int, default=60, help="how long (60)")
    parser.add_argument("--runs", type=int, default=-1, help="how many inputs (any number)")
    parser.add_argument("--seed", type=int, default=0, help="of the random numbers (another each time)")
    parser.add_argument("--collect", type=Path, help="folder for new inputs")
    given = parser.parse_args()
    seeds = CORPUS / given.target
    collected = given.collect or Path(tempfile.mkdtemp(prefix="tpop3d-fuzz-"))
    arguments = [f"-max_total_time={given.seconds}", f"-runs={given.runs}", f"-seed={given.seed}"]
    arguments += ["-max_len=4096", "-timeout=10", str(collected), str(seeds)]
    atheris.Setup([sys.argv[0], *arguments], TARGETS[given.target])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
