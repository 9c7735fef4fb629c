"""The log: one line per event, to syslog, to a file, and, in the foreground, to standard error.

`logging` costs more per line than a whole POP3 command may; this writer formats
once and makes one system call for each place.  Text that came from the network must go through
`printable()` or, where it stands between other words, `quoted()`, so that nobody can forge a line or
the shape of one.

With ``log-format: json`` the same events come as JSON objects, one a line: `time`, `level`, `pid`,
`event`, `message` and what the event has of its own.

When things fail: a line that cannot be written is lost and counted; logging
never raises and never blocks.  As soon as writing works again a line tells how many were lost.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from tpop3d_py.logsink import File, Sink, Stderr, Syslog

LEVELS = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
LEVEL_ALIASES = {"panic": "emerg", "error": "err", "warn": "warning"}
FACILITIES = {
    "daemon": 3,
    "user": 1,
    "mail": 2,
    "auth": 4,
    "authpriv": 10,
    **{f"local{i}": 16 + i for i in range(8)},
}
EMERG, ALERT, CRIT, ERR, WARNING, NOTICE, INFO, DEBUG = range(8)
_LONGEST_FOREIGN_TEXT = 200
#: Lines that `once` remembers; more than there are different faults, less than an attacker could fill.
_MOST_REMEMBERED = 1000
#: What stands around names in our lines, and the blank between words: in a name it would make another line.
_SHAPING = frozenset(" '\"`()[]<>;")

Fields = Mapping[str, object]
_NONE: Fields = {}


class Log:
    """A writer of log lines; one per process, shared by its threads.

    Args:
        ident: the program's name.
        level: lines less important than this cost nothing.
        facility: of syslog.
        to_stderr: write to standard error.
        to_syslog: write to syslog.
        file: another place to write to.
        structured: write JSON.
    """

    def __init__(
        self,
        ident: str,
        *,
        level: str = "info",
        facility: str = "mail",
        to_stderr: bool,
        to_syslog: bool = False,
        file: Sink | None = None,
        structured: bool = False,
    ) -> None:
        self.ident = ident
        self.level = LEVELS.index(LEVEL_ALIASES.get(level, level))
        #: Whether the fields of events are written; whoever makes many lines need not make them otherwise.
        self.structured = structured
        #: Lines lost since the process began, each place counted for itself.
        self.dropped = 0
        #: Told of every lost line; must not log.
        self.on_loss: Callable[[], None] = _nothing
        self._places: list[_Place] = []
        if to_stderr:
            self._places.append(_Place(Stderr()))
        if file is not None:
            self._places.append(_Place(file))
        if to_syslog:
            self._places.append(_Place(Syslog(ident, FACILITIES[facility])))
        self._seen: dict[str, _Repeated] = {}

    def write(self, level: int, text: str, event: str = "", fields: Fields = _NONE) -> None:
        """Write one line; lines below the configured level cost nothing.

        Args:
            level: `ERR` ... `DEBUG`.
            text: the line; nothing unescaped from the network may be in it.
            event: short name of what happened, for ``log-format: json``.
            fields: its particulars, for ``log-format: json``; texts among them are made safe here.
        """
        if level > self.level:
            return
        if self.structured:
            text = _as_json(level, text, event, fields)
        for place in self._places:
            if place.lost:
                self._confess(place)
            if not place.sink.put(level, text):
                place.lost += 1
                self.dropped += 1
                self.on_loss()

    def error(self, text: str, event: str = "", fields: Fields = _NONE) -> None:
        """Write a line about something that somebody has to mend."""
        self.write(ERR, text, event, fields)

    def warning(self, text: str, event: str = "", fields: Fields = _NONE) -> None:
        """Write a line about something that may become a fault."""
        self.write(WARNING, text, event, fields)

    def notice(self, text: str, event: str = "", fields: Fields = _NONE) -> None:
        """Write a line about a normal event worth keeping."""
        self.write(NOTICE, text, event, fields)

    def info(self, text: str, event: str = "", fields: Fields = _NONE) -> None:
        """Write a line about a normal event."""
        self.write(INFO, text, event, fields)

    def debug(self, text: str, event: str = "", fields: Fields = _NONE) -> None:
        """Write a line for somebody who is looking for a fault."""
        self.write(DEBUG, text, event, fields)

    def once(self, key: str, period: float, level: int, text: str) -> None:
        """Write a line that would come again and again: at most one in each period, with a count.

        Args:
            key: what the line is about; lines of one key hold each other back.
            period: seconds.
            level: `ERR` ... `DEBUG`.
            text: the line.
        """
        now = time.monotonic()
        seen = self._seen.get(key)
        if seen is not None and now < seen.until:
            seen.held_back += 1
            return
        if seen is None and len(self._seen) >= _MOST_REMEMBERED:
            self._seen.clear()
        self._seen[key] = _Repeated(now + period)
        more = f" ({seen.held_back} more since the last such line)" if seen and seen.held_back else ""
        self.write(level, text + more)

    def reopen(self, processes: int = 0) -> None:
        """Go over to files that were rotated and daemons that were restarted; for signal handlers too.

        Args:
            processes: how many others will do the same and may not be able to; the master's to say.
        """
        for place in self._places:
            trouble = place.sink.reopen(processes)
            if trouble:
                self.error(trouble)

    def follow(self) -> None:
        """In a process that is not the master: go where that goes after a rotation, and lead nobody."""
        for place in self._places:
            if isinstance(place.sink, File):
                place.sink.follow()

    def _confess(self, place: _Place) -> None:
        """Tell that lines were lost, in the place where they are missing."""
        lost, place.lost = place.lost, 0
        text = f"{lost} lines of this log were lost: they could not be written"
        if self.structured:
            text = _as_json(WARNING, text, "lost", {"lines": lost})
        if not place.sink.put(WARNING, text):
            place.lost += lost


class _Place:
    """A sink, and how many lines it has lost and not told of."""

    __slots__ = ("lost", "sink")

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.lost = 0


class _Repeated:
    """When a repeated line may come again, and how many were held back."""

    __slots__ = ("held_back", "until")

    def __init__(self, until: float) -> None:
        self.until = until
        self.held_back = 0


def _nothing() -> None:
    pass


def _as_json(level: int, text: str, event: str, fields: Fields) -> str:
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    line: dict[str, object] = {"time": now, "level": LEVELS[level], "pid": os.getpid(), "event": event}
    line["message"] = text
    for name, value in fields.items():
        line[name] = _field(value)
    return json.dumps(line)  # which escapes all that is not ASCII, controls and line ends with it


def _field(value: object) -> object:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "surrogateescape")
    if isinstance(value, str):
        # Half a surrogate pair, which is what stands for an octet that is no UTF-8, is no JSON for many.
        return value[:_LONGEST_FOREIGN_TEXT].encode("utf-8", "backslashreplace").decode()
    return value


def printable(text: str | bytes) -> str:
    """Make text from the network safe for one log line: controls escaped, cut to 200 characters."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    cut = text[:_LONGEST_FOREIGN_TEXT]
    if cut.isprintable() and "\\" not in cut:
        return cut
    return "".join(c if c.isprintable() and c != "\\" else ascii(c)[1:-1] for c in cut)


def quoted(text: str | bytes) -> str:
    r"""Make a name from the network safe to stand between the words of a line.

    Like `printable`, and blanks, quotes, brackets and semicolons become ``\xNN``: programs that
    watch logs look for ``began session for `NAME'`` anywhere in a line, and a client chooses its name.
    """
    safe = printable(text)
    if _SHAPING.isdisjoint(safe):
        return safe
    return "".join(f"\\x{ord(c):02x}" if c in _SHAPING else c for c in safe)


def one_line(text: str) -> str:
    """Put a text of several lines, such as a traceback, into one."""
    return " | ".join(line.strip() for line in text.splitlines())
