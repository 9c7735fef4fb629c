"""What a SASL exchange says: for now the one mechanism PLAIN (RFC 4616) behind AUTH (RFC 5034).

curl and others take APOP when the greeting shows a timestamp and nothing better is
offered; with hashed passwords only PLAIN or PASS can succeed.

When things fail: None, for octets that are not what the mechanism asks for.
"""

from __future__ import annotations

import binascii
from typing import NamedTuple

#: Mechanisms in the order they are announced.
MECHANISMS = (b"PLAIN",)
#: The client's whole answer to a challenge it does not want to meet (RFC 5034 section 4).
CANCEL = b"*"
#: An initial response of no octets (RFC 5034 section 4).
EMPTY = b"="


class PlainLogin(NamedTuple):
    """Who logs in by PLAIN, and the password."""

    user: bytes
    password: bytes


def plain_login(response: bytes) -> PlainLogin | None:
    """Read the response of PLAIN: ``[authzid] NUL authcid NUL passwd`` in base64 (RFC 4616 section 2).

    Acting for somebody else (an authzid that is not the authcid) is nobody's right here.
    """
    try:
        octets = binascii.a2b_base64(response, strict_mode=True)
    except ValueError:  # binascii.Error is one
        return None
    if binascii.b2a_base64(octets, newline=False) != response:
        return None  # padding too much, or bits that mean nothing: even the strict mode lets them pass
    parts = octets.split(b"\0")
    if len(parts) != 3:
        return None
    acting_for, user, password = parts
    if not user or not password or acting_for not in (b"", user):
        return None
    return PlainLogin(user, password)
