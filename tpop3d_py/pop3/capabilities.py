"""What CAPA lists (RFC 2449): each capability only where it is true at that moment.

Rules: "Capabilities available in the AUTHORIZATION state MUST be announced in both states"
(RFC 2449 section 5), so USER and SASL stay after a login when they were there before.  STLS
alone says that the command is "permitted in the current state" (RFC 2595 section 4): it goes
with the login, and inside TLS.  There USER and mechanisms that send passwords may appear,
which is why clients ask anew.  LOGIN-DELAY is not announced: no
login is refused for coming soon.  EXPIRE NEVER: no message is removed but by DELE.

When things fail: nothing here can.
"""

from __future__ import annotations

from collections.abc import Iterator

from tpop3d_py.pop3.mechanisms import offered
from tpop3d_py.pop3.profile import Profile
from tpop3d_py.pop3.xclient import CAPABILITY

_ALWAYS = (b"PIPELINING", b"RESP-CODES", b"AUTH-RESP-CODE", b"UTF8 USER", b"LANG", b"EXPIRE NEVER")


def capability_lines(profile: Profile, *, secure: bool, logged_in: bool) -> bytes:
    """List the capabilities, one line each with its CRLF.

    Args:
        profile: the listener's.
        secure: whether the connection is inside TLS.
        logged_in: whether this is the TRANSACTION state.
    """
    listed = profile.listed.get((secure, logged_in))
    if listed is None:
        listed = b"".join(b"%b\r\n" % line for line in _capabilities(profile, secure, logged_in))
        profile.listed[secure, logged_in] = listed
    return listed


def _capabilities(profile: Profile, secure: bool, logged_in: bool) -> Iterator[bytes]:
    yield from (b"TOP", b"UIDL")
    if profile.takes_passwords(secure):
        yield b"USER"
    if mechanisms := offered(profile, secure):
        yield b" ".join((b"SASL", *mechanisms))
    if profile.stls and not secure and not logged_in:
        yield b"STLS"
    if profile.xclient and not logged_in:
        yield CAPABILITY
    yield from _ALWAYS
    if profile.implementation:
        yield b"IMPLEMENTATION " + profile.implementation.encode("ascii")
