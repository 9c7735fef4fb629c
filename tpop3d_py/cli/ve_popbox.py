"""VE-popbox: the boxes of a domain, in the grammar and the words of Vmail-SQL."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from tpop3d_py.cli import common
from tpop3d_py.cli.forgetting import forget
from tpop3d_py.directory import operations
from tpop3d_py.directory.engine import Directory
from tpop3d_py.log import printable

_EXAMPLES = """\
examples:
  VE-popbox add klient1.pl luser
  VE-popbox add klient1.pl jan.kowalski --type bsd
  VE-popbox list klient1.pl
  VE-popbox del klient1.pl luser
A new box takes mail at once; nobody can log in before VE-passwd has been run for it.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    return common.run(make_parser(), argv)


def make_parser() -> common.Parser:
    """Describe the command line, to argparse, the manual page and the shells."""
    made = common.parser("VE-popbox", "Add, list, show and delete POP3 boxes.", _EXAMPLES)
    commands = made.add_subparsers(metavar="COMMAND", required=True)
    add = commands.add_parser("add", help="add a box")
    _names(add)
    add.add_argument("--type", choices=["bsd", "maildir"], help="mailbox format")
    add.add_argument("--adopt", action="store_true", help="hand over mail that an earlier box has left")
    add.set_defaults(action=_add)
    every = commands.add_parser("list", help="list a domain's boxes")
    every.add_argument("domain", metavar="DOMAIN")
    every.set_defaults(action=_list)
    show = commands.add_parser("show", help="show one box")
    _names(show)
    show.set_defaults(action=_show)
    delete = commands.add_parser("delete", aliases=["del"], help="delete a box; its mail stays")
    _names(delete)
    delete.add_argument("--yes", action="store_true", help="do not ask")
    delete.set_defaults(action=_delete)
    return made


def _names(command: argparse.ArgumentParser) -> None:
    command.add_argument("domain", metavar="DOMAIN")
    command.add_argument("local_part", metavar="USER", help="the part before '@'")


def _add(directory: Directory, arguments: argparse.Namespace) -> None:
    added = operations.add_popbox(
        directory,
        arguments.domain,
        arguments.local_part,
        mailbox_type=arguments.type,
        adopt=arguments.adopt,
        announce=_announce,
    )
    if added.forwarded:
        print(f"Note: a forwarder '{added.address}' exists and takes the mail")
    print("Done")


def _announce(address: str, mbox_name: str) -> None:
    # Without the slash that marks a maildir: these are the words of Vmail-SQL for both formats.
    print(f"Will add POP3 maildrop for '{address}' with maildrop '{mbox_name.rstrip('/')}'")


def _list(directory: Directory, arguments: argparse.Namespace) -> None:
    for box in operations.list_popboxes(directory, arguments.domain):
        print(f"{printable(box.address)}{'' if box.has_password else '  (no password)'}")


def _show(directory: Directory, arguments: argparse.Namespace) -> None:
    box = operations.show_popbox(directory, arguments.domain, arguments.local_part)
    print(f"Address:  {printable(box.address)}")
    print(f"Maildrop: {printable(box.path)}")
    print(f"Format:   {box.mailbox_type}")
    print(f"Password: {'set' if box.has_password else 'none, nobody can log in'}")


def _delete(directory: Directory, arguments: argparse.Namespace) -> None:
    box = operations.show_popbox(directory, arguments.domain, arguments.local_part)
    what = f"box '{printable(box.address)}'"
    common.confirm(f"Delete {what}?", what, arguments.yes)
    gone = operations.delete_popbox(directory, arguments.domain, arguments.local_part)
    forget(gone.address)
    print(f"Deleted box '{printable(gone.address)}'")
    if gone.path:
        print(f"Mail stays in '{printable(gone.path)}'; remove it by hand")
    print("Done")
