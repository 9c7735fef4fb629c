"""Values and protocols that every layer shares.

Nothing here does anything: these are the words the layers speak to each other
in.  `pop3` knows only `Login` and `Maildrop`; `maildrop` implements the second,
the runtime the first; `auth` turns `Credentials` into a `Decision`.

When things fail: a component raises `MaildropError` or returns a `Refusal`; both
carry a `Reason`, which is all the client is told, and a detail, which only the
log is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class ResponseCode(Enum):
    """A bracketed code that tells a mail program why (RFC 2449 section 8, RFC 3206)."""

    IN_USE = "IN-USE"
    LOGIN_DELAY = "LOGIN-DELAY"
    SYS_TEMP = "SYS/TEMP"
    SYS_PERM = "SYS/PERM"
    AUTH = "AUTH"


class Reason(Enum):
    """Why something was refused; the protocol turns it into words and a response code."""

    CREDENTIALS = ResponseCode.AUTH, "unknown user or wrong password"
    UNAVAILABLE = ResponseCode.SYS_TEMP, "the login or the mailbox cannot be checked just now"
    BUSY = ResponseCode.SYS_TEMP, "a limit is reached"
    LOCKED = ResponseCode.IN_USE, "the mailbox is open in another session"
    MAILBOX = ResponseCode.SYS_PERM, "the mailbox cannot be used until somebody mends it"
    FORBIDDEN = ResponseCode.SYS_PERM, "the account exists but this server must not serve it"

    def __init__(self, code: ResponseCode, meaning: str) -> None:
        self.code = code
        self.meaning = meaning


@dataclass(frozen=True, slots=True)
class Refusal:
    """A login or a mailbox was refused.

    Args:
        reason: what the client may know.
        detail: one line for the log; never sent to the client.
    """

    reason: Reason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Peer:
    """Both ends of a connection, as text addresses, and the domain the listener stands for."""

    client_host: str
    client_port: int
    server_host: str
    server_port: int
    domain: str


class Mechanism(Enum):
    """How the client proves who it is."""

    PASSWORD = "PASS"  # noqa: S105 - the command's name
    APOP = "APOP"
    SCRAM = "SCRAM-SHA-256"
    SCRAM_PLUS = "SCRAM-SHA-256-PLUS"
    BEARER = "BEARER"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client sent to log in.

    Args:
        mechanism: password or APOP digest.
        user: the name as sent; octets that are not UTF-8 are surrogates and match nobody.
        secret: the password, the 32 lower-case hex digits of the digest, or the bearer token; empty for
            SCRAM, whose proof is in `exchange`; never contains NUL.
        timestamp: APOP only: the greeting's stamp with its angle brackets.
        peer: the connection.
        exchange: SCRAM only: the client's first message, or that, the server's first and the client's final
            one (RFC 5802 section 7); none contains NUL.
        binding: SCRAM_PLUS only: what the channel is bound to, the tls-server-end-point data of RFC 5929.
    """

    mechanism: Mechanism
    user: str
    secret: bytes
    timestamp: bytes
    peer: Peer
    exchange: tuple[bytes, ...] = ()
    binding: bytes = b""


class Verdict(Enum):
    """A driver's answer.

    UNAVAILABLE is never to be taken for REFUSED; FORBIDDEN says that it will not get better by itself.
    """

    GRANTED = "granted"
    REFUSED = "refused"
    NOT_MINE = "not mine"
    UNAVAILABLE = "unavailable"
    FORBIDDEN = "forbidden"
    CONTINUE = "continue"


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose mail a granted login may read, and where it lies.

    Args:
        user: the name for logs, for example ``luser@klient1.pl``.
        driver: the authentication driver that vouched for it.
        uid: Unix user id of the mailbox's owner; never 0.
        gid: Unix group id to work with.
        mailbox: absolute path, or empty: the ``mailbox`` directive's patterns are tried.
        mailbox_type: ``bsd``, ``maildir``, ``empty``, or empty: told by the path (a final slash is maildir).
        local_part: part before the separator, for ``$(local_part)``; may be empty.
        domain: the virtual domain, for ``$(domain)``; may be empty.
        home: home directory, for ``$(home)``; may be empty.
    """

    user: str
    driver: str
    uid: int
    gid: int
    mailbox: str = ""
    mailbox_type: str = ""
    local_part: str = ""
    domain: str = ""
    home: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome of asking one driver, or the whole chain, about one login.

    Args:
        verdict: the answer; CONTINUE wants the client's answer to `challenge` first.
        identity: set if and only if the verdict is GRANTED.
        detail: one line for the log.
        challenge: SCRAM only: the server's first message with CONTINUE, its final one with GRANTED.
        cached: it was remembered from an earlier login; no driver was asked.
    """

    verdict: Verdict
    identity: Identity | None = None
    detail: str = ""
    challenge: bytes = b""
    cached: bool = False


