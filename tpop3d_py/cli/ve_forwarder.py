"""VE-forwarder: redirections of a domain, in the words of Vmail-SQL."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from tpop3d_py.cli import common
from tpop3d_py.directory import operations
from tpop3d_py.directory.engine import Directory
from tpop3d_py.log import printable

_EXAMPLES = """\
examples:
  VE-forwarder add klient1.pl info luser@klient1.pl other@przyklad.pl
  VE-forwarder add klient1.pl _default_ luser      (takes what nothing else takes)
  VE-forwarder add klient1.pl luser luser boss     (luser keeps a copy)
  VE-forwarder list klient1.pl
  VE-forwarder del klient1.pl info other@przyklad.pl
A forwarder beats a box of the same name.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    return common.run(make_parser(), argv)


def make_parser() -> common.Parser:
    """Describe the command line, to argparse, the manual page and the shells."""
    made = common.parser("VE-forwarder", "Add, list and delete forwarders of a domain.", _EXAMPLES)
    commands = made.add_subparsers(metavar="COMMAND", required=True)
    add = commands.add_parser("add", help="forward mail to one or several addresses")
    _names(add)
    add.add_argument("targets", metavar="TARGET", nargs="+", help="address, or a name in the same domain")
    add.set_defaults(action=_add)
    delete = commands.add_parser("delete", aliases=["del"], help="delete targets, or the whole forwarder")
    _names(delete)
    delete.add_argument("targets", metavar="TARGET", nargs="*", help="all, if none is named")
    delete.set_defaults(action=_delete)
    every = commands.add_parser("list", help="list forwarders")
    every.add_argument("domain", metavar="DOMAIN")
    every.add_argument("local_part", metavar="NAME", nargs="?")
    every.set_defaults(action=_list)
    return made


def _names(command: argparse.ArgumentParser) -> None:
    command.add_argument("domain", metavar="DOMAIN")
    command.add_argument("local_part", metavar="NAME", help="the part before '@', or _default_")


def _add(directory: Directory, arguments: argparse.Namespace) -> None:
    added = operations.add_forwarder(directory, arguments.domain, arguments.local_part, arguments.targets)
    for target in added.targets:
        print(f"Forwarding '{added.address}' to '{target}'")
    if added.bypassed:
        print(f"Note: box '{added.address}' gets no copy; add it as a target to keep one")
    print("Done")


def _delete(directory: Directory, arguments: argparse.Namespace) -> None:
    gone = operations.delete_forwarder(directory, arguments.domain, arguments.local_part, arguments.targets)
    for target in gone.targets:
        print(f"No longer forwarding '{printable(gone.address)}' to '{printable(target)}'")
    print("Done")


def _list(directory: Directory, arguments: argparse.Namespace) -> None:
    for forwarder in operations.list_forwarders(directory, arguments.domain, arguments.local_part):
        targets = ", ".join(map(printable, forwarder.targets))
        print(f"{printable(forwarder.address)}: {targets}")
