"""A client of SCRAM-SHA-256 (RFC 5802), written apart from the server's side, for tests."""

from __future__ import annotations

import base64
import hashlib
import hmac


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, "sha256").digest()


class ScramClient:
    """One exchange; with `binding`, of SCRAM-SHA-256-PLUS over tls-server-end-point."""

    def __init__(
        self, user: bytes, password: bytes, binding: bytes = b"", nonce: bytes = b"abcDEF012"
    ) -> None:
        self.password = password
        self.header = b"p=tls-server-end-point,," if binding else b"n,,"
        self.binding = binding
        self.bare = b"n=" + user.replace(b"=", b"=3D").replace(b",", b"=2C") + b",r=" + nonce
        self.server_proof = b""

    def first(self) -> bytes:
        return self.header + self.bare

    def final(self, server_first: bytes) -> bytes:
        nonce, salt, iterations = (part[2:] for part in server_first.split(b","))
        salted = hashlib.pbkdf2_hmac("sha256", self.password, base64.b64decode(salt), int(iterations))
        unproved = b"c=" + base64.b64encode(self.header + self.binding) + b",r=" + nonce
        message = b",".join((self.bare, server_first, unproved))
        key = _hmac(salted, b"Client Key")
        signature = _hmac(hashlib.sha256(key).digest(), message)
        proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
        self.server_proof = b"v=" + base64.b64encode(_hmac(_hmac(salted, b"Server Key"), message))
        return unproved + b",p=" + base64.b64encode(proof)
