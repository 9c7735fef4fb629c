"""Passwords behind a key derivation function: argon2, PBKDF2, SCRAM.

When things fail: `TooCostly` for parameters above the bounds of `schemes_limits`; a form that is damaged
matches nothing, or is a `ValueError`.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

from passlib import hash as schemes

from tpop3d_py.auth import schemes_limits as limits
from tpop3d_py.auth import scram
from tpop3d_py.auth.schemes_limits import at_most

#: OWASP's minimum (19 MiB, 2 passes, 1 lane): a POP3 account is checked dozens of times an hour.
_ARGON2 = schemes.argon2.using(type="ID", memory_cost=19456, time_cost=2, parallelism=1)
_LDAP_PBKDF2 = {
    "PBKDF2": schemes.ldap_pbkdf2_sha1,
    "PBKDF2-SHA256": schemes.ldap_pbkdf2_sha256,
    "PBKDF2-SHA512": schemes.ldap_pbkdf2_sha512,
}


def argon2(rest: str, password: bytes) -> bool:
    """Check argon2id, argon2i or argon2d in the reference implementation's form."""
    asked = _ARGON2.from_string(rest)
    at_most("argon2", asked.memory_cost, limits.MEMORY_KIB, "KiB of memory")
    at_most("argon2", asked.rounds, limits.PASSES, "passes")
    at_most("argon2", asked.parallelism, limits.LANES, "lanes")
    return bool(_ARGON2.verify(password, rest))


def make_argon2(password: bytes) -> str:
    """Hash a new password."""
    return str(_ARGON2.hash(password))


def is_current_argon2(rest: str) -> bool:
    """Tell whether a form is what `make_argon2` would make today."""
    return not _ARGON2.needs_update(rest)


def pbkdf2(rest: str, password: bytes) -> bool:
    """Check Dovecot's form, ``$1$salt$iterations$digest`` with HMAC-SHA-1, or that of LDAP servers."""
    if not rest.startswith("$1$"):
        return ldap_pbkdf2("PBKDF2")(rest, password)
    _, _, salt, iterations, digest = rest.split("$")
    at_most("{PBKDF2}", int(iterations), limits.ITERATIONS, "iterations")
    actual = hashlib.pbkdf2_hmac("sha1", password, salt.encode(), int(iterations))
    return hmac.compare_digest(bytes.fromhex(digest), actual)


def ldap_pbkdf2(scheme: str) -> Callable[[str, bytes], bool]:
    """Make the check of ``iterations$salt$digest``, as OpenLDAP's pw-pbkdf2 module writes it."""
    handler = _LDAP_PBKDF2[scheme]

    def check(rest: str, password: bytes) -> bool:
        at_most(f"{{{scheme}}}", int(rest.partition("$")[0]), limits.ITERATIONS, "iterations")
        return bool(handler.verify(password, f"{{{scheme}}}{rest}"))

    return check


def scram_keys(algorithm: str) -> Callable[[str, bytes], bool]:
    """Make the check of the keys of SCRAM with SHA-1 or SHA-256."""

    def check(rest: str, password: bytes) -> bool:
        return scram.verify(rest, password, algorithm)

    return check
