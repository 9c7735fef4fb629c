"""A running pypop3d, and the commands of the directory as an administrator types them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from sqlalchemy import URL, make_url

from tests.system.support.mariadb import PASSWORD, Mariadb
from tests.system.support.processes import Child

BIN = Path(sys.executable).parent


class Pop3d:
    """pypop3d in the foreground, started as root with a configuration file.

    Attributes:
        port: the one to wait for.
        child: its master process.
    """

    def __init__(self, config: Path, port: int) -> None:
        """Start it with ``-f FILE -v -d`` and wait for its greeting."""
        self.port = port
        self.log = config.with_suffix(".log")
        self.child = Child([str(BIN / "pypop3d"), "-f", str(config), "-v", "-d"], self.log)
        try:
            self.child.wait_until(self._greets, "pypop3d")
        except Exception:
            self.stop()
            raise

    def _greets(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as probe:
                return probe.recv(4) == b"+OK "
        except OSError:
            return False

    def stop(self) -> None:
        """Stop it."""
        self.child.stop()


class Telnet:
    """A person at a telnet client: types lines, reads lines."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._sock = socket.create_connection((host, port), 20)
        self._file = self._sock.makefile("rb")

    def read(self) -> str:
        """Return the next line without its end; empty when the server has closed."""
        return self._file.readline().decode().removesuffix("\r\n")

    def type(self, line: str) -> str:
        """Send a line and return the next one that comes."""
        self._sock.sendall(line.encode() + b"\r\n")
        return self.read()

    def lines(self) -> list[str]:
        """Return the lines of a multi-line answer up to the final dot."""
        found = []
        while (line := self.read()) != ".":
            found.append(line)
        return found

    def close(self) -> None:
        """Hang up."""
        self._file.close()
        self._sock.close()


def new_directory(folder: Path, mariadb: Mariadb, database: str, directives: str = "") -> Shell:
    """Make a folder with a vmail.conf for a new database, with our tables in it; the mail root is SERVERS."""
    folder.mkdir()
    (folder / "password").write_text(f"{PASSWORD}\n")
    (folder / "password").chmod(0o640)
    whole = make_url(mariadb.url(database))
    url = URL.create(whole.drivername, whole.username, None, whole.host, whole.port, whole.database)
    (folder / "vmail.conf").write_text(
        f"database-url: {url}\ndatabase-password-file: {folder}/password\n"
        f"mail-root: {folder}/SERVERS\n{directives}"
    )
    shell = Shell(folder / "vmail.conf")
    shell.run("vmail db init")
    return shell


class Shell:
    """Runs commands with one vmail.conf."""

    def __init__(self, vmail_conf: Path) -> None:
        self._environment = {**os.environ, "VMAIL_CONFIG": str(vmail_conf)}

    def run(self, command: str, *, stdin: str = "") -> str:
        """Run a command line and return what it printed; it must succeed and be silent on standard error."""
        done = self.attempt(command, stdin=stdin)
        assert (done.returncode, done.stderr) == (0, ""), f"{command}: {done.stderr or done.stdout}"
        return done.stdout

    def attempt(self, command: str, *, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command line, whatever comes of it."""
        program, *arguments = command.split()
        return subprocess.run(
            [str(BIN / program), *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            env=self._environment,
            timeout=60,
            check=False,
        )
