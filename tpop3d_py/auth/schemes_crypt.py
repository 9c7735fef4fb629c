"""Passwords in the form of crypt(3): what Unix accounts, Exim, Apache and half of all web programs store.

The machine's own libcrypt does the work.  It is called by `ctypes`: of the bindings that exist, one needs a C
compiler to install and the other has not been touched since 2019, while this takes two functions.  Where
there is no libcrypt, or it has left a form out, libpass steps in for DES, MD5 (Apache's too) and SHA.

crypt(3) keeps its result in memory of its own: not for threads, and the authentication processes have none.

When things fail: `UnknownScheme` for a kind that nobody here knows, `TooCostly` for one that would take too
long; what is no crypt(3) string at all (``*``, ``!``, the usual marks of a locked account) matches nothing.
"""

from __future__ import annotations

import ctypes
import hmac
import re
from collections.abc import Callable
from typing import Any

from passlib import hash as schemes

from tpop3d_py.auth import schemes_limits as limits
from tpop3d_py.auth.schemes_limits import TooCostly, UnknownScheme, at_most

#: libcrypt takes less than this (CRYPT_MAX_PASSPHRASE_SIZE).
_LONGEST = 512
_SPARE = (
    schemes.sha512_crypt,
    schemes.sha256_crypt,
    schemes.md5_crypt,
    schemes.apr_md5_crypt,
    schemes.des_crypt,
)
_ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_VALUE = {character: value for value, character in enumerate(_ALPHABET)}
_WORDS = r"[./0-9A-Za-z]"
#: Kinds by what their strings look like; the groups are what they may ask for.
_KINDS = {
    # Longer ones are bigcrypt, of as many pieces as the password has times eight octets.
    "DES-CRYPT": re.compile(rf"{_WORDS}{{2}}(?:{_WORDS}{{11}}){{1,16}}"),
    "MD5-CRYPT": re.compile(r"\$1\$.*"),
    "APR1-CRYPT": re.compile(r"\$apr1\$.*"),
    "NT-CRYPT": re.compile(r"\$3\$.*"),
    "SHA256-CRYPT": re.compile(r"\$5\$(?:rounds=([0-9]{1,10})\$)?.*"),
    "SHA512-CRYPT": re.compile(r"\$6\$(?:rounds=([0-9]{1,10})\$)?.*"),
    "BLF-CRYPT": re.compile(r"\$2[aby]\$([0-9]{2})\$.*"),
    "YESCRYPT": re.compile(rf"\$g?y\$({_WORDS}+)\$.*"),
    "SCRYPT": re.compile(rf"\$7\$({_WORDS}{{11}}).*"),
    "SHA1-CRYPT": re.compile(r"\$sha1\$([0-9]{1,10})\$.*"),
    "SUN-MD5-CRYPT": re.compile(r"\$md5(?:,rounds=([0-9]{1,10}))?\$.*"),
    "BSDI-CRYPT": re.compile(rf"_({_WORDS}{{4}}){_WORDS}{{15}}"),
}
#: Kinds that a graphics card guesses by the thousand million a second.
WEAK = frozenset({"DES-CRYPT", "MD5-CRYPT", "APR1-CRYPT", "NT-CRYPT", "SUN-MD5-CRYPT", "BSDI-CRYPT"})


def kind_of(rest: str) -> str:
    """Name the kind of a crypt(3) string, without its scheme; empty if it is none that is known."""
    return next((name for name, pattern in _KINDS.items() if pattern.fullmatch(rest)), "")


def check(rest: str, password: bytes) -> bool:
    """Tell whether a password matches a crypt(3) string.

    Raises:
        UnknownScheme: nobody here knows this kind.
        TooCostly: it would take too long.
    """
    kind = kind_of(rest)
    if not kind:
        if rest.startswith("$"):
            raise UnknownScheme("a {crypt} password of an unknown kind cannot be checked")
        return False
    asked = _KINDS[kind].fullmatch(rest)
    if asked is not None and asked.re.groups and asked[1]:
        _COSTS[kind](asked[1])
    if len(password) >= _LONGEST or b"\0" in password:
        return False
    stored = rest.encode()
    result = _crypt(password, stored) if _crypt is not None and b"\0" not in stored else None
    if result is None or result.startswith(b"*"):  # crypt(3)'s ways to fail
        return _spare(rest, password)
    return hmac.compare_digest(result, stored)