@dataclass(frozen=True, slots=True)
class Challenge:
    """The outcome of a login that is not at its end: the client has to answer these octets first."""

    octets: bytes


class TokenCheck(Protocol):
    """Finds out whether a bearer token (RFC 6750) lets a user in; called in the authentication processes."""

    def check(self, user: str, token: bytes) -> Verdict:
        """Answer GRANTED, REFUSED or UNAVAILABLE.

        Args:
            user: the name that the client wants to be; the token must have been issued to that user.
            token: as the client sent it, 1 octet or more of the b64token syntax.
        """


class LoginMemory(Protocol):
    """Remembers decisions about logins; lives in the workers."""

    def recall(self, credentials: Credentials) -> Decision | None:
        """Return what is known of a login; None if it has to be checked."""

    def learn(self, credentials: Credentials, decision: Decision, asked: float) -> None:
        """Remember a decision, if it is of a kind that is remembered.

        Args:
            credentials: what was checked.
            decision: what came out.
            asked: CLOCK_MONOTONIC seconds when the check was asked for.
        """

    def forget(self, user: str) -> None:
        """Drop what is known of an account, named as logs name it, and checks of it that are under way."""


class MaildropError(Exception):
    """A mailbox could not be opened, read or updated.

    Args:
        reason: what the client may know.
        detail: one line for the log.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class MessageGone(MaildropError):
    """One message of the snapshot is no longer there; the maildrop itself is still good."""


class BodyInterrupted(MaildropError):
    """A message broke off while it was being sent: the connection must be dropped without a final dot."""


class Body(Protocol):
    """An opened message as a stream of large chunks.

    Chunks have CRLF line ends, no dot-stuffing, and together exactly the octets that the maildrop's size
    for this message says; the last one ends with CRLF.  `__next__` raises `BodyInterrupted` if the message
    cannot be completed.
    """

    def __iter__(self) -> Iterator[bytes]:
        """Return the iterator of chunks."""

    def __next__(self) -> bytes:
        """Return the next chunk."""

    def close(self) -> None:
        """Release the file; may be called at any time and more than once."""


class Whole:
    """A small message, read whole before it is answered for: a body in one piece, with nothing to close.

    Args:
        octets: all of it, as a `Body` would yield it.
    """

    __slots__ = ("_given", "octets")

    def __init__(self, octets: bytes) -> None:
        self.octets = octets
        self._given = not octets

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        """Return all of it, once."""
        if self._given:
            raise StopIteration
        self._given = True
        return self.octets

    def close(self) -> None:
        """Nothing is held."""


class Maildrop(Protocol):
    """A mailbox with the order, sizes and identifiers it had when it was opened.

    Messages are numbered from 0 here; only the protocol counts from 1.
    """

    @property
    def sizes(self) -> Sequence[int]:
        """Exact octets that RETR sends for each message: CRLF counted, dot-stuffing and final dot not."""

    @property
    def uids(self) -> Sequence[bytes]:
        """Unique identifiers, 1 to 70 octets of 0x21 to 0x7E (RFC 1939 section 7), made when asked for."""

    def open(self, index: int) -> Body:
        """Open one message; a small one comes as `Whole`.

        Raises:
            MessageGone: it vanished or changed since the snapshot.
            MaildropError: the mailbox cannot be read.
        """

    def commit(self, deleted: Sequence[int], retrieved: Sequence[int]) -> None:
        """Remove the messages in `deleted` for good; return only when that is on the disk.

        Args:
            deleted: ascending indexes to remove.
            retrieved: ascending indexes that were read whole, for formats that mark them as seen.

        Raises:
            MaildropError: not everything could be removed; no message outside `deleted` is lost.
        """

    def close(self) -> None:
        """Release locks and files; may be called more than once and never raises."""


class Login(Protocol):
    """The port through which the AUTHORIZATION state has a name and secret checked."""

    def begin(self, credentials: Credentials) -> None:
        """Ask for a check; the answer comes later, to `Session.login_finished`."""

    def confirm(self) -> None:
        """Go on with the login that was granted with a `Challenge`, which the client has now answered.

        The answer comes later, as after `begin`; any other command forgets the granted login.
        """

    def introduce(self, peer: Peer) -> None:
        """Note that the client is somebody else: a proxy that is believed has said so."""
