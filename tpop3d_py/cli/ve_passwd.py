"""VE-passwd: passwords of domains and of boxes, in the words of Vmail-SQL.

A password on the command line can be read by every user of the machine while
the command runs.  It is accepted because the original did, and can also come
from a prompt or from standard input.
"""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Sequence
from functools import partial

from tpop3d_py.auth.passwords import NEW_SCHEMES, make_hash
from tpop3d_py.cli import common
from tpop3d_py.cli.forgetting import forget
from tpop3d_py.directory import operations
from tpop3d_py.directory.engine import Directory
from tpop3d_py.directory.errors import Refused

_EXAMPLES = """\
examples:
  VE-passwd luser@klient1.pl              (asks twice, shows nothing)
  VE-passwd luser@klient1.pl - < FILE     (first line of standard input)
  VE-passwd klient1.pl haslo_domeny       (every user can see it in ps)
"""

#: What mail programs need of their boxes' passwords, nobody needs of a domain's.
_FOR_MAIL_CLIENTS = ("scram-sha-256", "plaintext")
#: Octets; more than any password may have, so that a wrong file is not swallowed.
_LONGEST_LINE = 4096


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    return common.run(make_parser(), argv)


def make_parser() -> common.Parser:
    """Describe the command line, to argparse, the manual page and the shells."""
    made = common.parser("VE-passwd", "Set the password of a domain or of a box.", _EXAMPLES)
    made.add_argument("name", metavar="DOMAIN|USER@DOMAIN")
    made.add_argument("password", metavar="PASSWORD", nargs="?", help="'-' reads it from standard input")
    made.add_argument(
        "--scheme",
        choices=NEW_SCHEMES,
        help="how to store it (else what password-scheme in vmail.conf says)",
    )
    made.set_defaults(action=_set)
    return made


def _set(directory: Directory, arguments: argparse.Namespace) -> None:
    password = _password(arguments.password)
    scheme = arguments.scheme or directory.settings.password_scheme
    if "@" in arguments.name:
        operations.set_password(directory, arguments.name, password, partial(_stored, scheme))
        forget(arguments.name)
        print("Done")
    else:
        if not arguments.scheme and scheme in _FOR_MAIL_CLIENTS:
            scheme = "argon2id"
        operations.set_domain_password(directory, arguments.name, password, partial(_stored, scheme))
        print("Done.")


def _stored(scheme: str, password: str) -> str:
    try:
        return make_hash(password, scheme)
    except ValueError as error:
        raise Refused(str(error)) from None


def _password(word: str | None) -> str:
    if word not in (None, "-"):
        if sys.stderr.isatty():
            print("VE-passwd: others can see this password in ps; leave it out to be asked", file=sys.stderr)
        return str(word)
    if word is None and common.has_terminal():
        return _asked()
    return _read()


def _asked() -> str:
    password = getpass.getpass("New password: ")
    if getpass.getpass("Again: ") != password:
        raise Refused("the two passwords differ; nothing was changed")
    return password


def _read() -> str:
    # As octets: the locale of whoever runs this must not decide what the password is.
    line = sys.stdin.buffer.readline(_LONGEST_LINE)
    line = line.removesuffix(b"\n").removesuffix(b"\r")
    return line.decode("utf-8", "surrogateescape")
