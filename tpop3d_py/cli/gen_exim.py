"""vmail-gen-exim: print Exim's configuration for the domains of the directory.

When things fail: standard output stays empty, so that a redirection makes an
empty file and never half a configuration.
"""

from __future__ import annotations

import argparse
import os
import stat
import sys
from collections.abc import Sequence

from tpop3d_py.cli import common
from tpop3d_py.mta import exim
from tpop3d_py.mta.facts import Database, MysqlServer, database

_SMTP_PORT = 25

_EXAMPLES = """\
examples:
  vmail-gen-exim > /etc/exim4/exim.conf.d/vmail
  vmail-gen-exim --section routers > /etc/exim4/exim.conf.d/vmail.routers   (to be .included)
  vmail-gen-exim --standalone --hostname mail.klient1.pl > /etc/exim4/exim4.conf
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = make_parser()
    try:
        arguments = parser.parse_args(argv)
        server = _server(parser, arguments)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else common.USAGE
    return common.guarded(parser.prog, lambda: _print(parser.prog, arguments, server))


def make_parser() -> common.Parser:
    """Describe the command line, to argparse, the manual page and the shells."""
    made = common.parser(
        "vmail-gen-exim",
        "Print what Exim 4.96 or newer needs to serve the domains of the SQL directory:\n"
        "its main, ACL, router and transport sections.",
        _EXAMPLES,
    )
    form = made.add_mutually_exclusive_group()
    form.add_argument("--section", choices=exim.SECTIONS, help="print this section only, for .include")
    form.add_argument("--standalone", action="store_true", help="print a whole exim.conf that can be started")
    made.add_argument("--hostname", metavar="NAME", help="standalone: the server's name (else the machine's)")
    made.add_argument("--listen", metavar="ADDRESS", help="standalone: the only address to listen on")
    made.add_argument("--port", type=_port, metavar="N", help=f"standalone: the port (else {_SMTP_PORT})")
    return made


def _port(word: str) -> int:
    if not (word.isascii() and word.isdigit() and 1 <= int(word[:6]) <= 65535):
        raise argparse.ArgumentTypeError("must be between 1 and 65535")
    return int(word)


def _server(parser: common.Parser, arguments: argparse.Namespace) -> exim.Server | None:
    """Return what --standalone needs, or None without it."""
    given = (arguments.hostname, arguments.listen, arguments.port)
    if not arguments.standalone:
        if given != (None, None, None):
            parser.error("--hostname, --listen and --port need --standalone")
        return None
    return exim.Server(
        arguments.hostname or "", arguments.listen or "", _SMTP_PORT if given[2] is None else given[2]
    )


def _print(program: str, arguments: argparse.Namespace, server: exim.Server | None) -> None:
    facts = database(common.read_settings(arguments.config))
    text = _text(facts, arguments.section, server)
    if isinstance(facts, MysqlServer) and arguments.section in (None, "main") and _is_open_file():
        print(
            f"{program}: everybody may read this output, and it holds the database password: chmod 640 it",
            file=sys.stderr,
        )
    # Octets: a password must not depend on the locale.
    sys.stdout.buffer.write(text.encode())


def _text(facts: Database, section: str | None, server: exim.Server | None) -> str:
    if server is not None:
        return exim.standalone(facts, server)
    return exim.fragment(facts) if section is None else exim.section(section, facts)


def _is_open_file() -> bool:
    """Tell whether the output goes into a file that everybody may read: the shell made it, by its umask."""
    try:
        mode = os.fstat(sys.stdout.fileno()).st_mode
    except OSError:  # not a file at all
        return False
    return stat.S_ISREG(mode) and bool(mode & stat.S_IRWXO)


if __name__ == "__main__":
    sys.exit(main())
