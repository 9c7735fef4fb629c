"""The log: one line per event, to syslog and, in the foreground, to standard error.

`logging` costs more per line than a whole POP3 command may; this writer formats
once and makes one system call.  Text that came from the network must go through
`printable()`, so that nobody can forge a line.

When things fail: a line that cannot be written is dropped and counted; logging
never raises and never blocks (the syslog socket is non-blocking).
"""

from __future__ import annotations

import os
import socket
import time

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
#: Where the syslog daemon listens.
SYSLOG = "/dev/log"


class Log:
    """A writer of log lines; one per process, shared by its threads."""

    def __init__(
        self,
        ident: str,
        *,
        level: str = "info",
        facility: str = "mail",
        to_stderr: bool,
        to_syslog: bool = False,
    ) -> None:
        self.ident = ident
        self.level = LEVELS.index(LEVEL_ALIASES.get(level, level))
        self.dropped = 0
        self._facility = FACILITIES[facility] << 3
        self._to_stderr = to_stderr
        self._to_syslog = to_syslog
        self._syslog = _open_syslog() if to_syslog else None

    def write(self, level: int, text: str) -> None:
        """Write one line at a level (`ERR` ... `DEBUG`); lines below the configured level cost nothing."""
        if level > self.level:
            return
        if self._to_stderr:
            try:
                os.write(2, f"{text}\n".encode("utf-8", "backslashreplace"))
            except OSError:
                self.dropped += 1
        if self._to_syslog:
            self._send_syslog(level, text)

    def error(self, text: str) -> None:
        """Write a line about something that somebody has to mend."""
        self.write(ERR, text)

    def warning(self, text: str) -> None:
        """Write a line about something that may become a fault."""
        self.write(WARNING, text)

    def notice(self, text: str) -> None:
        """Write a line about a normal event worth keeping."""
        self.write(NOTICE, text)

    def info(self, text: str) -> None:
        """Write a line about a normal event."""
        self.write(INFO, text)

    def debug(self, text: str) -> None:
        """Write a line for somebody who is looking for a fault."""
        self.write(DEBUG, text)

    def _send_syslog(self, level: int, text: str) -> None:
        stamp = time.strftime("%b %e %H:%M:%S")
        line = f"<{self._facility | level}>{stamp} {self.ident}[{os.getpid()}]: {text}"
        data = line.encode("utf-8", "backslashreplace")
        # The syslog daemon may start after us, or may have been restarted: a second try with a new socket.
        if not self._sent(data):
            self._syslog = _open_syslog()
            self.dropped += not self._sent(data)

    def _sent(self, data: bytes) -> bool:
        syslog = self._syslog  # another thread may be replacing it
        if syslog is None:
            return False
        try:
            syslog.send(data)
        except BlockingIOError:
            self.dropped += 1  # it is there, and does not read fast enough
        except OSError:
            return False
        return True


def _open_syslog() -> socket.socket | None:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.setblocking(False)
    try:
        sock.connect(SYSLOG)
    except OSError:
        sock.close()
        return None
    return sock


def printable(text: str | bytes) -> str:
    """Make text from the network safe for one log line: controls escaped, cut to 200 characters."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    cut = text[:_LONGEST_FOREIGN_TEXT]
    if cut.isprintable() and "\\" not in cut:
        return cut
    return "".join(c if c.isprintable() and c != "\\" else ascii(c)[1:-1] for c in cut)


def one_line(text: str) -> str:
    """Put a text of several lines, such as a traceback, into one."""
    return " | ".join(line.strip() for line in text.splitlines())
