"""What a TLS channel of this server is bound to: tls-server-end-point (RFC 5929 section 4).

The octets are a hash of the certificate: of its signature's hash function, except that
MD5 and SHA-1 become SHA-256.  A signature with another kind of hash, or none (Ed25519),
has no end point by the RFC; SCRAM-SHA-256-PLUS is then not offered.

Only as much of DER (X.690) is read here as leads to the signature's algorithm.

When things fail: no octets, for a certificate that has no end point.
"""

from __future__ import annotations

import hashlib
import re
import ssl

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_SEQUENCE = 0x30
_OBJECT_ID = 0x06


def _oid(*numbers: int) -> bytes:
    octets = bytearray([numbers[0] * 40 + numbers[1]])
    for number in numbers[2:]:
        groups = [number & 0x7F]
        while number := number >> 7:
            groups.append(number & 0x7F | 0x80)
        octets += bytes(reversed(groups))
    return bytes(octets)


_RSA = (1, 2, 840, 113549, 1, 1)
_ECDSA = (1, 2, 840, 10045, 4)
_HASHES = {
    _oid(*_RSA, 4): "sha256",  # MD5
    _oid(*_RSA, 5): "sha256",  # SHA-1
    _oid(*_RSA, 11): "sha256",
    _oid(*_RSA, 12): "sha384",
    _oid(*_RSA, 13): "sha512",
    _oid(*_RSA, 14): "sha224",
    _oid(*_ECDSA, 1): "sha256",  # SHA-1
    _oid(*_ECDSA, 3, 1): "sha224",
    _oid(*_ECDSA, 3, 2): "sha256",
    _oid(*_ECDSA, 3, 3): "sha384",
    _oid(*_ECDSA, 3, 4): "sha512",
}


def end_point(path: str) -> bytes:
    """Return the end point of the first certificate in a PEM file; no octets if it has none.

    Raises:
        OSError: the file cannot be read.
    """
    with open(path, encoding="ascii", errors="replace") as file:
        found = _PEM.search(file.read())
    if found is None:
        return b""
    try:
        der = ssl.PEM_cert_to_DER_cert(found[0])
        algorithm = _HASHES.get(_signature_algorithm(der))
    except (ValueError, IndexError):
        return b""
    return hashlib.new(algorithm, der).digest() if algorithm else b""


def _signature_algorithm(der: bytes) -> bytes:
    """Find the object identifier in ``SEQUENCE { tbsCertificate, SEQUENCE { algorithm, ... }, ... }``."""
    certificate, _ = _element(der, _SEQUENCE)
    _, rest = _element(certificate, _SEQUENCE)
    identifier, _ = _element(rest, _SEQUENCE)
    return _element(identifier, _OBJECT_ID)[0]


def _element(der: bytes, tag: int) -> tuple[bytes, bytes]:
    """Split an element off: its contents, and what follows it."""
    if der[0] != tag:
        raise ValueError("not the element that was expected")
    start, length = 2, der[1]
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(der[2:start], "big")
    return der[start : start + length], der[start + length :]