def _spare(rest: str, password: bytes) -> bool:
    for scheme in _SPARE:
        if scheme.identify(rest):
            return bool(scheme.verify(password, rest))
    raise UnknownScheme("a {crypt} password of an unknown kind, or a damaged one, cannot be checked")


def make(prefix: str, cost: int, password: bytes) -> str:
    """Hash a new password.

    Args:
        prefix: ``$2b$`` or ``$6$``.
        cost: as this kind counts it.
        password: what to hash.

    Raises:
        ValueError: this machine's libcrypt cannot make such a form, or the password is too long for it.
    """
    if prefix == "$2b$" and len(password) > 72:
        raise ValueError("with this password-scheme (bcrypt) a password has at most 72 octets")
    if len(password) >= _LONGEST:
        raise ValueError(f"with this password-scheme a password has at most {_LONGEST - 1} octets")
    setting = _gensalt(prefix.encode(), cost, None, 0) if _gensalt is not None else None
    result = _crypt(password, setting) if _crypt is not None and setting else None
    if result is None or result.startswith(b"*"):
        raise ValueError("this machine's libcrypt cannot make passwords of this password-scheme")
    return result.decode()


# --- costs -------------------------------------------------------------------


def _bcrypt_cost(asked: str) -> None:
    at_most("bcrypt", int(asked), limits.BCRYPT_COST, "as its cost")


def _rounds(asked: str) -> None:
    at_most("{crypt}", int(asked), limits.ITERATIONS, "rounds")


def _bsdi_rounds(asked: str) -> None:
    _rounds(str(_number(asked)))


def _yescrypt_memory(asked: str) -> None:
    """Flavor, log2 of N and r are one character each as mkpasswd and passwd(1) write them."""
    if len(asked) != 3 or max(_VALUE[c] for c in asked) > 47:
        raise TooCostly("a stored yescrypt password has unusual parameters, which may cost anything")
    _memory(_VALUE[asked[1]] + 1, _VALUE[asked[2]] + 1)


def _scrypt_memory(asked: str) -> None:
    at_most("scrypt", _number(asked[6:]), limits.LANES, "lanes")
    _memory(_VALUE[asked[0]], _number(asked[1:6]))


def _number(characters: str) -> int:
    return sum(_VALUE[c] << 6 * place for place, c in enumerate(characters))


def _memory(log2_of_n: int, r: int) -> None:
    at_most("{crypt}", (r << log2_of_n) // 8, limits.MEMORY_KIB, "KiB of memory")


_COSTS: dict[str, Callable[[str], None]] = {
    "SHA256-CRYPT": _rounds,
    "SHA512-CRYPT": _rounds,
    "BLF-CRYPT": _bcrypt_cost,
    "YESCRYPT": _yescrypt_memory,
    "SCRYPT": _scrypt_memory,
    "SHA1-CRYPT": _rounds,
    "SUN-MD5-CRYPT": _rounds,
    "BSDI-CRYPT": _bsdi_rounds,
}


# --- libcrypt ----------------------------------------------------------------


def _load(function: str, *types: Any) -> Callable[..., bytes | None] | None:
    for name in ("libcrypt.so.1", "libcrypt.so.2"):
        try:
            found = getattr(ctypes.CDLL(name), function)
        except (OSError, AttributeError):
            continue
        found.argtypes, found.restype = types, ctypes.c_char_p
        return found  # type: ignore[no-any-return]
    return None


_crypt = _load("crypt", ctypes.c_char_p, ctypes.c_char_p)
#: Absent from the C libraries that have a crypt(3) of their own.
_gensalt = _load("crypt_gensalt", ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p, ctypes.c_int)
