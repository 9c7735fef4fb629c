"""tls-server-end-point of certificates of all kinds."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tpop3d_py.server import endpoint
from tpop3d_py.server.endpoint import end_point

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
Hash = hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | hashes.SHA224 | None
EC = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)


def made(key: Key, algorithm: Hash) -> x509.Certificate:
    # A subject long enough for lengths of two octets.
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x" * 60)] * 4)
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    return builder.sign(key, algorithm)


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize(
    ("key", "algorithm", "name"),
    [
        (EC, hashes.SHA256(), "sha256"),
        (EC, hashes.SHA384(), "sha384"),
        (EC, hashes.SHA512(), "sha512"),
        (RSA, hashes.SHA256(), "sha256"),
        (RSA, hashes.SHA384(), "sha384"),
        (RSA, hashes.SHA512(), "sha512"),
        (RSA, hashes.SHA224(), "sha224"),
    ],
)
def test_the_hash_is_the_signatures(tmp_path: Path, key: Key, algorithm: Hash, name: str) -> None:
    certificate = made(key, algorithm)
    path = tmp_path / "chain.pem"
    path.write_bytes(b"some text\n" + pem(certificate) + pem(made(EC, hashes.SHA256())))
    der = certificate.public_bytes(serialization.Encoding.DER)
    assert end_point(str(path)) == hashlib.new(name, der).digest()


def test_md5_and_sha1_become_sha256() -> None:
    # RFC 5929 section 4.1; nobody signs with them any more, so only the table can be looked at.
    rsa_with = bytes.fromhex("2a864886f70d0101")
    assert endpoint._HASHES[rsa_with + b"\x04"] == endpoint._HASHES[rsa_with + b"\x05"] == "sha256"
    assert endpoint._HASHES[bytes.fromhex("2a8648ce3d0401")] == "sha256"


def test_a_signature_without_a_hash_has_no_end_point(tmp_path: Path) -> None:
    path = tmp_path / "ed25519.pem"
    path.write_bytes(pem(made(ed25519.Ed25519PrivateKey.generate(), None)))
    assert end_point(str(path)) == b""


def test_files_that_are_no_certificates(tmp_path: Path) -> None:
    path = tmp_path / "x.pem"
    for text in ("", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
        path.write_text(text)
        assert end_point(str(path)) == b""
    with pytest.raises(FileNotFoundError):
        end_point(str(tmp_path / "none.pem"))
