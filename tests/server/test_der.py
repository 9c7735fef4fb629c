"""What is read of certificates, compared with an independent reader."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from tpop3d_py.server.der import facts_of, signature_algorithm

KEY = ec.generate_private_key(ec.SECP256R1())
NOW = datetime(2026, 7, 1, 12, 30, 15, tzinfo=UTC)


def made(
    common: str | None, names: list[str], start: datetime = NOW, end: datetime = NOW + timedelta(days=90)
) -> bytes:
    attributes = [x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Klient 1, spółka")]
    if common is not None:
        attributes.append(x509.NameAttribute(x509.NameOID.COMMON_NAME, common))
    subject = x509.Name(attributes)
    builder = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(KEY.public_key())
    )
    builder = builder.serial_number(2**70).not_valid_before(start).not_valid_after(end)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    if names:
        general: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
        general.append(x509.RFC822Name("postmaster@klient1.pl"))
        builder = builder.add_extension(x509.SubjectAlternativeName(general), critical=False)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


@pytest.mark.parametrize(
    ("common", "alternatives", "names"),
    [
        ("klient1.pl", [], ("klient1.pl",)),
        ("klient1.pl", ["mail.klient1.pl", "POP.Klient1.PL"], ("mail.klient1.pl", "pop.klient1.pl")),
        (None, ["*.klient1.pl", "klient1.pl", "klient1.pl"], ("*.klient1.pl", "klient1.pl")),
        ("Klient 1", [], ()),
        ("localhost", [], ()),
        (None, ["xn--d-xga.pl"], ("xn--d-xga.pl",)),
        (None, ["a.*.pl", "*", "x..pl"], ()),
        (None, [f"mail{n}.klient1.pl" for n in range(100)], tuple(f"mail{n}.klient1.pl" for n in range(100))),
    ],
)  # fmt: skip
def test_names(common: str | None, alternatives: list[str], names: tuple[str, ...]) -> None:
    assert facts_of(made(common, alternatives)).names == names


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (NOW, NOW + timedelta(seconds=1)),
        (datetime(1975, 1, 1, tzinfo=UTC), datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (datetime(2000, 2, 29, tzinfo=UTC), datetime(2106, 3, 1, tzinfo=UTC)),
    ],
)
def test_times(start: datetime, end: datetime) -> None:
    facts = facts_of(made("klient1.pl", [], start, end))
    assert (facts.not_before, facts.not_after) == (start.timestamp(), end.timestamp())


def test_the_signature() -> None:
    der = made("klient1.pl", [])
    assert facts_of(der).signed_with == signature_algorithm(der) == bytes.fromhex("2a8648ce3d040302")


DER = made("klient1.pl", ["mail.klient1.pl"])


@settings(max_examples=300)
@given(at=st.integers(0, len(DER) - 1), octet=st.integers(0, 255), keep=st.integers(0, len(DER)))
def test_damage_raises_nothing_but_what_is_announced(at: int, octet: int, keep: int) -> None:
    damaged = (DER[:at] + bytes([octet]) + DER[at + 1 :])[:keep]
    with contextlib.suppress(ValueError):
        signature_algorithm(damaged)
    with contextlib.suppress(ValueError):
        facts_of(damaged)


@given(st.binary(max_size=60))
def test_noise_is_no_certificate(octets: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        facts_of(octets)
