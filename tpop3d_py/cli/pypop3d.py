"""pypop3d: the POP3 daemon."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from tpop3d_py import __version__, assemble
from tpop3d_py.cli import control
from tpop3d_py.config import ConfigError, load
from tpop3d_py.config.documents import sample_file

DEFAULT_FILE = "/etc/tpop3d.conf"


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line, to argparse, the manual page and the shells."""
    parser = argparse.ArgumentParser(
        prog="pypop3d",
        description="POP3 daemon for virtual domains; reads the tpop3d configuration language.",
        epilog="status, kick, forget and forgive talk to a running daemon: see pypop3d COMMAND --help.",
    )
    parser.add_argument(
        "-f", dest="file", metavar="FILE", default=DEFAULT_FILE, help=f"configuration ({DEFAULT_FILE})"
    )
    parser.add_argument(
        "-p", dest="pid_file", metavar="FILE", default="", help="store the process id in FILE"
    )
    parser.add_argument(
        "-d", dest="foreground", action="store_true", help="stay in the foreground, log to stderr"
    )
    parser.add_argument("-v", dest="verbose", action="store_true", help="log the dialogue, passwords masked")
    parser.add_argument("--check", action="store_true", help="check the configuration and exit")
    parser.add_argument("--sample", action="store_true", help="print a sample configuration and exit")
    parser.add_argument("--version", action="version", version=f"pypop3d {__version__}")
    return parser


def _fill_standard_descriptors() -> None:
    """Open what whoever started us closed: no socket of ours may become descriptor 2, where the log goes."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(fd)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; exit code 0 after a signal or a good check, 1 for trouble, 2 for a bad option."""
    _fill_standard_descriptors()
    words = sys.argv[1:] if argv is None else argv
    if words and words[0] in control.COMMANDS:
        return control.main(words)
    options = make_parser().parse_args(words)
    try:
        groups = assemble.daemon_groups()
        if options.sample:
            print(sample_file("pypop3d configuration", groups), end="")
            return 0
        path = os.path.abspath(options.file)  # it is read again when the working directory has changed
        if options.check:
            findings = assemble.check(load(options.file, groups))
            for line in findings.warnings:
                print(f"pypop3d: warning: {line}", file=sys.stderr)
            drivers = ", ".join(findings.drivers)
            print(f"pypop3d: {options.file}: no mistakes found; users are looked for in: {drivers}")
            return 0
        asked = assemble.Options(options.foreground, options.verbose, options.pid_file)
        return assemble.serve(lambda: load(path, groups), asked)
    except (ConfigError, assemble.StartError) as error:
        for line in str(error).splitlines():
            print(f"pypop3d: {line}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
