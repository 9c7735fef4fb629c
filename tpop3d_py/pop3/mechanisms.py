"""Which SASL mechanisms a connection is offered, and how they begin.

Rules: what is offered is what can succeed (RFC 5034 section 3): passwords where they may be
sent, tokens inside TLS and where somebody checks them, a bound channel inside TLS and
where the certificate has an end point.  SCRAM is offered where the operator says that the
stored passwords allow it; nobody can know that before a name is given, and asking then
would tell whether the name exists.

When things fail: None for a mechanism that is not offered.
"""

from __future__ import annotations

from collections.abc import Callable

from tpop3d_py.pop3.bearer import oauthbearer, xoauth2
from tpop3d_py.pop3.profile import Profile
from tpop3d_py.pop3.sasl import Exchange, Login, Plain
from tpop3d_py.pop3.scram import Scram

SCRAM = b"SCRAM-SHA-256"
SCRAM_PLUS = b"SCRAM-SHA-256-PLUS"
_PASSWORDS = (b"PLAIN", b"LOGIN")
_TOKENS = (b"OAUTHBEARER", b"XOAUTH2")
#: All there are, best first, which is the order they are announced in.
ALL = (SCRAM_PLUS, SCRAM, *_TOKENS, *_PASSWORDS)


def offered(profile: Profile, secure: bool) -> tuple[bytes, ...]:
    """List the mechanisms that a connection is offered.

    Args:
        profile: the listener's.
        secure: whether the connection is inside TLS.
    """
    return tuple(name for name in ALL if _works(name, profile, secure))


def begin(name: bytes, profile: Profile, secure: bool) -> Exchange | None:
    """Begin an exchange; None if the mechanism, in capitals, is not offered."""
    if name not in ALL or not _works(name, profile, secure):
        return None
    if name in (SCRAM, SCRAM_PLUS):
        plus_offered = _works(SCRAM_PLUS, profile, secure)
        return Scram(profile.binding if name == SCRAM_PLUS else b"", plus_offered)
    return _SIMPLE[name]()


def waits_for_tls(name: bytes, profile: Profile, secure: bool) -> bool:
    """Tell whether a mechanism that is not offered would be inside TLS."""
    return not secure and name in ALL and _works(name, profile, secure=True)


def _works(name: bytes, profile: Profile, secure: bool) -> bool:
    if name in _TOKENS:
        return profile.token_check and secure
    if name not in profile.mechanisms:
        return False
    if name in _PASSWORDS:
        return profile.takes_passwords(secure)
    return name != SCRAM_PLUS or (secure and bool(profile.binding))


_SIMPLE: dict[bytes, Callable[[], Exchange]] = {
    b"PLAIN": Plain,
    b"LOGIN": Login,
    b"OAUTHBEARER": oauthbearer,
    b"XOAUTH2": xoauth2,
}
