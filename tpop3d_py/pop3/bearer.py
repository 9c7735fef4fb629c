"""Bearer tokens of OAuth 2.0: OAUTHBEARER (RFC 7628) and XOAUTH2, which came before it.

Both are offered inside TLS only (RFC 6750 section 5.3), and only where somebody checks tokens.

Rules: a refused token is answered by a challenge with a little JSON, the client answers
that with something that means nothing, and then hears ``-ERR`` (RFC 7628 section 3.2.3).

When things fail: a step of None for a response that is not one.
"""

from __future__ import annotations

import re

from tpop3d_py.contracts import Mechanism
from tpop3d_py.pop3.sasl import Ask, Check, Step

#: RFC 7628 section 3.2.2 has the error's form; Google's, for XOAUTH2, wants a number.
_OAUTHBEARER_ERROR = b'{"status":"invalid_token"}'
_XOAUTH2_ERROR = b'{"status":"401","schemes":"Bearer"}'

_TOKEN = rb"[Bb][Ee][Aa][Rr][Ee][Rr] +(?P<token>[A-Za-z0-9._~+/-]+=*)"  # RFC 6750 section 2.1
_NAME = rb"(?:[^\0\x01,=]|=2C|=3D)+"
_OTHERS = rb"(?:(?!auth=)[A-Za-z]+=[\t\n\r -~]*\x01)*"
#: gs2-header, then key=value pairs in any order, each ended by ^A, one more ^A at the end.
_OAUTHBEARER = re.compile(
    rb"[ny],a=(?P<user>" + _NAME + rb"),\x01" + _OTHERS + rb"auth=" + _TOKEN + rb"\x01" + _OTHERS + rb"\x01"
)
_XOAUTH2 = re.compile(rb"user=(?P<user>[^\0\x01]+)\x01auth=" + _TOKEN + rb"\x01\x01")


class Bearer:
    """One exchange, of either mechanism."""

    opening = b""

    def __init__(self, pattern: re.Pattern[bytes], error: bytes) -> None:
        self._pattern = pattern
        self._error = error

    def respond(self, response: bytes) -> Step:
        """Take the token."""
        found = self._pattern.fullmatch(response)
        if found is None:
            return None
        user = found["user"]
        if self._pattern is _OAUTHBEARER:
            user = user.replace(b"=2C", b",").replace(b"=3D", b"=")
        return Check(Mechanism.BEARER, user, found["token"])

    def challenged(self, challenge: bytes) -> Ask:
        """Nobody challenges the bearer of a token."""
        return Ask(b"")

    def refused(self) -> Ask:
        """Tell the client why, in the mechanism's own way."""
        return Ask(self._error)


def oauthbearer() -> Bearer:
    """Begin OAUTHBEARER."""
    return Bearer(_OAUTHBEARER, _OAUTHBEARER_ERROR)


def xoauth2() -> Bearer:
    """Begin XOAUTH2."""
    return Bearer(_XOAUTH2, _XOAUTH2_ERROR)
