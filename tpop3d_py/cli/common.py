"""What every command does in the same way: arguments, configuration, errors.

Exit codes: 0 done, 1 refused or failed with one line on standard error and
nothing changed, 2 a command line that cannot be understood.  Foreign text is
shown escaped, so that a name cannot write on the operator's terminal.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from tpop3d_py import __version__
from tpop3d_py.config import ConfigError, load
from tpop3d_py.directory.engine import Directory, DirectorySettings, make_engine
from tpop3d_py.directory.errors import DirectoryError, Refused
from tpop3d_py.log import printable

DEFAULT_CONFIG = "/etc/vmail/vmail.conf"
OK, FAILED, USAGE = 0, 1, 2
#: Seconds that a command waits for an answer or a lock; a person sits before it, not a login.
_ANSWER_SECONDS = 60.0

Action = Callable[[Directory, argparse.Namespace], None]


class Parser(argparse.ArgumentParser):
    """An argument parser that complains in one line, and takes ``-f FILE`` behind a subcommand too."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # Subcommands are made of this class as well; what they are not told they leave as it was.
        self.add_argument(
            "-f",
            dest="config",
            metavar="FILE",
            default=argparse.SUPPRESS,
            help=f"vmail.conf (else $VMAIL_CONFIG, else {DEFAULT_CONFIG})",
        )

    def error(self, message: str) -> NoReturn:
        """Print one line and leave with the exit code for usage errors."""
        self.exit(USAGE, f"{self.prog}: {printable(message)} (see {self.prog} --help)\n")


def parser(program: str, description: str, epilog: str) -> Parser:
    """Make a command's parser with the options that all of them have."""
    made = Parser(
        prog=program,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.set_defaults(config=None)
    made.add_argument("--version", action="version", version=f"{program} (tpop3d_py) {__version__}")
    return made


def run(made: Parser, argv: Sequence[str] | None, *, answer_seconds: float = _ANSWER_SECONDS) -> int:
    """Parse a command line, open the directory, do what was asked for; return the exit code.

    Args:
        made: its parser; each subcommand sets an `Action` as the default of ``action``.
        argv: the arguments; None means those of the process.  Without any, the help is printed.
        answer_seconds: how long the database may take for one statement.
    """
    _prepare_streams()
    words = sys.argv[1:] if argv is None else list(argv)
    if not words:
        made.print_help()
        return USAGE
    try:
        arguments = made.parse_args(words)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else USAGE
    return guarded(made.prog, lambda: _act(arguments, answer_seconds))


def _act(arguments: argparse.Namespace, answer_seconds: float) -> None:
    action: Action = arguments.action
    action(open_directory(arguments.config, answer_seconds=answer_seconds), arguments)


def guarded(program: str, work: Callable[[], None]) -> int:
    """Do the work; turn what may go wrong into lines on standard error and an exit code."""
    try:
        work()
        sys.stdout.flush()
    except (DirectoryError, ConfigError) as error:
        for line in str(error).splitlines():
            print(f"{program}: {line}", file=sys.stderr)
        return FAILED
    except (KeyboardInterrupt, EOFError):
        print(f"\n{program}: interrupted", file=sys.stderr)
        return FAILED
    except BrokenPipeError:
        # The reader of our output left.  Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return OK


def open_directory(config: str | None, *, answer_seconds: float = _ANSWER_SECONDS) -> Directory:
    """Read ``vmail.conf`` and prepare the directory; nothing is connected yet.

    Raises:
        ConfigError: the file cannot be read or has mistakes.
        DirectoryUnavailable: it configures no database.
    """
    settings = read_settings(config)
    return Directory(settings, make_engine(settings, answer_seconds=answer_seconds))


def read_settings(config: str | None) -> DirectorySettings:
    """Read ``vmail.conf``: the file named, else the one in ``$VMAIL_CONFIG``, else the system's."""
    path = config or os.environ.get("VMAIL_CONFIG") or DEFAULT_CONFIG
    return load(path, [DirectorySettings]).get(DirectorySettings)


def confirm(question: str, what: str, yes: bool) -> None:
    """Ask before something is lost; without a terminal only ``--yes`` is an answer.

    Raises:
        Refused: the answer is no, or nobody can be asked.
    """
    if yes:
        return
    if not has_terminal():
        raise Refused(f"{what} was not deleted: there is no terminal to ask at; use --yes")
    if input(f"{question} [y/N] ").strip().lower() not in ("y", "yes"):
        raise Refused(f"{what} was not deleted")


def has_terminal() -> bool:
    """Tell whether somebody sits there who can be asked."""
    return sys.stdin.isatty()


def _prepare_streams() -> None:
    # Under LC_ALL=C an odd path of an old row must not become a traceback.
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
