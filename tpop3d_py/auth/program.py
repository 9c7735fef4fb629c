"""Write your own authentication in Python: a class, for ``auth-python`` or to be run by ``auth-other``.

Derive from `AuthDriver` and override what you need.  Requests and answers are dictionaries of text; their
keys are those of the ancestor's protocol and of its `TPOP3D::AuthDriver`, so that Perl is ported line by
line:

    class Accounts(AuthDriver):
        def passwd(self, request):
            if request["user"] == "jan" and request["pass"] == "secret":
                return {"result": "YES", "uid": "vmail", "gid": "vmail"}
            return {"result": "NO"}

    if __name__ == "__main__":
        Accounts().run()

With ``auth-python`` an object is made in each authentication process, which asks it one question at a time;
as a program it is a process of its own, under a user of its own.

When things fail: what a method raises costs the login that asked, which is answered as a temporary failure;
as a program it is written to standard error, which the daemon logs, and the program ends and is started
anew.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import signal
import sys
from collections.abc import Mapping

from tpop3d_py.auth import packets

Request = Mapping[str, str]
Answer = Mapping[str, object]

_STDIN, _STDOUT = 0, 1


class AuthDriver:
    """What you derive from; as it is, it refuses everybody.

    Requests have `method`, `user`, `clienthost`, `serverhost` and, unless the name has no domain,
    `local_part` and `domain`.  An answer has `result`, YES or NO; with YES `uid` and `gid`, each a
    name or a number; it may have `mailbox`, `mboxtype`, `domain`, and `logmsg`, which is logged.
    """

    def start(self) -> None:
        """Get ready; called once, before any question."""

    def finish(self) -> None:
        """Clean up; called once when the process ends in good order."""

    def passwd(self, request: Request) -> Answer:
        """Check the password in `pass`."""
        return {"result": "NO"}

    def apop(self, request: Request) -> Answer:
        """Check the APOP `digest` over `timestamp`: see `apopauth`."""
        return {"result": "NO"}

    def onlogin(self, request: Request) -> Answer | None:
        """Take note of a login, whichever driver has granted it; nobody waits for this."""
        return None

    def print_log(self, text: str) -> None:
        """Have a line logged."""
        print(text, file=sys.stderr, flush=True)

    def run(self) -> None:
        """Be a program for ``auth-other``: answer what comes on standard input, until its end or SIGTERM."""
        signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit())
        self.start()
        try:
            while (request := _read()) is not None:
                os.write(_STDOUT, packets.pack(octets(answer(self, texts(request)))))
        finally:
            self.finish()


def apopauth(digest: str, timestamp: str, password: str) -> bool:
    """Tell whether an APOP digest belongs to a password (RFC 1939 section 7).

    Args:
        digest: 32 hexadecimal digits.
        timestamp: of the greeting, with its angle brackets.
        password: in plain text.
    """
    secret = (timestamp + password).encode("utf-8", "surrogateescape")
    expected = hashlib.md5(secret, usedforsecurity=False).hexdigest()
    return hmac.compare_digest(expected.encode(), digest.lower().encode("utf-8", "surrogateescape"))


def answer(driver: AuthDriver, request: Request) -> Answer:
    """Ask a driver by the method that a request names.

    Raises:
        KeyError: there is no such method.
        TypeError: it does not answer with a dictionary.
    """
    method = request["method"]
    if method == "ONLOGIN":
        found = driver.onlogin(request) or {}
    else:
        found = {"PASS": driver.passwd, "APOP": driver.apop}[method](request)
    if not isinstance(found, Mapping):
        raise TypeError(f"{method}: the answer is {type(found).__name__}, not a dictionary")
    return found


def texts(words: Mapping[bytes, bytes]) -> dict[str, str]:
    """Turn the words of a packet into text; octets that are no UTF-8 become surrogates."""
    return {_text(key): _text(value) for key, value in words.items()}


def octets(words: Answer) -> dict[bytes, bytes]:
    """Turn an answer into the words of a packet: numbers as well; None as if it were not there."""
    return {_octets(key): _octets(value) for key, value in words.items() if value is not None}


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _octets(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogateescape")


def _read() -> dict[bytes, bytes] | None:
    """Read a question; None at the end."""
    read = b""
    while piece := os.read(_STDIN, packets.LONGEST):
        read += piece
        found = packets.unpack(read)
        if found is not None:
            return found
    return None
