"""A site with listeners of every kind: two customers of a provider, each with a box ``jan``."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import socket
import sqlite3
import ssl
from pathlib import Path

from tests.server.pems import write_pair
from tests.system.support.pop3d import Pop3d, Shell
from tests.system.support.processes import free_port, wait_for

CUSTOMERS = ("klient1.pl", "klient2.pl")
#: Loopback addresses that have a part to play.
FIRST, SECOND, UNKNOWN, PROXY, FORWARDER = (f"127.0.0.{n}" for n in (2, 3, 4, 5, 6))


class EdgeSite:
    """A running pypop3d.

    Attributes:
        ports: by the name of the listener.
        config: the server's configuration file.
        certificates: the folder of the customers' certificates.
        pop3d: the server.
    """

    def __init__(self, folder: Path, owner: pwd.struct_passwd) -> None:
        folder.mkdir()
        folder.chmod(0o755)
        self._folder = folder
        self._mailers: list[Mailer] = []
        self._make_accounts(owner)
        self.certificates = folder / "certificates"
        self.certificates.mkdir()
        write_pair(folder / "provider.pem", "mail.provider.pl")
        for number, customer in enumerate(CUSTOMERS, 1):
            names = (f"mail.{customer}", f"*.{customer}")
            write_pair(self.certificates / f"{customer}.pem", *names, number=number)
        (folder / "hosts").write_text(f"{FIRST} mail.klient1.pl\n{SECOND} mail.klient2.pl\n")
        self.ports = {name: free_port() for name in self._listeners()}
        self.config = folder / "tpop3d.conf"
        self.write_config()
        self.pop3d = Pop3d(self.config, self.ports["plain"])

    def write_config(self, more: str = "") -> None:
        """Write the configuration."""
        addresses = " \\\n ".join(
            text.format(port=self.ports[name]) for name, text in self._listeners().items()
        )
        self.config.write_text(
            f"include: vmail.conf\nlisten-address: {addresses}\n"
            f"tls-certificates: {self.certificates}\nhosts-file: {self._folder}/hosts\n"
            f"proxy-networks: {PROXY}\nxclient-networks: {FORWARDER}\n"
            f"auth-directory-enable: yes\nappend-domain: yes\n"
            "sasl-mechanisms: PLAIN LOGIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS\n"
            f"run-as: vmail\n{more}"
        )

    def connect(self, name: str, to: str = "127.0.0.1", source: str = "127.0.0.1") -> socket.socket:
        """Connect to a listener."""
        host = "::1" if name == "six" else to
        return socket.create_connection((host, self.ports[name]), 20, None if host == "::1" else (source, 0))

    def mailer(self, name: str, first: bytes = b"", tls: str | None = None, **how: str) -> Mailer:
        """Connect, perhaps send something first, perhaps begin TLS, and read the greeting.

        Args:
            name: of the listener.
            first: octets to send before anything else.
            tls: name to ask for in TLS; empty: none; None: there is no TLS.
            how: as for `connect`.
        """
        sock = self.connect(name, **how)
        sock.sendall(first)
        if tls is not None:
            sock = trusting().wrap_socket(sock, server_hostname=tls or None)
        self._mailers.append(Mailer(sock))
        return self._mailers[-1]

    def hang_up(self) -> None:
        """Close all connections of `mailer`."""
        while self._mailers:
            self._mailers.pop().close()

    def reload(self) -> None:
        """Have the settings read again and wait until they are in force."""
        before = self.said().count("net_loop: restarting")
        os.kill(self.pop3d.child.pid, signal.SIGHUP)
        wait_for(lambda: self.said().count("net_loop: restarting") > before, "the reload")

    def said(self) -> str:
        """Return what the server has logged so far."""
        return self.pop3d.log.read_text()

    def _listeners(self) -> dict[str, str]:
        pem = f"{self._folder}/provider.pem"
        return {
            "plain": "127.0.0.1:{port}(klient1.pl)",
            "six": "[::1]:{port}(klient2.pl)",
            "any": "0.0.0.0:{port}",
            "regex": r"0.0.0.0:{port}/^mail\.(.*)$/;texts=polish",
            "tls": "127.0.0.1:{port}(provider.pl);tls=immediate," + pem,
            "stls": "127.0.0.1:{port}(provider.pl);tls=stls," + pem,
            "old": "127.0.0.1:{port}(provider.pl);tls=immediate," + pem + ";tls-min=1.0",
            "proxied": "127.0.0.1:{port}(klient1.pl);proxy=yes",
            "proxied-tls": "127.0.0.1:{port};tls=immediate," + pem + ";proxy=yes",
            "behind-tls": "127.0.0.1:{port};proxy=tls",
        }

    def _make_accounts(self, owner: pwd.struct_passwd) -> None:
        folder = self._folder
        (folder / "vmail.conf").write_text(
            f"database-url: sqlite:///{folder}/vmail.db\nmail-root: {folder}/SERVERS\n"
            f"default-unix-user: {owner.pw_name}\n"
        )
        shell = Shell(folder / "vmail.conf")
        shell.run("vmail db init")
        for customer in CUSTOMERS:
            shell.run(f"VE-domain add {customer}")
            shell.run(f"VE-popbox add {customer} jan --type maildir")
            box = folder / "SERVERS" / customer / "jan"
            for path in (box, *(box / part for part in ("new", "cur", "tmp"))):
                path.mkdir(exist_ok=True)
                os.chown(path, owner.pw_uid, owner.pw_gid)
        with sqlite3.connect(folder / "vmail.db") as connection:  # cheap, and good for SCRAM
            for customer in CUSTOMERS:
                connection.execute(
                    "UPDATE popbox SET password_hash = ? WHERE domain_name = ?",
                    ("{plaintext}" + customer, customer),
                )
        for path in (folder, *folder.glob("vmail.db*")):
            os.chown(path, owner.pw_uid, owner.pw_gid)


class Mailer:
    """A mail program: reads the greeting and logs in as ``jan``.

    Attributes:
        greeting: the server's first line.
        answer: its last answer.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._file = sock.makefile("rb")
        self.greeting = self.answer = self.line()

    def line(self) -> bytes:
        """Return the next line without its end; empty when the server has closed."""
        return self._file.readline().removesuffix(b"\r\n")

    def ask(self, command: bytes) -> bytes:
        """Send a command and return the first line of the answer."""
        self.sock.sendall(command + b"\r\n")
        self.answer = self.line()
        return self.answer

    def capabilities(self) -> list[bytes]:
        """Return what CAPA lists."""
        assert self.ask(b"CAPA").startswith(b"+OK")
        found = []
        while (line := self.line()) != b".":
            found.append(line)
        return found

    def opens(self, domain: str) -> bool:
        """Tell whether the name ``jan`` alone opens the box of that customer."""
        self.ask(b"USER jan")
        return self.ask(b"PASS " + domain.encode()).startswith(b"+OK")

    def shown(self) -> bytes:
        """Return the certificate that the server has shown."""
        assert isinstance(self.sock, ssl.SSLSocket)
        return self.sock.getpeercert(binary_form=True) or b""

    def start_tls(self, name: str) -> None:
        """Say STLS and shake hands; an empty name is not sent."""
        assert self.ask(b"STLS").startswith(b"+OK")
        self._file.close()
        self.sock = trusting().wrap_socket(self.sock, server_hostname=name or None)
        self._file = self.sock.makefile("rb")

    def close(self) -> None:
        """Say good-bye and wait until the server has closed, and the box with it."""
        with contextlib.suppress(OSError):
            self.sock.sendall(b"QUIT\r\n")
            while self._file.readline():
                pass
        self._file.close()
        self.sock.close()


def trusting() -> ssl.SSLContext:
    """Make a context that believes everybody."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def certificate(path: Path) -> bytes:
    """Return the first certificate in a PEM file."""
    text = path.read_text()
    return ssl.PEM_cert_to_DER_cert(text[text.index("-----BEGIN CERTIFICATE") :])
