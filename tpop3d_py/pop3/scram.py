"""The client's side of SCRAM-SHA-256 as the server reads it (RFC 5802, RFC 7677): syntax and order.

Rules: whoever knows the keys writes the server's messages; here they are passed on.
Attributes come in the RFC's order, extensions it does not know are allowed at the end, a
mandatory one (``m=``) is refused.  The flag of the channel binding must fit the mechanism's
name, and a client that believes the server knows no binding (``y``) where it was offered
one has been lied to by somebody in the middle (RFC 5802 section 6).

The only type of binding is tls-server-end-point (RFC 5929): Python's ssl module exports no
keying material for tls-exporter, and cannot tell whether TLS 1.2 used the extended master secret
without which tls-unique proves nothing.

When things fail: None, or a step of None, for a message that is not one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tpop3d_py.contracts import Mechanism
from tpop3d_py.pop3.sasl import Ask, Check, Confirm, Step

BINDING_TYPE = b"tls-server-end-point"
#: Longest message; with three of them and two names a packet to the authentication process is never full.
_LONGEST = 2048

_NAME = rb"(?:[^\0,=]|=2C|=3D)+"
_FIRST = re.compile(
    rb"(?P<header>(?P<flag>n|y|p=(?P<type>[A-Za-z0-9.-]+)),(?:a=(?P<acting_for>" + _NAME + rb"))?,)"
    rb"(?P<bare>n=(?P<user>" + _NAME + rb"),r=(?P<nonce>[!-+\--~]+)(?:,[A-Za-z]=[^\0,]+)*)"
)
_FINAL = re.compile(
    rb"(?P<unproved>c=(?P<binding>[A-Za-z0-9+/=]+),r=(?P<nonce>[!-+\--~]+)(?:,[A-Za-z]=[^\0,]+)*)"
    rb",p=(?P<proof>[A-Za-z0-9+/=]+)"
)


@dataclass(frozen=True, slots=True)
class First:
    """The client's first message.

    Args:
        header: the GS2 header with its final comma.
        flag: ``n``, ``y`` or ``p=`` and a type.
        bare: the message without the header.
        user: the name, unescaped.
        nonce: the client's.
    """

    header: bytes
    flag: bytes
    bare: bytes
    user: bytes
    nonce: bytes


@dataclass(frozen=True, slots=True)
class Final:
    """The client's final message; `unproved` is all of it before the proof."""

    unproved: bytes
    binding: bytes
    nonce: bytes
    proof: bytes


def read_first(message: bytes) -> First | None:
    """Take the first message apart; None if it is not one, or the client wants to act for somebody else."""
    found = _FIRST.fullmatch(message) if len(message) <= _LONGEST else None
    if found is None or found["acting_for"] not in (None, found["user"]):
        return None
    user = found["user"].replace(b"=2C", b",").replace(b"=3D", b"=")
    return First(found["header"], found["flag"], found["bare"], user, found["nonce"])


def read_final(message: bytes) -> Final | None:
    """Take the final message apart; None if it is not one."""
    found = _FINAL.fullmatch(message) if len(message) <= _LONGEST else None
    return None if found is None else Final(*found.group("unproved", "binding", "nonce", "proof"))


class Scram:
    """One exchange.

    Args:
        binding: octets of the channel's tls-server-end-point; empty for the mechanism without binding.
        plus_offered: whether the mechanism with binding is offered on this connection.
    """

    opening = b""

    def __init__(self, binding: bytes, plus_offered: bool) -> None:
        self._binding = binding
        self._plus_offered = plus_offered
        self._user = b""
        self._said: list[bytes] = []

    def respond(self, response: bytes) -> Step:
        """Take the first message, the final one, and the empty answer to the server's proof."""
        if not self._said:
            return self._first(response)
        if len(self._said) == 2:
            return self._final(response)
        return Confirm() if not response else None

    def challenged(self, challenge: bytes) -> Ask:
        """Pass the server's message on."""
        self._said.append(challenge)
        return Ask(challenge)

    def refused(self) -> Ask | None:
        """Say nothing: POP3's own refusal is enough (RFC 5802 section 7 makes the error message optional)."""
        return None

    def _first(self, response: bytes) -> Step:
        first = read_first(response)
        if first is None or not self._is_bound_right(first.flag):
            return None
        self._user = first.user
        return self._check(response)

    def _is_bound_right(self, flag: bytes) -> bool:
        if self._binding:
            return flag == b"p=" + BINDING_TYPE
        return flag == b"n" or (flag == b"y" and not self._plus_offered)

    def _final(self, response: bytes) -> Step:
        return None if read_final(response) is None else self._check(response)

    def _check(self, response: bytes) -> Check:
        self._said.append(response)
        mechanism = Mechanism.SCRAM_PLUS if self._binding else Mechanism.SCRAM
        return Check(mechanism, self._user, b"", tuple(self._said), self._binding)
