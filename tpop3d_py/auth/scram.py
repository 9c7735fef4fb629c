"""The server's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), in the authentication processes.

A stored password allows it as ``{SCRAM-SHA-256}iterations,salt,StoredKey,ServerKey`` (the form
Dovecot writes; salt and keys in base64), from which nobody can log in, or as
``{plaintext}``, whose keys are made anew for every login.

The two steps of an exchange may be taken by two processes: nothing is remembered between
them, the worker keeps what was said.  It is the worker, too, that vouches for the
server's first message; a client cannot change it.

Names that do not exist, and passwords stored in other forms, get a first message like
everybody else's: a salt that is always the same for one name, from a key that outlives a
restart, and the usual iterations (RFC 5802 section 9).  The second step costs the same
whether or not there is anything to compare with.

When things fail: `BadForm` for a stored form that is damaged, `TooCostly` for one of too many iterations;
None for a proof that is wrong.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import stringprep
import unicodedata
from typing import NamedTuple

from tpop3d_py.auth import schemes_limits as limits
from tpop3d_py.contracts import Credentials
from tpop3d_py.pop3.scram import First, read_final, read_first

#: RFC 7677 section 4 asks for at least this many; Dovecot's default, which the fakes have to look like.
ITERATIONS = 4096
_NONCE_OCTETS = 18
_SALT_OCTETS = 16
_KEY_OCTETS = 32


class BadForm(ValueError):
    """A stored password of SCRAM that is not of its form."""


class Keys(NamedTuple):
    """What a server has to know of a password (RFC 5802 section 3)."""

    iterations: int
    salt: bytes
    stored: bytes
    server: bytes


#: Keys that no password has: proving them would take a preimage of SHA-256.
NOBODY = Keys(ITERATIONS, b"", bytes(_KEY_OCTETS), bytes(_KEY_OCTETS))


def make_stored(password: str, iterations: int = ITERATIONS) -> str:
    """Hash a new password in the stored form, with its scheme."""
    keys = derive(password.encode(), os.urandom(_SALT_OCTETS), iterations)
    texts = (base64.b64encode(part).decode() for part in (keys.salt, keys.stored, keys.server))
    return "{SCRAM-SHA-256}" + ",".join((str(keys.iterations), *texts))


def read_stored(rest: str, algorithm: str = "sha256") -> Keys:
    """Read the stored form, without its scheme.

    Args:
        rest: what stands behind the scheme.
        algorithm: the digest that the keys were made with.

    Raises:
        BadForm: it is damaged.
        TooCostly: it asks for too many iterations.
    """
    octets = hashlib.new(algorithm).digest_size
    try:
        number, *texts = rest.split(",")
        salt, stored, server = (base64.b64decode(text, validate=True) for text in texts)
        iterations = int(number) if number.isascii() and number.isdigit() else 0
    except ValueError:
        raise BadForm("a stored {SCRAM-SHA-256} password is damaged") from None
    if not (salt and len(stored) == len(server) == octets and iterations > 0):
        raise BadForm("a stored {SCRAM-SHA-256} password is damaged")
    limits.at_most("SCRAM", iterations, limits.ITERATIONS, "iterations")
    return Keys(iterations, salt, stored, server)


def derive(password: bytes, salt: bytes, iterations: int, algorithm: str = "sha256") -> Keys:
    """Make the keys of a password (RFC 5802 section 3)."""
    salted = hashlib.pbkdf2_hmac(algorithm, saslprep(password), salt, iterations)
    client = hmac.digest(salted, b"Client Key", algorithm)
    server = hmac.digest(salted, b"Server Key", algorithm)
    return Keys(iterations, salt, hashlib.new(algorithm, client).digest(), server)


def verify(rest: str, password: bytes, algorithm: str = "sha256") -> bool:
    """Check a password that was sent as it is against the stored form, without its scheme.

    Raises:
        BadForm: the form is damaged.
    """
    keys = read_stored(rest, algorithm)
    derived = derive(password, keys.salt, keys.iterations, algorithm)
    return hmac.compare_digest(derived.stored, keys.stored)


class Salts:
    """Salts for those who have none.

    Args:
        key: secret to clients, and the same after a restart.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def of(self, name: str) -> bytes:
        """Return the salt of a name; capitals do not matter, as they do not in the directory."""
        return _hmac(self._key, name.lower().encode("utf-8", "surrogateescape"))[:_SALT_OCTETS]


def first_message(credentials: Credentials, salt: bytes, iterations: int = ITERATIONS) -> bytes:
    """Write the server's first message, with a nonce of its own behind the client's."""
    nonce = _first(credentials).nonce + base64.b64encode(os.urandom(_NONCE_OCTETS))
    return b"r=%b,s=%b,i=%d" % (nonce, base64.b64encode(salt), iterations)


def is_first_step(credentials: Credentials) -> bool:
    """Tell whether the client has said its first message only."""
    return len(credentials.exchange) == 1


def final_message(credentials: Credentials, keys: Keys) -> bytes | None:
    """Check the client's proof; return the server's own, or None if the client's is wrong."""
    first = _first(credentials)
    _, server_first, client_final = credentials.exchange
    final = read_final(client_final)
    if final is None:
        return None
    nonce = server_first.partition(b",")[0].removeprefix(b"r=")
    bound = base64.b64encode(first.header + credentials.binding)
    message = b",".join((first.bare, server_first, final.unproved))
    # All three are compared, whatever the first says: the time tells nothing.
    right = _proves(message, final.proof, keys.stored)
    right &= hmac.compare_digest(nonce, final.nonce)
    right &= hmac.compare_digest(bound, final.binding)
    return b"v=" + base64.b64encode(_hmac(keys.server, message)) if right else None


def spend(credentials: Credentials) -> None:
    """Spend what making the keys of a plain password costs, for logins that need none made."""
    derive(b"nobody has this password", _first(credentials).nonce, ITERATIONS)


def saslprep(password: bytes) -> bytes:
    """Prepare a password as clients do (RFC 4013): odd blanks, invisible characters, compatibility forms."""
    try:
        text = password.decode()
    except UnicodeDecodeError:
        return password
    kept = "".join(" " if stringprep.in_table_c12(c) else c for c in text if not stringprep.in_table_b1(c))
    return unicodedata.normalize("NFKC", kept).encode()


def _proves(message: bytes, proof: bytes, stored: bytes) -> bool:
    """ClientKey is the proof XOR the signature; its hash must be the stored key (RFC 5802 section 3)."""
    try:
        octets = base64.b64decode(proof, validate=True)
    except ValueError:
        return False
    if len(octets) != _KEY_OCTETS:
        return False
    signature = _hmac(stored, message)
    client = bytes(a ^ b for a, b in zip(octets, signature, strict=True))
    return hmac.compare_digest(hashlib.sha256(client).digest(), stored)


def _first(credentials: Credentials) -> First:
    first = read_first(credentials.exchange[0]) if credentials.exchange else None
    if first is None:
        raise ValueError("not a first message of SCRAM")
    return first


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")
