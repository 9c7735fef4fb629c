"""SASL behind AUTH (RFC 5034): which mechanisms there are, and the two that send a password.

A mechanism is an `Exchange`: it is given the client's responses one by one, decoded, and
says what comes next: a challenge, a login to be checked, or nothing it understands.
Checking is none of its business, and secrets pass through it once.

Rules: responses are strict base64.  A response or an AUTH command may be longer than other
commands, up to `RESPONSE_LIMIT` octets: RFC 5034 section 4 asks for room for whatever a
mechanism may need; bearer tokens of 5 KB are seen, and everything before a login has to
stay small.  PLAIN, LOGIN and bearer tokens can be kept to TLS; SCRAM need not be.

When things fail: `decode` and `respond` return None for what is not what the mechanism
asks for.
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass
from typing import Protocol

from tpop3d_py.contracts import Mechanism
from tpop3d_py.pop3.replies import Reply

#: Longest AUTH command and longest response, in octets, line end included.
RESPONSE_LIMIT = 8192
#: The client's whole answer to a challenge it does not want to meet (RFC 5034 section 4).
CANCEL = b"*"
#: An initial response of no octets (RFC 5034 section 4).
EMPTY = b"="


@dataclass(frozen=True, slots=True)
class Ask:
    """Send a challenge and wait for the response."""

    challenge: bytes


@dataclass(frozen=True, slots=True)
class Check:
    """Have a login checked; fields as in `contracts.Credentials`."""

    mechanism: Mechanism
    user: bytes
    secret: bytes = b""
    exchange: tuple[bytes, ...] = ()
    binding: bytes = b""


class Confirm:
    """The client has seen the server's proof: a login that was granted may go on."""


Step = Ask | Check | Confirm | None


class Exchange(Protocol):
    """One run of a mechanism."""

    @property
    def opening(self) -> bytes:
        """The challenge that asks for the first response; empty for mechanisms where the client begins."""

    def respond(self, response: bytes) -> Step:
        """Take a response; None if it makes no sense."""

    def challenged(self, challenge: bytes) -> Ask:
        """Take what the check wants the client to hear before it can go on."""

    def refused(self) -> Ask | None:
        """Take a refusal; return what the client must hear before the refusal itself, if anything."""


class OneWay:
    """What exchanges have in common that hear nothing from the check."""

    opening = b""

    def challenged(self, challenge: bytes) -> Ask:
        """There is nothing to tell the client but an empty line."""
        return Ask(b"")

    def refused(self) -> Ask | None:
        """The refusal says it all."""
        return None


class Plain(OneWay):
    """PLAIN (RFC 4616): ``[authzid] NUL authcid NUL passwd``."""

    def respond(self, response: bytes) -> Step:
        """Read the response.  Acting for somebody else, an authzid not the authcid, is nobody's right."""
        parts = response.split(b"\0")
        if len(parts) != 3:
            return None
        acting_for, user, password = parts
        if not user or not password or acting_for not in (b"", user):
            return None
        return Check(Mechanism.PASSWORD, user, password)


class Login(OneWay):
    """LOGIN, for clients older than PLAIN (draft-murchison-sasl-login): name and password, one by one."""

    opening = b"Username:"

    def __init__(self) -> None:
        self._user = b""

    def respond(self, response: bytes) -> Step:
        """Read the name, then the password."""
        if b"\0" in response or not (response or self._user):
            return None
        if not self._user:
            self._user = response
            return Ask(b"Password:")
        return Check(Mechanism.PASSWORD, self._user, response)


class Dialog:
    """An exchange on the wire: base64, and the refusal that may have to wait for the client's last word.

    Args:
        exchange: the mechanism's.
    """

    __slots__ = ("_exchange", "refusal")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        #: The reply that ends it, whatever the client says next.
        self.refusal: Reply | None = None

    def open(self) -> Reply:
        """Ask for the first response."""
        return challenge(self._exchange.opening)

    def respond(self, response: bytes) -> Step:
        """Take a response; None if it makes no sense, or if only `refusal` is left to be said."""
        octets = None if self.refusal is not None else decode(response)
        return None if octets is None else self._exchange.respond(octets)

    def challenged(self, octets: bytes) -> Reply:
        """Pass on what the check wants the client to hear."""
        return challenge(self._exchange.challenged(octets).challenge)

    def refuse(self, refusal: Reply) -> Reply | None:
        """End with a refusal; return what the client must hear, and answer, before it.

        That is when the client learns that it was wrong, and so what is held back.
        """
        told = self._exchange.refused()
        if told is None:
            return None
        reply = challenge(told.challenge)
        reply.delay, refusal.delay = refusal.delay, 0.0
        self.refusal = refusal
        return reply


def challenge(octets: bytes) -> Reply:
    """Make the reply that carries a challenge."""
    return Reply(True, binascii.b2a_base64(octets, newline=False), challenge=True)


def decode(response: bytes) -> bytes | None:
    """Decode a response from base64 (RFC 4648 section 4); None if it is not exactly that."""
    try:
        octets = binascii.a2b_base64(response, strict_mode=True)
    except ValueError:  # binascii.Error is one
        return None
    # Padding too much, or bits that mean nothing: even the strict mode lets them pass.
    return octets if binascii.b2a_base64(octets, newline=False) == response else None
