"""The server that is checked: how to reach it, what it says it can do, what lies in the maildrop."""

from __future__ import annotations

import secrets
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

from tests.conformance.messages import Message, awkward, ordinary
from tests.conformance.prepare import Preparer
from tests.conformance.registry import Failed, NotApplicable, expect
from tests.conformance.wire import PATIENCE, Client, Reply

#: Seconds for which a login is tried again while the maildrop is in use by a connection that has just broken.
_UNLOCK_SECONDS = 10.0
_ARRIVAL_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says.

    Args:
        host: name or address.
        port: a TCP port.
        user: name of a scratch account.
        password: its password.
        security: ``none``, ``tls`` or ``stls``.
        destructive: whether mail may be removed.
        slow: whether checks that take more than ten minutes run.
    """

    host: str
    port: int
    user: str
    password: str
    security: str = "none"
    destructive: bool = False
    slow: bool = False


class Site:
    """One server and one account.

    Attributes:
        options: the command line's.
        kind: how mail is prepared; empty: not at all.
        messages: those that were delivered for this run.
        dialogues: of the connections of the check that runs.
    """

    def __init__(self, options: Options, preparer: Preparer | None) -> None:
        self.options = options
        self._preparer = preparer
        self.kind = preparer.kind if preparer else ""
        self._run = secrets.token_hex(4)
        self.messages: list[Message] = []
        self.dialogues: list[list[str]] = []
        self._numbers: dict[str, int] = {}

    # --- connections ------------------------------------------------------

    @property
    def tls_context(self) -> ssl.SSLContext:
        """Take any certificate: it is not what is checked."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context

    def dial(self) -> Client:
        """Connect and read the greeting, without TLS unless the port speaks nothing else."""
        sock = socket.create_connection((self.options.host, self.options.port), PATIENCE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.options.security == "tls":
            sock = self.tls_context.wrap_socket(sock, server_hostname=self.options.host)
        client = Client(sock)
        self.dialogues.append(client.dialogue)
        client.greeting = client.status()
        expect(client.greeting.ok, f"the server greets with {client.greeting}")
        return client

    def secured(self) -> Client:
        """Connect, by TLS if the options say so, to a session in the AUTHORIZATION state."""
        client = self.dial()
        if self.options.security == "stls":
            client.ok("STLS")
            client.start_tls(self.tls_context, self.options.host)
        return client

    @contextmanager
    def connection(self) -> Iterator[Client]:
        """Connect; at the end quit, which also checks that nothing is left over."""
        yield from _managed(self.secured())

    @contextmanager
    def session(self) -> Iterator[Client]:
        """Connect and log in; at the end take marks back and quit."""
        yield from _managed(self.logged_in())

    def logged_in(self) -> Client:
        """Connect and log in, waiting for the maildrop if the last session still has it."""
        deadline = time.monotonic() + _UNLOCK_SECONDS
        while True:
            client = self.secured()
            reply = self.log_in(client)
            if reply.ok:
                return client
            client.hang_up()
            if reply.code != "IN-USE" or time.monotonic() > deadline:
                raise Failed(f"the login was refused: {reply}")
            time.sleep(0.05)

    def log_in(self, client: Client) -> Reply:
        """Give name and password."""
        name = client.call(f"USER {self.options.user}")
        return client.call(f"PASS {self.options.password}") if name.ok else name

    # --- capabilities -----------------------------------------------------

    @cached_property
    def capabilities(self) -> dict[str, list[str]]:
        """What is announced before login; empty if CAPA is unknown."""
        with self.connection() as client:
            return capabilities(client)

    @cached_property
    def session_capabilities(self) -> dict[str, list[str]]:
        """What is announced after login."""
        with self.session() as client:
            return capabilities(client)

    def needs(self, capability: str) -> list[str]:
        """Return a capability's arguments; the check does not apply if it is announced nowhere."""
        for announced in (self.session_capabilities, self.capabilities):
            if capability in announced:
                return announced[capability]
        raise NotApplicable(f"{capability} is not announced")

    @property
    def may_stls(self) -> bool:
        """Whether STLS is offered on plain connections."""
        if self.options.security == "tls":
            return False
        client = self.dial()
        try:
            return "STLS" in capabilities(client)
        finally:
            client.hang_up()

    # --- the maildrop -----------------------------------------------------

    def prepare(self) -> None:
        """Deliver the awkward messages, into an empty maildrop if mail may be removed."""
        if self._preparer is None:
            return
        if self.options.destructive:
            self.empty()
        self.deliver([message for message in awkward(self._run) if self.kind in message.ways])

    def fresh(self, count: int) -> list[Message]:
        """Remove everything and deliver a few ordinary messages."""
        if self._preparer is None:
            raise NotApplicable("needs --prepare-by")
        self.empty()
        self.messages = []
        messages = ordinary(self._run, count)
        self.deliver(messages)
        return messages

    def deliver(self, messages: Sequence[Message]) -> None:
        """Deliver messages and wait until a new session sees them."""
        self.deliver_unseen(messages)
        wanted = self._count_before + len(messages)
        deadline = time.monotonic() + _ARRIVAL_SECONDS
        while self.count() < wanted:
            if time.monotonic() > deadline:
                raise Failed(f"{len(messages)} messages were delivered and did not arrive")
            time.sleep(0.1)

    def deliver_unseen(self, messages: Sequence[Message], *, count: bool = True) -> None:
        """Deliver messages and do not wait."""
        if self._preparer is None:
            raise NotApplicable("needs --prepare-by")
        self._count_before = self.count() if count else 0
        self._preparer.deliver(messages)
        self.messages += messages
        self._numbers = {}

    def empty(self) -> None:
        """Remove everything."""
        if not self.options.destructive:
            raise NotApplicable("needs --destructive")
        client = self.logged_in()
        total = int(client.ok("STAT").text.split()[0])
        client.exchange(b"".join(b"DELE %d\r\n" % number for number in range(1, total + 1)), total)
        client.ok("QUIT")
        client.hang_up()

    def count(self) -> int:
        """Count the messages in a session of its own."""
        with self.session() as client:
            return int(client.ok("STAT").text.split()[0])

    def number_of(self, client: Client, message: Message) -> int:
        """Find a delivered message's number; each is found once, by its mark or its size."""
        if not self._numbers:
            self._numbers = _numbers(client, self.messages, self._run.encode())
        if message.name not in self._numbers:
            raise Failed(f"message {message.name} was delivered and is not there")
        return self._numbers[message.name]

    def prepared(self, name: str) -> Message:
        """Return a delivered message; the check does not apply if there is none of that name."""
        for message in self.messages:
            if message.name == name:
                return message
        raise NotApplicable(f"message {name} was not prepared (--prepare-by {self.kind or 'none'})")


def _managed(client: Client) -> Iterator[Client]:
    try:
        yield client
        if client.is_open:
            client.leave()
    finally:
        client.hang_up()


def capabilities(client: Client) -> dict[str, list[str]]:
    """Ask for the capabilities; none if CAPA is unknown."""
    reply = client.multi("CAPA")
    words = [line.decode("ascii", "replace").split(" ") for line in reply.lines]
    return {tag.upper(): arguments for tag, *arguments in words}


def sizes(client: Client) -> list[int]:
    """Return the sizes that LIST tells; the check does not apply to an empty maildrop."""
    found = [int(line.split()[1]) for line in client.lines("LIST")]
    if not found:
        raise NotApplicable("the maildrop is empty")
    return found


def _numbers(client: Client, messages: Sequence[Message], run: bytes) -> dict[str, int]:
    by_mark: dict[bytes, list[str]] = {}
    for message in messages:
        by_mark.setdefault(message.mark, []).append(message.name)
    found = {}
    for number, size in enumerate(sizes(client), 1):
        mark = _mark_in(client.multi(f"RETR {number}").octets, run) if size else b""
        if names := by_mark.get(mark):
            found[names.pop(0)] = number
    return found


def _mark_in(octets: bytes, run: bytes) -> bytes:
    start = octets.find(b"X-Conformance: " + run)
    return octets[start : octets.find(b"\r\n", start)] if start >= 0 else b"(none)"
