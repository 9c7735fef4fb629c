"""A small site: one domain in SQLite, mailboxes that tests write themselves, and a pypop3d."""

from __future__ import annotations

import hashlib
import os
import pwd
import sqlite3
import subprocess
from pathlib import Path

from tests.system.support.pop3d import Pop3d, Shell
from tests.system.support.processes import free_port

DOMAIN = "klient1.pl"


class SmallSite:
    """A running pypop3d and what it serves.

    Attributes:
        root: the domain's folder.
        port, tls_port, stls_port: where it listens: plain, implicit TLS, plain with STLS.
        polish_port: where it listens with ``texts=polish``.
        config: the server's configuration file.
        pop3d: the server.
    """

    def __init__(self, folder: Path, owner: pwd.struct_passwd, boxes: dict[str, str], more: str = "") -> None:
        """Make the accounts and start the server.

        Args:
            folder: to be made.
            owner: of all mail.
            boxes: the kind (``maildir``, ``bsd``) of each box, by its local part.
            more: lines for the configuration.
        """
        folder.mkdir()
        folder.chmod(0o755)
        self._owner = owner
        self.root = folder / "SERVERS" / DOMAIN
        (folder / "vmail.conf").write_text(
            f"database-url: sqlite:///{folder}/vmail.db\nmail-root: {folder}/SERVERS\n"
            f"default-unix-user: {owner.pw_name}\n"
        )
        shell = Shell(folder / "vmail.conf")
        shell.run("vmail db init")
        shell.run(f"VE-domain add {DOMAIN}")
        for box, kind in boxes.items():
            self._add(shell, box, kind)
        self._set_passwords(folder / "vmail.db")
        for path in (folder, *folder.glob("vmail.db*")):
            os.chown(path, owner.pw_uid, owner.pw_gid)
        self.port, self.tls_port, self.stls_port, self.polish_port = (free_port() for _ in range(4))
        self.certificate = make_certificate(folder)
        self.config = folder / "tpop3d.conf"
        self.config.write_text(
            f"include: vmail.conf\nlisten-address: 127.0.0.1:{self.port}({DOMAIN}) "
            f"127.0.0.1:{self.tls_port}({DOMAIN});tls=immediate,{folder}/server.pem "
            f"127.0.0.1:{self.stls_port}({DOMAIN});tls=stls,{folder}/server.pem "
            f"127.0.0.1:{self.polish_port}({DOMAIN});texts=polish\n"
            f"append-domain: yes\nauth-directory-enable: yes\nrun-as: {owner.pw_name}\n{more}"
        )
        self.pop3d = Pop3d(self.config, self.port)

    def path(self, box: str) -> Path:
        """Return where a box lies."""
        return self.root / box

    def password(self, box: str) -> str:
        """Return a box's password."""
        return f"haslo-{box}"

    def user(self, box: str) -> str:
        """Return a box's whole name."""
        return f"{box}@{DOMAIN}"

    def store(self, box: str, stored: str) -> None:
        """Give a box another password, in its stored form."""
        with sqlite3.connect(self.config.parent / "vmail.db") as connection:
            connection.execute("UPDATE popbox SET password_hash = ? WHERE local_part = ?", (stored, box))

    def restart(self) -> None:
        """Stop the server and start it anew."""
        self.pop3d.stop()
        self.pop3d = Pop3d(self.config, self.port)

    def stop(self) -> None:
        """Stop the server."""
        self.pop3d.stop()

    def _add(self, shell: Shell, box: str, kind: str) -> None:
        shell.run(f"VE-popbox add {DOMAIN} {box} --type {kind}")
        folders = [self.path(box), *(self.path(box) / part for part in ("new", "cur", "tmp"))]
        for folder in folders if kind == "maildir" else []:
            folder.mkdir(exist_ok=True)
            os.chown(folder, self._owner.pw_uid, self._owner.pw_gid)

    def _set_passwords(self, database: Path) -> None:
        """Store old, cheap hashes: hundreds of logins must not wait for argon2id."""
        with sqlite3.connect(database) as connection:
            for (box,) in connection.execute("SELECT local_part FROM popbox").fetchall():
                stored = hashlib.md5(self.password(box).encode(), usedforsecurity=False).hexdigest()
                connection.execute("UPDATE popbox SET password_hash = ? WHERE local_part = ?", (stored, box))


def make_certificate(folder: Path) -> Path:
    """Make a key and a certificate for 127.0.0.1 in server.pem, and the certificate alone in cert.pem."""
    path = folder / "server.pem"
    subprocess.run(
        f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost "
        f"-addext subjectAltName=IP:127.0.0.1 -keyout {path} -out {folder}/cert.pem".split(),
        check=True,
        capture_output=True,
    )
    path.write_bytes(path.read_bytes() + (folder / "cert.pem").read_bytes())
    path.chmod(0o600)
    return folder / "cert.pem"
