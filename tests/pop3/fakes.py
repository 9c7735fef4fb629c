"""Both ports of the protocol, faked, and a shell that needs no socket.

The maildrop serves messages from memory in chunks as small as a test wants; the login
knows one user and, by name, every reason to refuse.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from tpop3d_py.contracts import (
    BodyInterrupted,
    Challenge,
    Credentials,
    MaildropError,
    Mechanism,
    MessageGone,
    Peer,
    Reason,
    Refusal,
)
from tpop3d_py.pop3 import TOO_LONG, LineBuffer, Profile, Reply, Session, Then, encode

PEER = Peer("127.0.0.1", 40000, "127.0.0.1", 110, "klient1.pl")
STAMP = b"ffe36b8dae9197aacb32a1ec5021c78b"
PASSWORD = b"haslo_lusera"
REFUSING = {
    b"down": Reason.UNAVAILABLE,
    b"busy": Reason.BUSY,
    b"locked": Reason.LOCKED,
    b"broken": Reason.MAILBOX,
    b"forbidden": Reason.FORBIDDEN,
}

#: The exchange of RFC 7677 section 3, of the user ``user`` with the password ``pencil``.
SCRAM_FIRST = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
SCRAM_PROOF = b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
SCRAM_LAST = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
TOKEN = b"good.token"


def _letter(number: int) -> bytes:
    return b"Subject: wiadomosc %d\r\n\r\nlinia pierwsza\r\n.kropka\r\n..dwie\r\nostatnia\r\n" % number


MESSAGES: dict[str, list[bytes]] = {
    "empty": [],
    "one": [_letter(1)],
    "three": [_letter(1), _letter(2), _letter(3)],
    "awkward": [
        b".dot: first\r\n\r\n.\r\n",
        b"Subject: no blank line\r\nX: y\r\n",
        b"\r\nno headers\r\n",
        b"Subject: bare\rreturn\r\n\r\na\r.\r\n",
        b"",
        b"Subject: only headers\r\n\r\n",
    ],
}


class FakeBody:
    """A message in chunks; breaks off after `good` octets if told so."""

    def __init__(self, octets: bytes, chunk: int, good: int | None) -> None:
        self._left = octets
        self._chunk = chunk
        self._good = good
        self.closed = 0
        self.read = 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        assert not self.closed, "read after close"
        if self._good is not None and self.read >= self._good:
            raise BodyInterrupted(Reason.MAILBOX, "truncated under our feet")
        if not self._left:
            raise StopIteration
        chunk, self._left = self._left[: self._chunk], self._left[self._chunk :]
        self.read += len(chunk)
        return chunk

    def close(self) -> None:
        self.closed += 1


class FakeMaildrop:
    """A mailbox in memory that remembers what was done to it."""

    def __init__(self, messages: Sequence[bytes], chunk: int = 7) -> None:
        self.messages = list(messages)
        self.chunk = chunk
        self.gone: set[int] = set()
        self.unreadable: set[int] = set()
        self.breaks: dict[int, int] = {}
        self.commit_error: MaildropError | None = None
        self.sizes_error: MaildropError | None = None
        self.commits: list[tuple[list[int], list[int]]] = []
        self.closed = 0
        self.bodies: list[FakeBody] = []

    @property
    def sizes(self) -> Sequence[int]:
        if self.sizes_error is not None:
            raise self.sizes_error
        return [len(message) for message in self.messages]

    @property
    def uids(self) -> Sequence[bytes]:
        return [b"id-%d" % number for number, _ in enumerate(self.messages, 1)]

    def open(self, index: int) -> FakeBody:
        assert not self.closed, "opened after close"
        assert 0 <= index < len(self.messages)
        if index in self.gone:
            raise MessageGone(Reason.UNAVAILABLE, "no such file: secret path")
        if index in self.unreadable:
            raise MaildropError(Reason.LOCKED, "lock lost: secret path")
        self.bodies.append(FakeBody(self.messages[index], self.chunk, self.breaks.get(index)))
        return self.bodies[-1]

    def commit(self, deleted: Sequence[int], retrieved: Sequence[int]) -> None:
        assert not self.closed, "committed after close"
        if self.commit_error is not None:
            raise self.commit_error
        self.commits.append((list(deleted), list(retrieved)))

    def close(self) -> None:
        self.closed += 1


class FakeLogin:
    """Knows ``luser``; refuses others for the reason in their name."""

    def __init__(self, maildrop: FakeMaildrop) -> None:
        self.maildrop = maildrop
        self.asked: list[Credentials] = []
        self.introduced: list[Peer] = []
        self.confirmed = False

    def begin(self, credentials: Credentials) -> None:
        self.asked.append(credentials)
        self.confirmed = False

    def confirm(self) -> None:
        self.confirmed = True

    def introduce(self, peer: Peer) -> None:
        self.introduced.append(peer)

    def answer(self) -> FakeMaildrop | Refusal | Challenge:
        credentials = self.asked[-1]
        if self.confirmed:
            return self.maildrop
        if credentials.exchange:
            return self._scram(credentials.exchange)
        name = credentials.user.encode("utf-8", "surrogateescape")
        if reason := REFUSING.get(name.partition(b"@")[0]):
            return Refusal(reason, "only for the log")
        right = PASSWORD
        if credentials.mechanism is Mechanism.APOP:
            right = hashlib.md5(credentials.timestamp + PASSWORD).hexdigest().encode()
        elif credentials.mechanism is Mechanism.BEARER:
            right = TOKEN
        if name == b"luser@klient1.pl" and credentials.secret == right:
            return self.maildrop
        return Refusal(Reason.CREDENTIALS, "only for the log")

    def _scram(self, exchange: tuple[bytes, ...]) -> Refusal | Challenge:
        if len(exchange) == 1:
            return Challenge(SCRAM_FIRST)
        if exchange[2].endswith(SCRAM_PROOF):
            return Challenge(SCRAM_LAST)
        return Refusal(Reason.CREDENTIALS, "only for the log")


@dataclass
class Shell:
    """Runs one session from octets to octets, as the runtime does, with nothing in between."""

    maildrop: FakeMaildrop = field(default_factory=lambda: FakeMaildrop(MESSAGES["three"]))
    profile: Profile = field(default_factory=Profile)
    secure: bool = False

    def __post_init__(self) -> None:
        self.login = FakeLogin(self.maildrop)
        self.session = Session(PEER, self.login, STAMP, self.profile, secure=self.secure)
        self.lines = LineBuffer()
        self.output = bytearray()
        self.replies: list[Reply] = []
        self.closed = False
        self._send(self.session.greeting())

    def feed(self, pieces: Iterable[bytes]) -> bytes:
        """Feed pieces as the network would deliver them; return what was sent since the last call."""
        before = len(self.output)
        for piece in pieces:
            self.lines.feed(piece)
            self._serve()
        return bytes(self.output[before:])

    def say(self, *lines: bytes) -> bytes:
        """Send command lines; return the answers."""
        return self.feed([b"".join(line + b"\r\n" for line in lines)])

    def log_in(self) -> None:
        answer = self.say(b"USER luser@klient1.pl", b"PASS " + PASSWORD)
        assert b"+OK Welcome aboard!" in answer

    def time_out(self) -> None:
        self._send(self.session.timed_out())

    def _serve(self) -> None:
        while not self.closed:
            line = self.lines.next_line(self.session.expected)
            if line is None:
                return
            if line is TOO_LONG:
                self._send(self.session.receive_too_long())
            else:
                self._send(self.session.receive(line))

    def _send(self, reply: Reply) -> None:
        self.replies.append(reply)
        sent = encode(reply)
        if isinstance(sent, bytes):
            self.output += sent
        else:
            for piece in sent:
                self.output += piece
        if reply.then is Then.START_TLS:
            self.lines.clear()
            self.session.tls_started()
        if reply.then is Then.WAIT:
            self._send(self.session.login_finished(self.login.answer()))
        self.closed = self.closed or reply.then is Then.CLOSE
