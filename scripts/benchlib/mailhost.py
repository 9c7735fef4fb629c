"""What the servers serve: maildirs, and a directory with their accounts.

Every maildir is reachable under one login name per stored form of the password:
``u0@md5.bench.test`` and ``u0@argon2id.bench.test`` are the same mail.  So the
cost of hashing can be told from all other costs, on the same files.

The directory is made by ``vmail db init`` on a private MariaDB; without root,
which starting that server as its own account needs, on SQLite.

When things fail: what the commands said goes up as `RuntimeError`.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL

from benchlib.load import PASSWORD
from tests.system.support.mariadb import PASSWORD as SQL_PASSWORD
from tests.system.support.mariadb import USER as SQL_USER
from tests.system.support.mariadb import Mariadb
from tests.system.support.processes import CHECKOUT
from tpop3d_py.auth.passwords import make_hash

DATABASE = "virtualemail"
FORMS = ("md5", "argon2id")
_FIRST_DELIVERY = 991_760_773
_LINE = b"The quick brown fox jumps over the lazy dog, and here the line ends\n"


@dataclass(frozen=True, slots=True)
class Shape:
    """How much mail there is: maildirs, messages in each, octets in each message."""

    boxes: int
    messages: int
    octets: int


@dataclass(frozen=True, slots=True)
class Mailhost:
    """Mail and directory.

    Args:
        base: the folder of everything; all may enter it.
        owner: the account that owns the mail.
        boxes: how many there are.
        vmail_conf: path of the directory's configuration.
        mariadb: the database server; None: the directory is in SQLite.
        certificate: of all servers, with its key (ECDSA, P-256).
    """

    base: Path
    owner: pwd.struct_passwd
    boxes: int
    vmail_conf: Path
    mariadb: Mariadb | None
    certificate: Path

    @property
    def mail(self) -> Path:
        """Where the maildirs lie."""
        return self.base / "mail"

    def copy_of_mail(self, name: str) -> Path:
        """Copy the maildirs for a server that writes index files into them."""
        copy = self.base / name
        shutil.copytree(self.mail, copy)
        _give(copy, self.owner)
        return copy


def login_names(form: str) -> str:
    """Return the pattern of the login names whose passwords are stored in a form."""
    return f"u%d@{form}.bench.test"


@contextmanager
def mailhost(base: Path, shape: Shape) -> Iterator[Mailhost]:
    """Make mail and directory, and end the database server afterwards."""
    owner = _owner()
    base.chmod(0o755)
    _write_mail(base / "mail", shape)
    _give(base / "mail", owner)
    mariadb = Mariadb(base / "mariadb") if os.geteuid() == 0 else None
    try:
        url = _mysql_url(mariadb) if mariadb else URL.create("sqlite", database=str(base / "vmail.db"))
        certificate = _certificate(base / "bench.pem")
        host = Mailhost(base, owner, shape.boxes, base / "vmail.conf", mariadb, certificate)
        _write_configuration(host, url)
        _make_accounts(host, url)
        yield host
    finally:
        if mariadb:
            mariadb.stop()


def _owner() -> pwd.struct_passwd:
    """Return who owns the mail: whoever runs this; for root, vmail, or nobody where there is no vmail."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid())
    names = {entry.pw_name for entry in pwd.getpwall()}
    return pwd.getpwnam("vmail" if "vmail" in names else "nobody")


def _certificate(path: Path) -> Path:
    """Make a certificate and its key, of the kind that public authorities issue most."""
    words = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=bench.test"
    )
    command = [*words.split(), "-keyout", str(path), "-out", str(path.with_suffix(".crt"))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"openssl made no certificate:\n{done.stderr}")
    path.write_text(path.read_text() + path.with_suffix(".crt").read_text())
    path.chmod(0o600)
    return path


def _write_mail(root: Path, shape: Shape) -> None:
    """Make maildirs whose messages have all been seen, so that fetching them again renames nothing."""
    for box in range(shape.boxes):
        maildir = root / f"u{box}"
        for part in ("cur", "new", "tmp"):
            (maildir / part).mkdir(parents=True)
        for number in range(shape.messages):
            text_ = _message(box, number, shape.octets)
            name = f"{_FIRST_DELIVERY + number}.M{number}P{box}.bench,S={len(text_)}:2,S"
            (maildir / "cur" / name).write_bytes(text_)


def _message(box: int, number: int, octets: int) -> bytes:
    head = (
        b"From: Nadawca <nadawca@drugi.klient.pl>\nTo: u%d@bench.test\nSubject: message %d\n"
        b"Message-Id: <%d.%d@bench.test>\n\n"
    ) % (box, number, box, number)
    lines = max(0, octets - len(head)) // len(_LINE)
    return head + _LINE * lines


def _give(root: Path, owner: pwd.struct_passwd) -> None:
    if os.geteuid() != 0:
        return
    for path in (root, *root.rglob("*")):
        os.chown(path, owner.pw_uid, owner.pw_gid)


def _mysql_url(mariadb: Mariadb) -> URL:
    """Create the database; programs reach it over the Unix socket, as on a machine that has both."""
    mariadb.url(DATABASE)
    mariadb.execute(f"CREATE USER '{SQL_USER}'@'localhost' IDENTIFIED BY %s", SQL_PASSWORD)
    mariadb.execute(f"GRANT ALL ON `{DATABASE}`.* TO '{SQL_USER}'@'localhost'")
    return URL.create(
        "mysql+pymysql",
        SQL_USER,
        host="localhost",
        database=DATABASE,
        query={"unix_socket": mariadb.socket},
    )


def _write_configuration(host: Mailhost, url: URL) -> None:
    password = host.base / "sql-password"
    password.write_text(f"{SQL_PASSWORD}\n")
    password.chmod(0o600)
    host.vmail_conf.write_text(
        f"database-url: {url.render_as_string()}\n"
        f"database-password-file: {password}\n"
        f"mail-root: {host.mail}\n"
        f"default-unix-user: {host.owner.pw_name}\n"
    )


def _make_accounts(host: Mailhost, url: URL) -> None:
    """Create the schema with our own command and the accounts in bulk."""
    command = [sys.executable, "-c", "from tpop3d_py.cli.vmail import main; main()", "db", "init"]
    environment = {**os.environ, "VMAIL_CONFIG": str(host.vmail_conf), "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"vmail db init failed:\n{done.stdout}{done.stderr}")
    stored = {
        "md5": hashlib.md5(PASSWORD.encode(), usedforsecurity=False).hexdigest(),
        "argon2id": make_hash(PASSWORD),
    }
    if host.mariadb:
        url = url.set(password=SQL_PASSWORD)
    with create_engine(url).begin() as connection:
        for form in FORMS:
            domain = {"d": f"{form}.bench.test", "u": host.owner.pw_name, "p": str(host.mail)}
            connection.execute(
                text("INSERT INTO domain (domain_name, unix_user, path) VALUES (:d, :u, :p)"), domain
            )
            rows = [
                {"d": domain["d"], "l": f"u{box}", "h": stored[form], "m": f"u{box}/"}
                for box in range(host.boxes)
            ]
            connection.execute(
                text(
                    "INSERT INTO popbox (domain_name, local_part, password_hash, mbox_name)"
                    " VALUES (:d, :l, :h, :m)"
                ),
                rows,
            )
