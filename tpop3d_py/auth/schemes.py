"""The stored forms of passwords: how they are written, and who checks which.

A form is ``{scheme}rest``, the scheme in any case, as tpop3d, Dovecot and LDAP servers write it.  Behind the
scheme there may be ``.HEX`` or ``.B64``, Dovecot's way to say how the rest is encoded; digests tell that by
their length as well.  Without a scheme, ``$...`` is a crypt(3) string (``$argon2id$`` included); what
anything else is depends on where it is stored: MD5 in databases, crypt(3) in files.

When things fail: what cannot be decoded has no scheme that anybody knows.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Callable
from typing import NamedTuple

from tpop3d_py.auth import schemes_crypt, schemes_digest, schemes_kdf

Check = Callable[[str, bytes], bool]

#: What a form without a scheme is, in a database and in a file.
BARE_MD5, BARE_CRYPT = "md5", "crypt"
_PREFIX = re.compile(r"\{([A-Za-z0-9_-]+)(?:\.(HEX|B64|BASE64))?\}(.*)", re.DOTALL | re.IGNORECASE)


class Form(NamedTuple):
    """A stored form, taken apart.

    Args:
        scheme: in lower case; empty if the rest cannot be decoded.
        rest: what the scheme's check is given.
    """

    scheme: str
    rest: str


class Scheme(NamedTuple):
    """What is known of a scheme.

    Args:
        check: tells whether a password matches what stands behind the scheme.
        name: as reports write it; empty: told by crypt(3)'s kinds.
        weak: whether whoever steals it has the password within hours.
        encoded: whether `.HEX` and `.B64` are the check's business and not the reader's.
    """

    check: Check
    name: str
    weak: bool = False
    encoded: bool = False


def read(stored: str, bare: str = BARE_MD5) -> Form:
    """Take a stored form apart.

    Args:
        stored: as it was found.
        bare: the scheme of one that names none and is no crypt(3) string.
    """
    found = _PREFIX.fullmatch(stored)
    if found is None:
        return Form("crypt" if stored.startswith("$") else bare, stored)
    name, encoding, rest = found[1].lower(), (found[2] or "").lower(), found[3]
    scheme = SCHEMES.get(name)
    if encoding and scheme is not None and not scheme.encoded:
        try:
            octets = bytes.fromhex(rest) if encoding == "hex" else base64.b64decode(rest, validate=True)
            return Form(name, octets.decode())
        except ValueError:
            return Form("", stored)
    return Form(name, rest)


def kind(form: Form) -> tuple[str, bool]:
    """Name what a form is for a report, and tell whether it is weak."""
    scheme = SCHEMES.get(form.scheme)
    if scheme is None:
        return (f"{{{form.scheme.upper()}}}" if form.scheme else "damaged"), True
    if scheme.name:
        return scheme.name, scheme.weak
    if form.rest.startswith("$argon2"):
        return "ARGON2", False
    name = schemes_crypt.kind_of(form.rest)
    return (name, name in schemes_crypt.WEAK) if name else ("locked or damaged", False)


def _plain(rest: str, password: bytes) -> bool:
    return hmac.compare_digest(rest.encode(), password)


def _crypt(rest: str, password: bytes) -> bool:
    check = schemes_kdf.argon2 if rest.startswith("$argon2") else schemes_crypt.check
    return check(rest, password)


def _md5(rest: str, password: bytes) -> bool:
    # Dovecot's {MD5} may be either.
    return (_crypt if rest.startswith("$1$") else _MD5)(rest, password)


_MD5 = schemes_digest.digest("md5")


def _digest(name: str, algorithm: str) -> Scheme:
    return Scheme(schemes_digest.digest(algorithm), name, weak=True, encoded=True)


def _salted(name: str, algorithm: str) -> Scheme:
    return Scheme(schemes_digest.salted_digest(algorithm), name, weak=True, encoded=True)


_CRYPT = Scheme(_crypt, "")
_PLAIN = Scheme(_plain, "PLAIN")
#: Schemes from which the password itself can be read.
PLAIN = frozenset({"plaintext", "plain", "cleartext", "clear"})
#: The scheme of passwords that SCRAM can be done with.
SCRAM = "scram-sha-256"

SCHEMES: dict[str, Scheme] = {
    **dict.fromkeys(PLAIN, _PLAIN),
    **dict.fromkeys(("argon2id", "argon2i", "argon2"), Scheme(schemes_kdf.argon2, "ARGON2")),
    **dict.fromkeys(("crypt", "crypt_md5", "des-crypt", "md5-crypt"), _CRYPT),
    **dict.fromkeys(("sha256-crypt", "sha512-crypt", "blf-crypt"), _CRYPT),
    "md5": Scheme(_md5, "MD5", weak=True, encoded=True),
    **dict.fromkeys(("plain-md5", "ldap-md5"), _digest("MD5", "md5")),
    **dict.fromkeys(("sha", "sha1"), _digest("SHA1", "sha1")),
    "sha256": _digest("SHA256", "sha256"),
    "sha512": _digest("SHA512", "sha512"),
    "smd5": _salted("SMD5", "md5"),
    "ssha": _salted("SSHA", "sha1"),
    "ssha256": _salted("SSHA256", "sha256"),
    "ssha512": _salted("SSHA512", "sha512"),
    "mysql": Scheme(schemes_digest.mysql, "MYSQL", weak=True),
    "ntlm": Scheme(schemes_digest.ntlm, "NTLM", weak=True, encoded=True),
    "pbkdf2": Scheme(schemes_kdf.pbkdf2, "PBKDF2"),
    "pbkdf2-sha256": Scheme(schemes_kdf.ldap_pbkdf2("PBKDF2-SHA256"), "PBKDF2-SHA256"),
    "pbkdf2-sha512": Scheme(schemes_kdf.ldap_pbkdf2("PBKDF2-SHA512"), "PBKDF2-SHA512"),
    "scram-sha-1": Scheme(schemes_kdf.scram_keys("sha1"), "SCRAM-SHA-1"),
    SCRAM: Scheme(schemes_kdf.scram_keys("sha256"), "SCRAM-SHA-256"),
}
