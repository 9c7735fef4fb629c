"""A pypop3d in separated mode with mail of two Unix users, and what can be seen of its processes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import poplib
import pwd
import re
import ssl
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from tests.system.support.mariadb import Mariadb
from tests.system.support.pop3d import Pop3d, new_directory
from tests.system.support.processes import Child, free_port, wait_for
from tests.system.support.small import make_certificate

#: Domain by owner.
DOMAINS = {"vmail": "klient1.pl", "vmail2": "drugi.pl"}
BOXES = {"luser": "maildir", "jan": "bsd"}
MESSAGES = (
    b"Subject: one\n\ntext\n",
    b"Subject: two\n\n.dot\n\nFrom here on\n",
    b"Subject: three\n\n" + b"x\n" * 50_000,
)
#: An account that owns nothing, as Debian has it.
AUTH_USER = "daemon"


class Separated:
    """The site.

    Attributes:
        shell: the directory's commands.
        folder: of everything.
        port, tls_port: where it listens, plain and with TLS from the first octet.
        config: the server's configuration.
    """

    def __init__(self, folder: Path, mariadb: Mariadb, more: str = "", program: str = "") -> None:
        """Make the accounts and the mail, and start the server.

        Args:
            folder: to be made.
            mariadb: where the directory goes.
            more: lines for the configuration.
            program: what to do before the server is started, in its process.
        """
        self.folder = folder
        database = folder.name.replace("-", "_")
        self.shell = new_directory(folder, mariadb, database)
        for owner, domain in DOMAINS.items():
            self.shell.run(f"VE-domain add {domain} --user {owner}")
            for box, kind in BOXES.items():
                self.shell.run(f"VE-popbox add {domain} {box} --type {kind}")
                self._store_mail(owner, domain, box, kind)
                digest = hashlib.md5(self.password(box).encode(), usedforsecurity=False).hexdigest()
                mariadb.execute(
                    "UPDATE popbox SET password_hash = %s WHERE local_part = %s",
                    digest,
                    box,
                    database=database,
                )
        make_certificate(folder)
        self.port, self.tls_port = free_port(), free_port()
        self.config = folder / "tpop3d.conf"
        self.config.write_text(
            f"include: vmail.conf\nlisten-address: 127.0.0.1:{self.port}(klient1.pl) "
            f"127.0.0.1:{self.tls_port}(klient1.pl);tls=immediate,{folder}/server.pem\n"
            "auth-directory-enable: yes\nrun-as: vmail\nprivilege-separation: yes\nnet-user: nobody\n"
            f"auth-user: {AUTH_USER}\nfirst-uid: {min(map(_uid, DOMAINS))}\n"
            f"worker-processes: 2\nauth-processes: 2\n{more}"
        )
        self.child = Pop3d(self.config, self.port).child if not program else self._start(program)

    def _start(self, program: str) -> Child:
        """Run a program that becomes the server."""
        code = textwrap.dedent(program) + "\nfrom tpop3d_py.cli.pypop3d import main\nimport sys\n"
        code += f"sys.exit(main(['-d', '-f', {str(self.config)!r}]))\n"
        return Child([sys.executable, "-c", code], self.folder / "tpop3d.log")

    def _store_mail(self, owner: str, domain: str, box: str, kind: str) -> None:
        path = self.folder / "SERVERS" / domain / box
        account = pwd.getpwnam(owner)
        if kind == "bsd":
            path.write_bytes(b"".join(b"From a@b Tue Jun  5 19:12:53 2001\n%b\n" % text for text in MESSAGES))
        else:
            for part in ("new", "cur", "tmp"):
                (path / part).mkdir(parents=True, exist_ok=True)
            for number, text in enumerate(MESSAGES):
                (path / "new" / f"99176077{number}.1.host").write_bytes(text)
        for each in (path, *path.rglob("*")):
            os.chown(each, account.pw_uid, account.pw_gid)
            each.chmod(0o700 if each.is_dir() else 0o600)

    def password(self, box: str) -> str:
        """Return a box's password."""
        return f"haslo-{box}"

    def path(self, box: str, domain: str = "klient1.pl") -> Path:
        """Return where a box lies."""
        return self.folder / "SERVERS" / domain / box

    def connect(self, *, tls: bool = False) -> poplib.POP3:
        """Connect a client."""
        if not tls:
            return poplib.POP3("127.0.0.1", self.port, timeout=20)
        context = ssl.create_default_context(cafile=str(self.folder / "cert.pem"))
        return poplib.POP3_SSL("127.0.0.1", self.tls_port, timeout=20, context=context)

    def login(self, box: str = "luser", domain: str = "klient1.pl", *, tls: bool = False) -> poplib.POP3:
        """Connect a client and log in."""
        client = self.connect(tls=tls)
        client.user(f"{box}@{domain}")
        client.pass_(self.password(box))
        return client

    def log(self) -> str:
        """Return what the server has logged."""
        return (self.folder / "tpop3d.log").read_text()

    def processes(self) -> dict[str, list[int]]:
        """List the server's processes by their Unix user; only the master stays root."""
        found: dict[str, list[int]] = {"root": [self.child.pid]}
        for pid in children(self.child.pid):
            with contextlib.suppress(FileNotFoundError):  # it has just ended
                found.setdefault(pwd.getpwuid(int(status(pid)["Uid"].split()[0])).pw_name, []).append(pid)
        return found

    def wait_until_settled(self) -> None:
        """Wait until every process has become who it is."""
        wait_for(lambda: self.processes()["root"] == [self.child.pid], "the processes to give root up")

    def stop(self) -> None:
        """Stop the server."""
        self.child.stop()


def _uid(name: str) -> int:
    return pwd.getpwnam(name).pw_uid


def children(pid: int) -> list[int]:
    """List the children of a process."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def status(pid: int) -> dict[str, str]:
    """Return the lines of /proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def remembers(pid: int, octets: bytes) -> bool:
    """Tell whether some octets are anywhere in the memory of a process."""
    with open(f"/proc/{pid}/mem", "rb", 0) as memory:
        return any(
            octets in part for start, end in _regions(pid) for part in _parts(memory.fileno(), start, end)
        )


def _regions(pid: int) -> Iterator[tuple[int, int]]:
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        found = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
        if found:
            yield int(found[1], 16), int(found[2], 16)


def _parts(fd: int, start: int, end: int) -> Iterator[bytes]:
    try:
        yield os.pread(fd, end - start, start)
    except OSError:  # pages that are not there
        return


def prime_of(pem: Path) -> bytes:
    """Return octets of an RSA key that no public part shows, in the order that OpenSSL has them in."""
    text = subprocess.run(
        ["openssl", "rsa", "-in", str(pem), "-noout", "-text"], capture_output=True, text=True, check=True
    ).stdout
    digits = re.search(r"prime1:((?:\s+[0-9a-f:]+)+?)\nprime2", text)
    assert digits is not None
    number = bytes.fromhex("".join(digits[1].split()).replace(":", "")).lstrip(b"\0")
    return number[::-1][16:80]
