"""The clients of the day: careful ones that check everything, and rude ones that only get in the way."""

from __future__ import annotations

import contextlib
import poplib
import random
import socket
import ssl
import threading
from dataclasses import dataclass

from tests.soak.ledger import Box, Ledger, token_of

#: What a broken connection or a busy mailbox looks like to a client.
GONE = (OSError, EOFError, poplib.error_proto)


@dataclass(frozen=True, slots=True)
class Address:
    """Where the server is, and how names and passwords are made."""

    port: int
    tls_port: int
    domain: str

    def connect(self, inside_tls: bool) -> poplib.POP3:
        """Connect."""
        if not inside_tls:
            return poplib.POP3("127.0.0.1", self.port, timeout=60)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return poplib.POP3_SSL("127.0.0.1", self.tls_port, timeout=60, context=context)

    def log_in(self, box: str, inside_tls: bool = False) -> poplib.POP3:
        """Connect and log in."""
        client = self.connect(inside_tls)
        try:
            client.user(f"{box}@{self.domain}")
            client.pass_(f"haslo-{box}")
        except GONE:
            client.close()
            raise
        return client


class Owner(threading.Thread):
    """Reads one box again and again, checks every octet and removes some of what it read."""

    def __init__(self, ledger: Ledger, box: Box, address: Address, over: threading.Event, seed: int) -> None:
        super().__init__(daemon=True)
        self._ledger, self._box, self._address, self._over = ledger, box, address, over
        self._dice = random.Random(seed)

    def run(self) -> None:
        """Read and remove until told to stop."""
        while not self._over.wait(self._dice.uniform(0, 0.4)):
            try:
                self.visit(0.5)
                self._ledger.count("visits")
            except GONE as error:
                self._ledger.count(f"visits that ended with {_name(error)}")

    def visit(self, removes: float) -> set[str]:
        """Read everything, remove a part of it, and return the tokens of what was there.

        Args:
            removes: the part to remove, 0 to 1.
        """
        client = self._address.log_in(self._box.name, self._dice.random() < 0.3)
        try:
            found = _read(client)
            self._ledger.check_listing(self._box, found)
            tokens = [token_of(message) for message in found.values()]
            leaving = {token: n for n, token in enumerate(tokens, 1) if self._dice.random() < removes}
            for number in leaving.values():
                client.dele(number)
            self._over.wait(self._dice.choice((0, 0, 0.3, 1.5)))  # so that some are there when it happens
            self._quit(client, set(leaving))
        finally:
            client.close()
        return set(tokens)

    def _quit(self, client: poplib.POP3, leaving: set[str]) -> None:
        self._box.doubtful |= leaving
        client.quit()
        self._box.doubtful -= leaving
        self._box.removed |= leaving


def _read(client: poplib.POP3) -> dict[bytes, bytes]:
    count, total = client.stat()
    uids = [line.split()[1] for line in client.uidl()[1]]
    sizes = [int(line.split()[1]) for line in client.list()[1]]
    if len(uids) != count or len(set(uids)) != count or sum(sizes) != total:
        raise AssertionError(
            f"{count} messages, {total} octets; {len(set(uids))} identifiers, {sum(sizes)} octets"
        )
    found = {}
    for number, (uid, size) in enumerate(zip(uids, sizes, strict=True), 1):
        found[uid] = b"".join(line + b"\r\n" for line in client.retr(number)[1])
        if len(found[uid]) != size:
            raise AssertionError(f"{uid!r}: {len(found[uid])} octets came, {size} were announced")
    return found


class Nuisance(threading.Thread):
    """Connects and behaves badly: garbage, wrong passwords, silence, hanging up in the middle."""

    def __init__(self, ledger: Ledger, address: Address, over: threading.Event, seed: int) -> None:
        super().__init__(daemon=True)
        self._ledger, self._address, self._over = ledger, address, over
        self._dice = random.Random(seed)
        self._ways = (self._garbage, self._wrong_password, self._silence, self._hang_up, self._no_tls)

    def run(self) -> None:
        """Be a nuisance until told to stop."""
        while not self._over.wait(self._dice.uniform(0, 0.3)):
            with contextlib.suppress(*GONE):
                self._dice.choice(self._ways)()
            self._ledger.count("nuisances")

    def _garbage(self) -> None:
        with socket.create_connection(("127.0.0.1", self._address.port), 5) as sock:
            sock.sendall(self._dice.randbytes(self._dice.choice((10, 700, 70_000))))

    def _wrong_password(self) -> None:
        client = self._address.connect(False)
        with contextlib.closing(client):
            client.user(f"{self._dice.choice(self._ledger.boxes).name}@{self._address.domain}")
            client.pass_("wrong")

    def _silence(self) -> None:
        with socket.create_connection(("127.0.0.1", self._address.port), 5):
            self._over.wait(2)

    def _hang_up(self) -> None:
        box = self._dice.choice(self._ledger.boxes)
        client = self._address.log_in(box.name)
        with contextlib.closing(client):
            client.sock.sendall(
                b"DELE 1\r\nRETR 1\r\nRETR 2\r\nRETR 3\r\n"
            )  # and no QUIT: nothing is removed
            client.sock.recv(10)

    def _no_tls(self) -> None:
        with socket.create_connection(("127.0.0.1", self._address.tls_port), 5) as sock:
            sock.sendall(b"USER luser\r\n")
            sock.recv(100)


def _name(error: BaseException) -> str:
    text = error.args[0] if isinstance(error, poplib.error_proto) and error.args else b""
    code = bytes(text).partition(b"[")[2].partition(b"]")[0].decode() if isinstance(text, bytes) else ""
    return code or type(error).__name__
