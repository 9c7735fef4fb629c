"""A private PostgreSQL server, which speaks TLS too."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import psycopg

from tests.system.support.mariadb import PASSWORD, USER
from tests.system.support.processes import Child, free_port, program

_BIN = "/usr/lib/postgresql/15/bin"
#: Accounts from elsewhere need a password; the tests' own connection comes by the socket.
_ACCESS = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"


class Postgres:
    """A running server.

    Attributes:
        port: its TCP port on 127.0.0.1.
        folder: where its socket is.
    """

    def __init__(self, folder: Path, certificate: Path) -> None:
        """Start a server whose files are all in `folder`, which account postgres must be able to enter.

        Args:
            folder: to be made.
            certificate: file with a certificate for 127.0.0.1 and its key.
        """
        self.port = free_port()
        self.folder = folder
        folder.mkdir()
        shutil.copy(certificate, folder / "server.pem")
        for path in (folder, folder / "server.pem"):
            shutil.chown(path, "postgres", "postgres")
        self._make_cluster(folder / "data")
        command = [program(f"{_BIN}/postgres"), "-D", str(folder / "data")]
        settings = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(folder),
            "fsync": "off",
            "ssl": "on",
            "ssl_cert_file": str(folder / "server.pem"),
            "ssl_key_file": str(folder / "server.pem"),
        }
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        self.child = Child(command, folder.with_suffix(".log"), user="postgres")
        try:
            self.child.wait_until(self._answers, "PostgreSQL")
        except Exception:
            self.stop()
            raise

    def _make_cluster(self, data: Path) -> None:
        initdb = [program(f"{_BIN}/initdb"), "-D", str(data), "-U", "postgres", "-E", "UTF8", "--no-sync"]
        command = [program("setpriv"), "--reuid", "postgres", "--regid", "postgres", "--init-groups", *initdb]
        done = subprocess.run([*command, "--no-locale"], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"initdb failed:\n{done.stdout}{done.stderr}")
        (data / "pg_hba.conf").write_text(_ACCESS)

    def _answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def execute(self, sql: str, *values: Any, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run one statement as the server's administrator."""
        with psycopg.connect(
            host=str(self.folder), port=self.port, user="postgres", dbname=database, autocommit=True
        ) as connection:
            cursor = connection.execute(sql, values or None)
            return cursor.fetchall() if cursor.description else []

    def new_database(self, name: str) -> None:
        """Create an empty database; the account of the tests may do anything in it."""
        if not self.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", USER):
            self.execute(f"CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'")
        self.execute(f"CREATE DATABASE {name} OWNER {USER}")

    def hang(self) -> None:
        """Stop all its processes where they are."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let them go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        parent = str(self.child.pid)
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                if path.read_text().rpartition(")")[2].split()[1] == parent:
                    os.kill(int(path.parent.name), number)
        os.kill(self.child.pid, number)

    def stop(self) -> None:
        """Stop the server, without waiting for those who are connected."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.child.pid, signal.SIGINT)
        self.child.stop()
