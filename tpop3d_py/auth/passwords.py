"""Stored passwords: checking all forms of old, making those of new ones.

Which forms there are is told in docs/passwords.md and written down in `schemes`; new passwords get the
one of ``password-scheme``.

What new passwords cost, names that do not exist cost as well (`expect`, `burn_time`).

When things fail: `UnknownScheme` for a form nobody here can check and `TooCostly` for one that asks for too
much, so that they are logged as a fault of the account and not taken for a wrong password; a form that
is understood but damaged matches nothing.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

from tpop3d_py.auth import schemes, schemes_crypt, schemes_kdf, scram
from tpop3d_py.auth.schemes import BARE_CRYPT, BARE_MD5, SCRAM
from tpop3d_py.auth.schemes_limits import TooCostly, UnknownScheme

__all__ = [
    "BARE_CRYPT",
    "BARE_MD5",
    "NEW_SCHEMES",
    "SCRAM",
    "TooCostly",
    "UnknownScheme",
    "burn_time",
    "expect",
    "is_current",
    "is_weak",
    "make_hash",
    "plain_text",
    "split_scheme",
    "verify",
    "verify_apop",
]

_LONGEST_PASSWORD = 512
_BCRYPT_COST = 10
#: As dear as bcrypt's cost and argon2id's passes; crypt(3)'s own 5,000 are from 2007.
_SHA512_ROUNDS = 100_000
_NOBODY = "nobody has this password"

_MAKERS: dict[str, Callable[[str], str]] = {
    "argon2id": lambda password: "{ARGON2ID}" + schemes_kdf.make_argon2(password.encode()),
    "blf-crypt": lambda password: "{BLF-CRYPT}" + _crypt("$2b$", _BCRYPT_COST, password),
    "sha512-crypt": lambda password: "{SHA512-CRYPT}" + _crypt("$6$", _SHA512_ROUNDS, password),
    SCRAM: scram.make_stored,
    "plaintext": lambda password: "{plaintext}" + password,
}
#: What ``password-scheme`` may say.
NEW_SCHEMES = tuple(_MAKERS)
#: Behind whose prefix a form of the same scheme has another cost if it is not today's.
_TODAY = {"blf-crypt": f"$2b${_BCRYPT_COST}$", "sha512-crypt": f"$6$rounds={_SHA512_ROUNDS}$"}


class _Expected:
    """What a name that does not exist costs (one for each process, made by the master)."""

    stored = ""


def make_hash(password: str, scheme: str = "argon2id") -> str:
    """Make the stored form of a new password.

    Args:
        password: in plain text.
        scheme: as ``password-scheme`` has it.

    Raises:
        ValueError: it is empty, not UTF-8, longer than 512 octets, or holds NUL, CR or LF, which POP3's PASS
            command cannot carry (RFC 1939 section 3); or this scheme cannot hold it.
    """
    octets = password.encode("utf-8", "surrogateescape")
    if not octets:
        raise ValueError("an empty password is not allowed")
    if len(octets) > _LONGEST_PASSWORD:
        raise ValueError(f"a password has at most {_LONGEST_PASSWORD} octets")
    if any(c in octets for c in b"\0\r\n"):
        raise ValueError("a password cannot contain NUL or line ends")
    try:
        return _MAKERS[scheme](password)
    except UnicodeEncodeError:
        raise ValueError("a password has to be text in UTF-8") from None


def _crypt(prefix: str, cost: int, password: str) -> str:
    return schemes_crypt.make(prefix, cost, password.encode())


def verify(stored: str, password: bytes, bare: str = BARE_MD5) -> bool:
    """Tell whether a password matches its stored form, also one of no octets, which a chain may forbid.

    Args:
        stored: the form.
        password: as the client sent it.
        bare: what a form without a scheme is: `BARE_MD5` in a database, `BARE_CRYPT` in a file.

    Raises:
        UnknownScheme: the form is not one of ours.
        TooCostly: it asks for more than a check may cost.
    """
    form = schemes.read(stored, bare)
    scheme = schemes.SCHEMES.get(form.scheme)
    if scheme is None:
        raise UnknownScheme(f"stored passwords of scheme {{{form.scheme}}} cannot be checked")
    if len(password) > _LONGEST_PASSWORD:
        return False
    try:
        return scheme.check(form.rest, password)
    except (UnknownScheme, TooCostly):
        raise
    except (ValueError, TypeError):
        return False  # understood, but damaged


def split_scheme(stored: str, bare: str = BARE_MD5) -> tuple[str, str]:
    """Return the lower-case scheme and the rest of a stored form."""
    return schemes.read(stored, bare)


def plain_text(stored: str) -> bytes | None:
    """Return the password itself where the stored form gives it away, as APOP needs (RFC 1939 section 7)."""
    form = schemes.read(stored)
    return form.rest.encode() if form.scheme in schemes.PLAIN else None


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


def is_weak(stored: str) -> bool:
    """Tell whether whoever steals this form has the password soon; plain ones not counted."""
    form = schemes.read(stored)
    return form.scheme in schemes.SCHEMES and schemes.kind(form)[1]


def is_current(stored: str, scheme: str) -> bool:
    """Tell whether a form is what `make_hash` would make of its password today."""
    form = schemes.read(stored)
    if scheme == "plaintext":
        return form.scheme in schemes.PLAIN
    if form.scheme != scheme:
        return False
    if scheme == "argon2id":
        return schemes_kdf.is_current_argon2(form.rest)
    return form.rest.startswith(_TODAY.get(scheme, ""))


def expect(scheme: str) -> None:
    """Let `burn_time` cost from now on what a check of this scheme's passwords costs."""
    _Expected.stored = make_hash(_NOBODY, scheme)


def burn_time(password: bytes) -> None:
    """Spend what a check costs: unknown users answer as slowly as those with new passwords."""
    if not _Expected.stored:
        expect("argon2id")
    verify(_Expected.stored, password[:_LONGEST_PASSWORD])
