"""Stored password forms: those tpop3d accepted, and argon2id for everything new.

A stored form is ``{scheme}rest``; scheme names are taken in any case.  Without a
prefix, ``$...`` is a crypt(3) string (``$argon2id$`` included) and anything else
is the historical Vmail-SQL form, an MD5 digest.

argon2id's cost follows OWASP's minimum (19 MiB, 2 passes, 1 lane): a POP3
account is checked at every poll, dozens of times an hour.

When things fail: `UnknownScheme` for a form nobody here can check, so that it is
logged as a fault of the account and not taken for a wrong password; a form that
is understood but damaged matches nothing.
"""

from __future__ import annotations

import base64
import binascii
import ctypes
import hashlib
import hmac
import re
from collections.abc import Callable

from passlib import hash as schemes

from tpop3d_py.auth import scram

_ARGON2 = schemes.argon2.using(type="ID", memory_cost=19456, time_cost=2, parallelism=1)
_CRYPT = (schemes.sha512_crypt, schemes.sha256_crypt, schemes.md5_crypt, schemes.des_crypt)
#: The scheme of passwords that SCRAM can be done with.
SCRAM = "scram-sha-256"
# passlib loads a scheme when it is first named, and after root is given up its files may be out of reach.
_OLD_MYSQL = schemes.mysql323
_PREFIX = re.compile(r"\{([A-Za-z0-9_-]+)\}(.*)", re.DOTALL)
_LONGEST_PASSWORD = 512

# The cost of a check that nobody can pass, for names that do not exist (made once per process).
_dummy: list[str] = []


class UnknownScheme(ValueError):
    """A stored password has a form that cannot be checked here."""


def make_hash(password: str) -> str:
    """Hash a new password.

    Raises:
        ValueError: it is empty, longer than 512 octets of UTF-8, or holds NUL, CR or LF, which POP3's PASS
            command cannot carry (RFC 1939 section 3).
    """
    octets = password.encode("utf-8", "surrogateescape")
    if not octets:
        raise ValueError("an empty password is not allowed")
    if len(octets) > _LONGEST_PASSWORD:
        raise ValueError(f"a password has at most {_LONGEST_PASSWORD} octets")
    if any(c in octets for c in b"\0\r\n"):
        raise ValueError("a password cannot contain NUL or line ends")
    return "{ARGON2ID}" + str(_ARGON2.hash(octets))


def verify(stored: str, password: bytes) -> bool:
    """Tell whether a password matches its stored form, also one of no octets, which a chain may forbid.

    Raises:
        UnknownScheme: the form is not one of ours.
    """
    scheme, rest = split_scheme(stored)
    check = _SCHEMES.get(scheme)
    if check is None:
        raise UnknownScheme(f"stored passwords of scheme {{{scheme}}} cannot be checked")
    if len(password) > _LONGEST_PASSWORD:
        return False
    try:
        return check(rest, password)
    except UnknownScheme:
        raise
    except (ValueError, TypeError):
        return False  # understood, but damaged


def split_scheme(stored: str) -> tuple[str, str]:
    """Return the lower-case scheme and the rest of a stored form."""
    if found := _PREFIX.match(stored):
        return found[1].lower(), found[2]
    return ("crypt" if stored.startswith("$") else "md5"), stored


def plain_text(stored: str) -> bytes | None:
    """Return the password itself where the stored form gives it away, as APOP needs (RFC 1939 section 7)."""
    scheme, rest = split_scheme(stored)
    return rest.encode() if scheme in _PLAIN else None


def verify_apop(stored: str, timestamp: bytes, digest: bytes) -> bool:
    """Check an APOP digest: MD5 over the greeting's timestamp and the shared secret (RFC 1939 section 7).

    Clients that know RFC 6856 section 2.2 have prepared a secret that is not ASCII, older ones have not.
    """
    secret = plain_text(stored)
    if not secret:
        return False
    return any(
        [_is_digest(timestamp + secret, digest), _is_digest(timestamp + scram.saslprep(secret), digest)]
    )


def _is_digest(octets: bytes, digest: bytes) -> bool:
    expected = hashlib.md5(octets, usedforsecurity=False).hexdigest()
    return hmac.compare_digest(expected.encode(), digest.lower())


def burn_time(password: bytes) -> None:
    """Spend what checking an argon2id password costs: unknown users answer as slowly as known ones."""
    if not _dummy:
        _dummy.append(str(_ARGON2.hash(b"nobody has this password")))
    _ARGON2.verify(password[:_LONGEST_PASSWORD], _dummy[0])


def _plain(rest: str, password: bytes) -> bool:
    return hmac.compare_digest(rest.encode(), password)


def _argon2(rest: str, password: bytes) -> bool:
    return bool(_ARGON2.verify(password, rest))


def _crypt(rest: str, password: bytes) -> bool:
    if rest.startswith("$argon2"):
        return _argon2(rest, password)
    for scheme in _CRYPT:
        if scheme.identify(rest):
            return bool(scheme.verify(password, rest))
    return _system_crypt(rest, password) if rest.startswith("$") else False


def _load_crypt() -> Callable[[bytes, bytes], bytes | None] | None:
    """Find crypt(3), which knows what the machine's accounts use: bcrypt, Debian's yescrypt."""
    for name in ("libcrypt.so.1", "libcrypt.so.2"):
        try:
            function = ctypes.CDLL(name).crypt
        except OSError:
            continue
        function.argtypes, function.restype = (ctypes.c_char_p, ctypes.c_char_p), ctypes.c_char_p
        return function
    return None


_libcrypt = _load_crypt()


def _system_crypt(rest: str, password: bytes) -> bool:
    """Check by crypt(3); not for threads, and the authentication processes have none."""
    stored = rest.encode()
    result = _libcrypt(password, stored) if _libcrypt is not None and b"\0" not in password + stored else None
    if result is None or result.startswith(b"*"):  # crypt(3)'s ways to fail
        raise UnknownScheme("a {crypt} password of an unknown kind cannot be checked")
    return hmac.compare_digest(result, stored)


def _digest(algorithm: str) -> Callable[[str, bytes], bool]:
    size = hashlib.new(algorithm, usedforsecurity=False).digest_size

    def check(rest: str, password: bytes) -> bool:
        expected = _octets(rest, size)
        actual = hashlib.new(algorithm, password, usedforsecurity=False).digest()
        return expected is not None and hmac.compare_digest(expected, actual)

    return check


def _octets(text: str, size: int) -> bytes | None:
    """Decode a digest of known size from hexadecimal or base64; None if it is neither."""
    try:
        octets = bytes.fromhex(text) if len(text) == 2 * size else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return None
    return octets if len(octets) == size else None


def _old_mysql(rest: str, password: bytes) -> bool:
    """Check PASSWORD() of MySQL before 4.1: 16 hexadecimal digits, or only the first 8."""
    if len(rest) not in (8, 16):
        return False
    return hmac.compare_digest(str(_OLD_MYSQL.hash(password))[: len(rest)], rest.lower())


_PLAIN = frozenset({"plaintext", "plain"})
_SCHEMES: dict[str, Callable[[str, bytes], bool]] = {
    "argon2id": _argon2,
    "crypt": _crypt,
    "crypt_md5": _crypt,
    "md5": _digest("md5"),
    "sha1": _digest("sha1"),
    "mysql": _old_mysql,
    SCRAM: scram.verify,
    **dict.fromkeys(_PLAIN, _plain),
}
