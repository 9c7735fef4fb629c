"""vmail: the directory's modern face: its tables (``vmail db``), and how passwords are stored."""

from __future__ import annotations

import argparse
import os
import pwd
import sys
from collections.abc import Sequence

from tpop3d_py.cli import common, vmail_passwords
from tpop3d_py.directory import migrations
from tpop3d_py.directory.engine import Directory, DirectorySettings, location, sqlite_path
from tpop3d_py.directory.errors import Refused

#: Seconds; giving keys to the tables of a large provider rewrites them.
_MIGRATION_SECONDS = 3600.0

_EXAMPLES = """\
examples:
  vmail db init                  (an empty database, or a new SQLite file)
  vmail db upgrade               (after an update; also adopts an original Vmail-SQL database)
  vmail -f test.conf db status   (exit code 1 if there is something to do)
  vmail passwords report         (how many accounts have which kind of stored password)
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    return common.run(make_parser(), argv, answer_seconds=_MIGRATION_SECONDS)


def make_parser() -> common.Parser:
    """Describe the command line, to argparse, the manual page and the shells."""
    made = common.parser("vmail", "Administer the directory of virtual mail domains.", _EXAMPLES)
    areas = made.add_subparsers(metavar="COMMAND", required=True)
    db = areas.add_parser("db", help="create, upgrade and examine the tables")
    commands = db.add_subparsers(metavar="init|upgrade|status", required=True)
    commands.add_parser("init", help="create the tables in an empty database").set_defaults(action=_init)
    commands.add_parser("upgrade", help="bring the tables up to date").set_defaults(action=_upgrade)
    commands.add_parser("status", help="say what the tables are").set_defaults(action=_status)
    vmail_passwords.add_to(areas)
    return made


def _init(directory: Directory, _arguments: argparse.Namespace) -> None:
    if (path := sqlite_path(directory.settings)) is not None:
        migrations.create_file(path, _file_owner(directory.settings))
    done = migrations.init(directory.engine)
    print(f"{location(directory.engine)}: created, version {done[-1].version}")


def _file_owner(settings: DirectorySettings) -> tuple[int, int] | None:
    """Whoever owns the mail reads the directory too; without root the file stays the caller's."""
    if os.geteuid() != 0:
        return None
    try:
        account = pwd.getpwnam(settings.default_unix_user)
    except KeyError:
        return None
    return account.pw_uid, account.pw_gid


def _upgrade(directory: Directory, _arguments: argparse.Namespace) -> None:
    where = location(directory.engine)
    result = migrations.upgrade(directory.engine)
    for finding in result.warnings:
        print(f"vmail: {finding}", file=sys.stderr)
    if result.adopted:
        print(f"{where}: adopted an original Vmail-SQL database")
    for migration in result.applied:
        print(f"{where}: applied {migration.version:04} {migration.name}")
    if not result.adopted and not result.applied:
        print(f"{where}: up to date, nothing to do")


def _status(directory: Directory, _arguments: argparse.Namespace) -> None:
    found = migrations.status(directory.engine)
    if not found.current:
        raise Refused(str(found))
    print(found)
