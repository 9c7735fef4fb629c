"""``vmail-gen-exim``: print Exim's configuration for the domains of the directory.

When things fail: one line on standard error and exit code 1, or 2 for a wrong
command line; standard output then stays empty, so that a redirection makes an
empty file and never half a configuration.
"""

from __future__ import annotations

import os
import stat
import sys
from enum import StrEnum
from typing import Annotated

import typer

from tpop3d_py.config import ConfigError, load
from tpop3d_py.directory.engine import DirectorySettings
from tpop3d_py.directory.errors import DirectoryUnavailable
from tpop3d_py.mta import exim
from tpop3d_py.mta.facts import Database, MysqlServer, NotExpressible, database

_NAME = "vmail-gen-exim"
_SYSTEM_FILE = "/etc/vmail/vmail.conf"
_SMTP_PORT = 25

app = typer.Typer(add_completion=False, rich_markup_mode=None)


class Section(StrEnum):
    """The sections that can be printed alone."""

    MAIN = "main"
    ACL = "acl"
    ROUTERS = "routers"
    TRANSPORTS = "transports"


@app.command()
def generate(
    file: Annotated[
        str, typer.Option("-f", "--file", metavar="FILE", envvar="VMAIL_CONFIG", help="Where vmail.conf is.")
    ] = _SYSTEM_FILE,
    section: Annotated[
        Section | None, typer.Option(help="Print this section only, for .include in an exim.conf.")
    ] = None,
    standalone: Annotated[
        bool, typer.Option("--standalone", help="Print a whole exim.conf that a server can start with.")
    ] = False,
    hostname: Annotated[
        str, typer.Option(metavar="NAME", help="With --standalone: the server's name; else the machine's.")
    ] = "",
    listen: Annotated[
        str, typer.Option(metavar="ADDRESS", help="With --standalone: the only address to listen on.")
    ] = "",
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="With --standalone: the port to listen on.")
    ] = _SMTP_PORT,
) -> None:
    """Print what Exim 4.96 or newer needs to serve the domains of the SQL directory.

    Without options: the main, ACL, router and transport sections in one file.

    Example: vmail-gen-exim --section routers > /etc/exim4/exim.conf.d/vmail.routers
    """
    server = exim.Server(hostname, listen, port)
    if section and standalone:
        raise typer.BadParameter("--section and --standalone exclude each other")
    if not standalone and server != exim.Server():
        raise typer.BadParameter("--hostname, --listen and --port need --standalone")
    try:
        facts = database(_settings(file))
        text = _text(facts, section, server if standalone else None)
    except (ConfigError, DirectoryUnavailable, NotExpressible) as error:
        _say(str(error))
        raise typer.Exit(1) from None
    if isinstance(facts, MysqlServer) and section in (None, Section.MAIN):
        _warn_of_readers()
    sys.stdout.buffer.write(text.encode())


def _settings(file: str) -> DirectorySettings:
    configuration = load(file, [DirectorySettings])
    for warning in configuration.warnings:
        _say(warning)
    return configuration.get(DirectorySettings)


def _text(facts: Database, section: Section | None, server: exim.Server | None) -> str:
    if server is not None:
        return exim.standalone(facts, server)
    return exim.fragment(facts) if section is None else exim.section(section.value, facts)


def _warn_of_readers() -> None:
    """Say so when the password goes into a file that everybody may read (the shell made it, by its umask)."""
    status = os.fstat(sys.stdout.fileno())
    if stat.S_ISREG(status.st_mode) and status.st_mode & stat.S_IRWXO:
        _say("everybody may read the output, and it holds the database password: chmod 640 it")


def _say(text: str) -> None:
    print("\n".join(f"{_NAME}: {line}" for line in text.splitlines()), file=sys.stderr)


def main() -> None:
    """Run the command."""
    app(prog_name=_NAME)


if __name__ == "__main__":
    main()
