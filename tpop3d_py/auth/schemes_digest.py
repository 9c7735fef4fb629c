"""Passwords stored as one digest, with or without a salt: historical, quick to check and quick to guess.

A digest is hexadecimal or base64, told apart by its length; a salt stands behind it, of any length
(libpass, which has most of these, takes salts of 4 to 16 octets only, and hexadecimal or base64, not both).

When things fail: a form that is damaged matches nothing.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import hashlib
import hmac
from collections.abc import Callable

from passlib import hash as schemes

# libpass loads a scheme when it is first named, and after root is given up its files may be out of reach.
_OLD_MYSQL = schemes.mysql323
_NEW_MYSQL = schemes.mysql41
_NT = schemes.nthash
codecs.lookup("utf-16-le")  # the same

Check = Callable[[str, bytes], bool]


def digest(algorithm: str) -> Check:
    """Make the check of an unsalted digest."""
    size = hashlib.new(algorithm, usedforsecurity=False).digest_size

    def check(rest: str, password: bytes) -> bool:
        expected = _octets(rest, size)
        actual = hashlib.new(algorithm, password, usedforsecurity=False).digest()
        return expected is not None and len(expected) == size and hmac.compare_digest(expected, actual)

    return check


def salted_digest(algorithm: str) -> Check:
    """Make the check of a digest over password and salt, with the salt behind it."""
    size = hashlib.new(algorithm, usedforsecurity=False).digest_size

    def check(rest: str, password: bytes) -> bool:
        octets = _octets(rest, size) or b""
        expected, salt = octets[:size], octets[size:]
        actual = hashlib.new(algorithm, password + salt, usedforsecurity=False).digest()
        return len(expected) == size and hmac.compare_digest(expected, actual)

    return check


def _octets(text: str, size: int) -> bytes | None:
    """Decode hexadecimal or base64; None if it is neither.

    What has nothing but hexadecimal digits, and enough of them for the digest, is not base64.
    """
    try:
        if len(text) >= 2 * size and all(c in "0123456789abcdefABCDEF" for c in text):
            return bytes.fromhex(text)
        return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return None


def mysql(rest: str, password: bytes) -> bool:
    """Check PASSWORD() of MySQL: 16 hexadecimal digits or the first 8 of them, since 4.1 ``*`` and 40."""
    if rest.startswith("*"):
        return len(rest) == 41 and bool(_NEW_MYSQL.verify(password, rest))
    if len(rest) not in (8, 16):
        return False
    return hmac.compare_digest(str(_OLD_MYSQL.hash(password))[: len(rest)], rest.lower())


def ntlm(rest: str, password: bytes) -> bool:
    """Check the NT hash, MD4 over UTF-16: 32 hexadecimal digits."""
    return len(rest) == 32 and bool(_NT.verify(password, rest.lower()))
