"""What a TLS channel of this server is bound to: tls-server-end-point (RFC 5929 section 4).

The octets are a hash of the certificate: of its signature's hash function, except that
MD5 and SHA-1 become SHA-256.  A signature with another kind of hash, or none (Ed25519),
has no end point by the RFC; SCRAM-SHA-256-PLUS is then not offered.

When things fail: no octets, for a certificate that has no end point.
"""

from __future__ import annotations

import hashlib
import re
import ssl

from tpop3d_py.server.der import signature_algorithm

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


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
        return end_point_of(ssl.PEM_cert_to_DER_cert(found[0]))
    except ValueError:
        return b""


def end_point_of(der: bytes) -> bytes:
    """Return the end point of a certificate; no octets if it has none.

    Raises:
        ValueError: it is no certificate.
    """
    algorithm = _HASHES.get(signature_algorithm(der))
    return hashlib.new(algorithm, der).digest() if algorithm else b""
