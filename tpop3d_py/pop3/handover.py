"""What a session takes along when another process goes on with it behind its login.

Values only: the language that the client chose, what it has been counted for, and which words the listener
uses.  The name and the mailbox are not among them: whoever checked the login says those.

When things fail: octets that are no such values are a `ValueError`.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

_FORM = struct.Struct("!BBBBBBII")
#: Octets of a packed value.
SIZE = _FORM.size


class Carried(NamedTuple):
    """The session behind a granted login.

    Args:
        catalog: the listener's words, by their place among `languages.CATALOGS`.
        bound: whether a channel binding was offered, which CAPA goes on listing (RFC 2449 section 5).
        secure: whether the client is inside TLS, with us or with a proxy.
        chosen: whether the client has chosen a language.
        tag: the language, by its place among `languages.TAGS`.
        preferred: whether the texts are the listener's own, without regard to ASCII.
        commands: lines answered so far.
        errors: mistakes so far.
    """

    catalog: int
    bound: bool
    secure: bool
    chosen: bool
    tag: int
    preferred: bool
    commands: int
    errors: int

    def pack(self) -> bytes:
        """Write it."""
        return _FORM.pack(*self)

    @classmethod
    def unpack(cls, octets: bytes) -> Carried:
        """Read it; `SIZE` octets."""
        try:
            catalog, bound, secure, chosen, tag, preferred, commands, errors = _FORM.unpack(octets)
        except struct.error as error:
            raise ValueError(str(error)) from None
        return cls(catalog, bool(bound), bool(secure), bool(chosen), tag, bool(preferred), commands, errors)
