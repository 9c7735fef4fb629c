"""What CAPA lists (RFC 2449): each capability only where it is true at that moment.

Rules: STLS is absent because it is not there.  USER, TOP, UIDL, RESP-CODES,
PIPELINING, EXPIRE (RFC 2449 section 6), AUTH-RESP-CODE (RFC 3206 section 6) and SASL
(RFC 5034 section 3) are announced in both states and alike in both, as their
definitions ask, USER after login too.  LOGIN-DELAY is not announced: no login is refused for coming soon.

When things fail: nothing here can.
"""

from __future__ import annotations

from tpop3d_py.pop3.profile import Profile
from tpop3d_py.pop3.sasl import MECHANISMS

_SASL = b" ".join((b"SASL", *MECHANISMS))
_ALWAYS = (b"TOP", b"UIDL", b"USER", _SASL, b"PIPELINING", b"RESP-CODES", b"AUTH-RESP-CODE", b"EXPIRE NEVER")


def capability_lines(profile: Profile) -> bytes:
    """List the capabilities, one line each with its CRLF."""
    lines = [*_ALWAYS]
    if profile.implementation:
        lines.append(b"IMPLEMENTATION " + profile.implementation.encode("ascii"))
    return b"".join(b"%b\r\n" % line for line in lines)
