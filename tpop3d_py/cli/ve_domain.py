"""VE-domain: virtual domains, in the grammar and the words of Vmail-SQL."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from tpop3d_py.cli import common
from tpop3d_py.directory import operations
from tpop3d_py.directory.engine import Directory
from tpop3d_py.directory.operations import AddedDomain
from tpop3d_py.log import printable

_EXAMPLES = """\
examples:
  VE-domain add klient1.pl
  VE-domain popboxes klient1.pl max 50
  VE-domain popboxes klient1.pl max none
  VE-domain show klient1.pl
  VE-domain delete klient1.pl
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    return common.run(make_parser(), argv)


def make_parser() -> common.Parser:
    """Describe the command line, to argparse, the manual page and the shells."""
    made = common.parser("VE-domain", "Add, limit, show and delete virtual mail domains.", _EXAMPLES)
    commands = made.add_subparsers(metavar="COMMAND", required=True)
    add = commands.add_parser("add", help="add a domain and make its directory")
    add.add_argument("domain", metavar="DOMAIN")
    add.add_argument("--user", metavar="USER", help="Unix account that is to own the mail")
    add.add_argument("--path", metavar="PATH", help="directory of the boxes, instead of mail-root/DOMAIN")
    add.set_defaults(action=_add)
    limit = commands.add_parser("popboxes", help="limit the number of boxes")
    limit.add_argument("domain", metavar="DOMAIN")
    limit.add_argument("word", metavar="max", choices=["max"])
    limit.add_argument("limit", metavar="N", type=_limit, help="a number, or 'none'")
    limit.set_defaults(action=_set_limit)
    commands.add_parser("list", help="list all domains").set_defaults(action=_list)
    show = commands.add_parser("show", help="show one domain")
    show.add_argument("domain", metavar="DOMAIN")
    show.set_defaults(action=_show)
    delete = commands.add_parser("delete", aliases=["del"], help="delete a domain, its boxes and forwarders")
    delete.add_argument("domain", metavar="DOMAIN")
    delete.add_argument("--yes", action="store_true", help="do not ask")
    delete.set_defaults(action=_delete)
    return made


def _limit(word: str) -> int | None:
    if word == "none":
        return None
    if not (word.isascii() and word.isdigit() and len(word) <= 10):
        raise argparse.ArgumentTypeError("N must be a number or 'none'")
    return int(word)


def _add(directory: Directory, arguments: argparse.Namespace) -> None:
    added = operations.add_domain(
        directory, arguments.domain, unix_user=arguments.user, path=arguments.path, announce=_announce
    )
    print(f"Used directory '{printable(added.path)}'")
    print("Done")


def _announce(new: AddedDomain) -> None:
    print(f"Will add domain '{new.name}' using Unix user {new.unix_user}")


def _set_limit(directory: Directory, arguments: argparse.Namespace) -> None:
    operations.set_max_popbox(directory, arguments.domain, arguments.limit)
    print("Done.")


def _list(directory: Directory, _arguments: argparse.Namespace) -> None:
    for name in operations.list_domains(directory):
        print(printable(name))


def _show(directory: Directory, arguments: argparse.Namespace) -> None:
    domain = operations.show_domain(directory, arguments.domain)
    limit = "no limit" if domain.max_popbox is None else f"max {domain.max_popbox}"
    print(f"Domain:     {printable(domain.name)}")
    print(f"Unix user:  {printable(domain.unix_user)}")
    print(f"Directory:  {printable(domain.path)}")
    print(f"Popboxes:   {domain.popboxes} ({limit})")
    print(f"Forwarders: {domain.forwarders}")


def _delete(directory: Directory, arguments: argparse.Namespace) -> None:
    domain = operations.show_domain(directory, arguments.domain)
    question = (
        f"Delete domain '{printable(domain.name)}' with {domain.popboxes} popbox(es) "
        f"and {domain.forwarders} forwarder(s)?"
    )
    common.confirm(question, f"domain '{printable(domain.name)}'", arguments.yes)
    gone = operations.delete_domain(directory, arguments.domain)
    print(
        f"Deleted domain '{printable(gone.name)}', {gone.popboxes} popbox(es), {gone.forwarders} forwarder(s)"
    )
    if gone.path:
        print(f"Mail stays in '{printable(gone.path)}'; remove it by hand")
    print("Done")
