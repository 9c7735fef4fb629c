"""pypop3d status, kick, forget, forgive: look at a running daemon, end sessions, let logins in again.

They ask over the control socket of the configuration.  Foreign text comes from the daemon escaped already.

When things fail: one line on standard error and exit code 1; ``kick`` that finds nobody is such a failure.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tpop3d_py import assemble
from tpop3d_py.cli.common import FAILED, OK
from tpop3d_py.config import ConfigError, load
from tpop3d_py.log import printable
from tpop3d_py.server.ears import USUAL_CONTROL, MonitorSettings

COMMANDS = ("status", "kick", "forget", "forgive")
#: Seconds to wait for each part of an answer; the daemon itself waits ten for its workers.
_PATIENCE = 15.0
_COLUMNS = ("USER", "FROM", "DOMAIN", "STATE", "TLS", "IN", "OUT", "AGE", "IDLE", "COMMANDS", "ID")

Message = dict[str, Any]


class Trouble(Exception):
    """Something failed; the text is for the operator."""


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="pypop3d", description="Look at a running pypop3d, and end sessions.", allow_abbrev=False
    )
    add_commands(parser, required=True)
    return parser


def add_commands(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """Describe the commands to a parser; to the daemon's own for the manual page and the shells."""
    commands = parser.add_subparsers(required=required, metavar="COMMAND")
    for name, summary, action in (
        ("status", "show who is connected", _status),
        ("kick", "end sessions; nothing they marked is deleted, a deletion under way is finished", _kick),
        ("forget", "have a user's next login checked, whatever the login cache remembers", _forget),
        ("forgive", "let a network or user log in at full speed again after wrong passwords", _forgive),
    ):
        command = commands.add_parser(name, help=summary, description=summary.capitalize() + ".")
        command.set_defaults(action=action)
        command.add_argument(
            "-f", dest="file", metavar="FILE", default="/etc/tpop3d.conf", help="configuration"
        )
        command.add_argument(
            "--socket", metavar="PATH", help="control socket, if not the configuration's control-socket"
        )
        _ADD[name](command)


def _add_status(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print everything as one JSON object")
    command.add_argument("-a", "--all", action="store_true", help="show connections without a login too")


def _add_kick(command: argparse.ArgumentParser) -> None:
    whom = command.add_mutually_exclusive_group(required=True)
    whom.add_argument("id", nargs="?", metavar="ID", help="of one connection, as status shows it")
    whom.add_argument("--user", metavar="NAME", help="end all sessions of a user, named as at the login")


def _add_forget(command: argparse.ArgumentParser) -> None:
    command.add_argument("user", metavar="USER", help="whose, as logs have it: with the domain")


def _add_forgive(command: argparse.ArgumentParser) -> None:
    command.add_argument("whom", metavar="NETWORK|USER", help="an address of the network, or USER@DOMAIN")


_ADD: dict[str, Callable[[argparse.ArgumentParser], None]] = {
    "status": _add_status,
    "kick": _add_kick,
    "forget": _add_forget,
    "forgive": _add_forgive,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    options = make_parser().parse_args(argv)
    try:
        action: Callable[[argparse.Namespace], None] = options.action
        action(options)
        sys.stdout.flush()
    except (ConfigError, assemble.StartError, Trouble) as error:
        for line in str(error).splitlines():
            print(f"pypop3d: {line}", file=sys.stderr)
        return FAILED
    return OK


def _status(options: argparse.Namespace) -> None:
    sessions: list[Message] = []
    end: Message = {}
    for message in _ask(options, {"ask": "status"}):
        sessions += message.pop("rows", [])
        end.update(message)
    end.pop("last", None)
    shown = [row for row in sessions if options.all or row["state"] == "TRANSACTION"]
    shown.sort(key=lambda row: -row["age"])
    if options.json:
        print(json.dumps({"sessions": shown, **end}, indent=1))
        return
    _print_table([_COLUMNS, *(_cells(row) for row in shown)])
    print(_summary(end))
    for silent in end["silent"]:
        print(f"worker {silent['pid']} did not answer; its clients are missing here", file=sys.stderr)


def _kick(options: argparse.Namespace) -> None:
    done = _order(options, {"ask": "kick", "id": options.id or "", "user": options.user})
    if not done:
        raise Trouble(f"nobody was found: {printable(options.id or options.user)}{_hint(options.id or '')}")
    print(f"{done} ended")


def _hint(given: str) -> str:
    """What to say to an operator who gave a user's name where the number of a connection belongs."""
    return "; a user is named with --user" if given and ("@" in given or "." not in given) else ""


def _forget(options: argparse.Namespace) -> None:
    done = _order(options, {"ask": "forget", "user": options.user})
    print(f"{done} worker processes told")


def _forgive(options: argparse.Namespace) -> None:
    done = _order(options, {"ask": "forgive", "user": options.whom})
    print(f"{done} forgiven")


def _order(options: argparse.Namespace, order: Message) -> int:
    *_, end = _ask(options, order)
    if end["silent"]:
        print(f"pypop3d: {end['silent']} worker processes did not answer", file=sys.stderr)
    return int(end["count"])


def _ask(options: argparse.Namespace, question: Message) -> Iterator[Message]:
    """Put a question and yield the parts of the answer.

    Raises:
        Trouble: there is no answer, or it is an error.
    """
    path = options.socket or _configured(options.file)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(_PATIENCE)
            sock.connect(path)
            sock.sendall(json.dumps(question).encode() + b"\n")
            with sock.makefile("rb") as file:
                yield from _parts(file)
    except OSError as error:
        hint = (
            "; is pypop3d running?" if isinstance(error, FileNotFoundError | ConnectionRefusedError) else ""
        )
        raise Trouble(f"{path}: {error.strerror or error}{hint}") from None


def _parts(lines: Iterator[bytes] | Any) -> Iterator[Message]:
    for line in lines:
        message: Message = json.loads(line)
        if "error" in message:
            raise Trouble(message["error"])
        yield message
        if message.get("last"):
            return
    raise Trouble("the answer broke off: the settings may have been read again; ask once more")


def _configured(file: str) -> str:
    settings = load(file, assemble.daemon_groups()).get(MonitorSettings)
    if settings.control is None:
        raise Trouble(f"{file}: control-socket is not set; for example: control-socket: {USUAL_CONTROL}")
    return settings.control


def _cells(row: Message) -> tuple[str, ...]:
    idle = row["idle"]
    return (
        row["user"] or "-",
        f"{row['host']}:{row['port']}",
        row["domain"] or "-",
        row["state"] + (" (old settings)" if row["draining"] else ""),
        "yes" if row["tls"] else "no",
        str(row["received"]),
        str(row["sent"]),
        _duration(row["age"]),
        "-" if idle is None else _duration(idle),
        str(row["commands"]),
        row["id"],
    )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def _summary(end: Message) -> str:
    processes = ", ".join(
        f"{each['count']} {each['role']}{' of old settings' if each['draining'] else ''}"
        for each in end["processes"]
    )
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(end["started"]))
    return (
        f"{end['session_count']} sessions of at most {end['max_sessions']}, "
        f"{end['connection_count']} connections; processes: {processes}; "
        f"pypop3d {end['version']} since {since}, settings read {end['readings']} times"
    )
