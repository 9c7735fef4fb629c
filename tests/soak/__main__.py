"""Run a day: ``python -m tests.soak --minutes 15`` (as root, with what the system tests need)."""

from __future__ import annotations

import argparse
import pwd
import sys
import tempfile
from pathlib import Path

from tests.soak.run import Day, live_through


def main() -> int:
    """Run it and print what came of it; exit code 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=15.0, help="how long, the calm third included")
    parser.add_argument("--boxes", type=int, default=10, help="mailboxes, half of them maildirs")
    parser.add_argument("--reload-every", type=float, default=10.0, metavar="SECONDS")
    parser.add_argument("--kill-every", type=float, default=4.0, metavar="SECONDS")
    parser.add_argument("--user", default="nobody", help="Unix account that owns the mail")
    parser.add_argument("--seed", type=int, default=1)
    words = parser.parse_args()
    seconds = 60 * words.minutes
    day = Day(seconds * 2 / 3, seconds / 3, words.boxes, words.reload_every, words.kill_every, words.seed)
    with tempfile.TemporaryDirectory(prefix="tpop3d-soak-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        outcome = live_through(day, Path(folder) / "site", pwd.getpwnam(words.user))
    print(*outcome.wrongs, sep="\n")
    for what, count in sorted(outcome.counts.items()):
        print(f"{count:8} {what}")
    print(f"before the last sixth: {outcome.before}\nafter it: {outcome.after}")
    print(f"{len(outcome.wrongs)} broken promises")
    return 1 if outcome.wrongs else 0


if __name__ == "__main__":
    sys.exit(main())
