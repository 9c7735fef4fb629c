"""Makes certificates for tests."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

_Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@functools.cache
def key(number: int = 0) -> ec.EllipticCurvePrivateKey:
    """A key; another for each number."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(private: _Key, pass_phrase: bytes = b"", old_form: bool = False) -> bytes:
    """A key as its file has it."""
    form = serialization.PrivateFormat.TraditionalOpenSSL if old_form else serialization.PrivateFormat.PKCS8
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if pass_phrase:
        encryption = serialization.BestAvailableEncryption(pass_phrase)
    return private.private_bytes(serialization.Encoding.PEM, form, encryption)


def certificate_pem(private: _Key, names: Sequence[str], start: int = -1, end: int = 90) -> bytes:
    """A certificate for some names, signed by itself, valid between two days counted from today."""
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0])])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject)
    builder = builder.public_key(private.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now + timedelta(days=start)).not_valid_after(now + timedelta(days=end))
    alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
    builder = builder.add_extension(alternatives, critical=False)
    return builder.sign(private, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def write_pair(path: Path, *names: str, number: int = 0, start: int = -1, end: int = 90) -> Path:
    """Write key and certificate into one file that only its owner may read."""
    path.touch(0o600)
    path.write_bytes(key_pem(key(number)) + certificate_pem(key(number), names, start, end))
    return path
