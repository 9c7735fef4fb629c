"""A database server of whichever kind with the tables of Vmail-SQL, and pypop3ds that log in from it."""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.system.support.mariadb import PASSWORD, USER, Mariadb
from tests.system.support.pop3d import Pop3d, Telnet
from tests.system.support.postgres import Postgres
from tests.system.support.processes import free_port

#: An original database of Vmail-SQL 0.3, as README.auth_mysql of the ancestor has it.
TABLES = (
    "CREATE TABLE domain (domain_name varchar(255) PRIMARY KEY, unix_user varchar(255),"
    " password_hash varchar(255), path varchar(255), max_popbox int)",
    "CREATE TABLE popbox (domain_name varchar(255) NOT NULL, local_part varchar(255) NOT NULL,"
    " password_hash varchar(255), mbox_name varchar(255))",
    "CREATE TABLE relay (address varchar(255), name varchar(255))",
)
STORED = hashlib.md5(b"haslo", usedforsecurity=False).hexdigest()


class Base:
    """A database server, of whichever kind.

    Attributes:
        driver: its driver's name.
        address: how the directive names it.
        port: where it listens.
        hang, go_on: stop its processes where they are, and let them go on.
        socket_folder: PostgreSQL's.
    """

    def __init__(
        self, driver: str, port: int, execute: Callable[[str], list[tuple[object, ...]]], name: str
    ) -> None:
        self.driver, self.port, self.name = driver, port, name
        self.execute = execute
        self.hang: Callable[[], None]
        self.go_on: Callable[[], None]
        self.read_only: Callable[[bool], object]
        self.socket_folder = ""

    def fill(self, root: Path, owner: str) -> None:
        for sql in TABLES:
            self.execute(sql)
        self.execute(f"INSERT INTO domain VALUES ('klient1.pl', '{owner}', NULL, '{root}', 50)")
        self.execute(f"INSERT INTO popbox VALUES ('klient1.pl', 'luser', '{STORED}', 'luser')")

    def stored(self) -> str:
        [(found,)] = self.execute("SELECT password_hash FROM popbox WHERE local_part = 'luser'")
        return str(found)

    def directives(self, *servers: str, **more: str) -> str:
        lines = {
            "enable": "yes",
            "hostname": " ".join(servers or (f"127.0.0.1:{self.port}",)),
            "database": self.name,
            "username": USER,
            "password": PASSWORD,
            **{name.replace("_", "-"): value for name, value in more.items()},
        }
        return "".join(f"auth-{self.driver}-{name}: {value}\n" for name, value in lines.items())


class Site:
    """A pypop3d with some configuration."""

    def __init__(self, folder: Path, owner: pwd.struct_passwd, directives: str) -> None:
        self.port = free_port()
        self.config = folder / f"{self.port}.conf"
        self.config.write_text(
            f"listen-address: 127.0.0.1:{self.port}(klient1.pl)\nrun-as: {owner.pw_name}\n"
            f"append-domain: yes\n{directives}"
        )
        self.pop3d = Pop3d(self.config, self.port)

    def login(self, password: str = "haslo") -> tuple[str, float]:
        """Log in; return the answer, and the seconds from connecting to it."""
        began = time.monotonic()
        client = Telnet(self.port)
        assert client.read().startswith("+OK")
        client.type("USER luser")
        answer = client.type(f"PASS {password}")
        seconds = time.monotonic() - began
        if answer.startswith("+OK"):
            client.type("QUIT")  # the mailbox is free when the answer comes
        client.close()
        return answer, seconds

    def lets_in(self) -> bool:
        return self.login()[0].startswith("+OK")

    @property
    def log(self) -> str:
        return self.pop3d.log.read_text()


StartSite = Callable[[str], Site]


def make_mail(folder: Path, owner: str) -> None:
    """Make a folder with one mailbox, and a certificate for 127.0.0.1 and for no name of this machine."""
    folder.mkdir()
    (folder / "SERVERS").mkdir()
    for path in (folder, folder / "SERVERS"):
        path.chmod(0o755)
    (folder / "SERVERS" / "luser").write_text("From x@y Fri Jun  8 12:00:00 2001\nSubject: x\n\nx\n\n")
    for path in (folder / "SERVERS", folder / "SERVERS" / "luser"):
        shutil.chown(path, owner)
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=db.example"
    command += f" -addext subjectAltName=IP:127.0.0.1 -keyout {folder}/key.pem -out {folder}/cert.pem"
    subprocess.run(command.split(), check=True, capture_output=True)
    (folder / "server.pem").write_text((folder / "key.pem").read_text() + (folder / "cert.pem").read_text())
    (folder / "server.pem").chmod(0o600)


def mysql_base(area: Path, folder: Path, owner: str) -> tuple[Base, Mariadb]:
    """Start a MariaDB that speaks TLS and may be stopped."""
    pem = folder / "mysql.pem"
    shutil.copy(folder / "server.pem", pem)
    shutil.chown(pem, "mysql", "mysql")
    server = Mariadb(area / "sql-mariadb", f"--ssl-cert={pem}", f"--ssl-key={pem}")
    name = "virtualemail"
    server.url(name)
    base = Base("mysql", server.port, lambda sql: server.execute(sql, database=name), name)
    base.hang = lambda: os.kill(server.child.pid, signal.SIGSTOP)
    base.go_on = lambda: os.kill(server.child.pid, signal.SIGCONT)
    base.read_only = lambda on: server.execute(f"SET GLOBAL read_only = {int(on)}")
    base.fill(folder / "SERVERS", owner)
    return base, server


def pgsql_base(area: Path, folder: Path, owner: str) -> tuple[Base, Postgres]:
    """Start a PostgreSQL that speaks TLS and may be stopped."""
    server = Postgres(area / "sql-postgres", folder / "server.pem")
    name = "virtualemail"
    server.new_database(name)
    base = Base("pgsql", server.port, lambda sql: server.execute(sql, database=name), name)
    base.socket_folder = str(server.folder)
    base.hang, base.go_on = server.hang, server.go_on
    base.read_only = lambda on: server.execute(
        f"ALTER ROLE {USER} SET default_transaction_read_only = {'on' if on else 'off'}"
    )
    base.fill(folder / "SERVERS", owner)
    base.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {USER}")
    return base, server
