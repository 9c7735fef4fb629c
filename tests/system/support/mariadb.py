"""A private MariaDB server with databases that start out empty."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pymysql
from sqlalchemy.engine import URL

from tests.system.support.processes import Child, free_port, program

USER = "vmail"
PASSWORD = "se:kret"  # a colon, because Exim has to double it


class Mariadb:
    """A running server.

    Attributes:
        host: its address.
        port: its TCP port.
        socket: path of its Unix socket.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        """Start a server.

        Args:
            folder: for all its files; account mysql must be able to enter it.
            options: more for its command line.
        """
        self.host = "127.0.0.1"
        self.port = free_port()
        self.socket = str(folder / "socket")
        data = folder / "data"
        data.mkdir(parents=True)
        for path in (folder, data):
            shutil.chown(path, "mysql", "mysql")
        _create_system_tables(data)
        self.child = Child([*self._command(data), *options], folder / "mariadb.log", user="mysql")
        try:
            self.child.wait_until(self._answers, "MariaDB")
        except Exception:
            self.stop()
            raise

    def _command(self, data: Path) -> list[str]:
        return [
            program("mariadbd"),
            "--no-defaults",
            f"--datadir={data}",
            f"--socket={self.socket}",
            f"--bind-address={self.host}",
            f"--port={self.port}",
            f"--pid-file={data}/pid",
            # As Debian's own configuration sets it.
            "--character-set-server=utf8mb4",
            "--collation-server=utf8mb4_general_ci",
            "--innodb-buffer-pool-size=32M",
            "--skip-log-bin",
        ]

    def _answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except pymysql.OperationalError:
            return False
        return True

    def execute(self, sql: str, *values: Any, database: str | None = None) -> list[tuple[Any, ...]]:
        """Run one statement as the server's administrator.

        Args:
            sql: the statement, with %s for each value.
            values: bound to it.
            database: where; None: nowhere in particular.
        """
        connection = pymysql.connect(
            unix_socket=self.socket, user="root", database=database, charset="utf8mb4", autocommit=True
        )
        with connection, connection.cursor() as cursor:
            cursor.execute(sql, values or None)
            return list(cursor.fetchall())

    def url(self, database: str) -> str:
        """Create an empty database, dropping one of this name, and return its SQLAlchemy URL.

        The account in the URL has all rights on that database and none elsewhere.
        """
        if not re.fullmatch("[a-z][a-z0-9_]*", database):
            raise ValueError(f"not a name for a test database: {database!r}")
        self.execute(f"DROP DATABASE IF EXISTS `{database}`")
        self.execute(f"CREATE DATABASE `{database}`")
        account = f"'{USER}'@'{self.host}'"
        self.execute(f"CREATE USER IF NOT EXISTS {account} IDENTIFIED BY %s", PASSWORD)
        self.execute(f"GRANT ALL ON `{database}`.* TO {account}")
        url = URL.create(
            "mysql+pymysql", USER, PASSWORD, self.host, self.port, database, query={"charset": "utf8mb4"}
        )
        return url.render_as_string(hide_password=False)

    def stop(self) -> None:
        """Stop the server."""
        self.child.stop()


def _create_system_tables(data: Path) -> None:
    command = [
        program("mariadb-install-db"),
        "--no-defaults",
        f"--datadir={data}",
        "--user=mysql",
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"mariadb-install-db failed:\n{done.stdout}{done.stderr}")
