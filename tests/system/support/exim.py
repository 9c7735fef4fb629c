"""A private Exim: own configuration, spool, logs and port.

Exim gives up root for a configuration file that it does not know, and its
deliveries then fail.  A running instance is therefore named in
/etc/exim4/trusted_configs, the list compiled into Debian's Exim, and its line
is removed when it stops.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import smtplib
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.system.support.processes import CHECKOUT, Child, free_port, listens, program

TRUSTED = Path("/etc/exim4/trusted_configs")
_ACCOUNT = "Debian-exim"
_COMMAND_SECONDS = 60


def exim_binary() -> str:
    """Find Exim where scripts/install-test-peers put it."""
    peers = Path(os.environ.get("TPOP3D_PEERS") or CHECKOUT / ".cache" / "peers")
    # Where the checkout is closed to Exim's account, the folder is a link to one that is not.
    return program(str((peers / "exim/usr/sbin/exim4").resolve()))


class Exim:
    """A running Exim.

    Attributes:
        host: its address.
        port: its SMTP port.
        config: path of its configuration.
        mainlog, rejectlog, paniclog: paths of its logs; they appear with their first line.
    """

    def __init__(self, folder: Path, make_config: Callable[[int], str]) -> None:
        """Start it.

        Args:
            folder: for all its files; everybody must be able to enter it.
            make_config: called with the port, returns a whole configuration that listens there.
        """
        self.host = "127.0.0.1"
        self.port = free_port()
        self.binary = exim_binary()
        self.config = folder / "exim.conf"
        self.mainlog, self.rejectlog, self.paniclog = (
            folder / f"log/{n}log" for n in ("main", "reject", "panic")
        )
        for name in ("spool", "log"):
            (folder / name).mkdir(parents=True)
            shutil.chown(folder / name, _ACCOUNT, _ACCOUNT)
        _write_private(self.config, self._places(folder) + make_config(self.port))
        _trust(self.config)
        self.child = Child([self.binary, "-C", str(self.config), "-bdf"], folder / "exim.out")
        self.child.logs += [self.mainlog, self.paniclog]
        try:
            self.child.wait_until(lambda: listens(self.port), "Exim")
        except Exception:
            self.stop()
            raise

    def _places(self, folder: Path) -> str:
        return (
            f"exim_path = {self.binary}\n"  # it re-executes itself for each delivery, else from /usr/sbin
            f"spool_directory = {folder}/spool\n"
            f"log_file_path = {folder}/log/%slog\n"
            f"pid_file_path = {folder}/spool/pid\n"
        )

    def command(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run the same Exim with other arguments, for example ``-bt ADDRESS``."""
        return subprocess.run(
            [self.binary, "-C", str(self.config), *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=_COMMAND_SECONDS,
            check=False,
        )

    def smtp(self, source: str = "127.0.0.1") -> smtplib.SMTP:
        """Connect as a client whose address is `source`, any of 127.0.0.0/8."""
        return smtplib.SMTP(
            self.host, self.port, local_hostname="client.test", timeout=60, source_address=(source, 0)
        )

    def answer(self, recipient: str, source: str = "127.0.0.2") -> str:
        """Return the reply to RCPT, sent just so, from the address `source`: a stranger's."""
        return self.answers([recipient], source)[recipient]

    def answers(self, recipients: Iterable[str], source: str = "127.0.0.2") -> dict[str, str]:
        """Like `answer`, for many; Exim drops a client after a few syntax errors, so it connects again."""
        replies: dict[str, str] = {}
        waiting = list(recipients)
        while waiting:
            before = len(waiting)
            with self.smtp(source) as client:
                client.command_encoding = "utf-8"
                client.ehlo()
                client.docmd("MAIL FROM:<sender@example.org> SMTPUTF8")
                while waiting and (reply := _rcpt(client, waiting[0])) is not None:
                    replies[waiting.pop(0)] = reply
            if before == len(waiting):
                raise AssertionError(f"no reply to RCPT TO:<{waiting[0]}>")
        return replies

    def send(
        self, recipients: Iterable[str], body: str = "Hello\r\n", sender: str = "sender@example.org"
    ) -> None:
        """Send one message from a stranger's address; raise if a recipient is refused."""
        recipients = list(recipients)
        with self.smtp("127.0.0.2") as client:
            text = f"From: <{sender}>\r\nTo: <{recipients[0]}>\r\nSubject: test\r\n\r\n{body}"
            refused = client.sendmail(sender, recipients, text.encode())
            if refused:
                raise smtplib.SMTPRecipientsRefused(refused)

    def log(self) -> str:
        """Return all that its main and panic logs hold."""
        return "".join(p.read_text() for p in (self.mainlog, self.paniclog) if p.exists())

    def stop(self) -> None:
        """Stop it, and take back the trust in its configuration."""
        self.child.stop()
        _distrust(self.config)


def _rcpt(client: smtplib.SMTP, recipient: str) -> str | None:
    """Return the reply, or None if the server has hung up."""
    try:
        code, text = client.docmd(f"RCPT TO:<{recipient}>")
    except smtplib.SMTPServerDisconnected:
        return None
    return f"{code} {text.decode()}"


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


@contextmanager
def _trusted_lines() -> Iterator[list[str]]:
    """Edit the list; test runs side by side wait for each other."""
    folder = os.open(TRUSTED.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        lines = TRUSTED.read_text().splitlines() if TRUSTED.exists() else []
        yield lines
        if not lines:
            TRUSTED.unlink(missing_ok=True)
            return
        new = TRUSTED.with_suffix(".new")
        new.write_text("".join(f"{line}\n" for line in lines))
        new.chmod(0o644)
        new.rename(TRUSTED)
    finally:
        os.close(folder)


def _trust(config: Path) -> None:
    with _trusted_lines() as lines:
        lines.append(str(config))


def _distrust(config: Path) -> None:
    with _trusted_lines() as lines:
        lines[:] = [line for line in lines if line != str(config)]
