"""Check a POP3 server against the RFCs.

Use a scratch account.  Without --destructive nothing is removed from it, by a server that does what it
should; with --prepare-by, messages are delivered first, and much more can be checked.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.conformance.prepare import Maildir, Mbox, Preparer, Smtp
from tests.conformance.registry import Level
from tests.conformance.report import as_json, as_text
from tests.conformance.run import Outcome, run
from tests.conformance.site import Options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the checks; 0 if none failed, 1 if one did, 2 if they could not be run."""
    parser = _parser()
    given = parser.parse_args(arguments)
    options = Options(
        given.host,
        given.port or (995 if given.tls else 110),
        given.user,
        given.password,
        "tls" if given.tls else "stls" if given.stls else "none",
        given.destructive,
        given.slow,
    )
    try:
        preparer = _preparer(given.prepare_by)
        results = run(options, preparer, given.only)
    except (OSError, ValueError, EOFError) as error:
        print(f"the server cannot be checked: {error}", file=sys.stderr)
        return 2
    print(as_json(results) if given.json else as_text(results, verbose=given.verbose))
    binding = {Level.MUST} if given.must_only else set(Level)
    return int(any(r.outcome is Outcome.FAIL and r.check.level in binding for r in results))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("--host", required=True, help="name or address of the server")
    parser.add_argument("--port", type=int, help="TCP port (110, or 995 with --tls)")
    parser.add_argument("--user", required=True, help="name of the scratch account")
    parser.add_argument("--password", required=True, help="its password")
    security = parser.add_mutually_exclusive_group()
    security.add_argument("--tls", action="store_true", help="the port speaks TLS from the start")
    security.add_argument("--stls", action="store_true", help="upgrade every connection with STLS")
    parser.add_argument(
        "--prepare-by",
        nargs="+",
        default=["none"],
        metavar=("WAY", "PLACE"),
        help="deliver messages first: maildir DIRECTORY, mbox FILE, smtp HOST:PORT RECIPIENT, or none",
    )
    parser.add_argument("--destructive", action="store_true", help="remove mail of the account, too")
    parser.add_argument("--slow", action="store_true", help="run the check that takes ten minutes, too")
    parser.add_argument("--only", default="", metavar="TEXT", help="only checks whose name has this text")
    parser.add_argument("--must-only", action="store_true", help="only failures of level must count")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parser.add_argument("--verbose", action="store_true", help="show the dialogue of failed checks")
    return parser


def _preparer(words: Sequence[str]) -> Preparer | None:
    match words:
        case ["none"]:
            return None
        case ["maildir", directory]:
            return Maildir(Path(directory))
        case ["mbox", file]:
            return Mbox(Path(file))
        case ["smtp", address, recipient]:
            host, _, port = address.rpartition(":")
            return Smtp(host, int(port), recipient)
    raise ValueError("--prepare-by: maildir DIRECTORY, mbox FILE, smtp HOST:PORT RECIPIENT, or none")


if __name__ == "__main__":
    sys.exit(main())
