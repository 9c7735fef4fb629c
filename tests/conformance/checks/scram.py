"""SCRAM, with and without channel binding (RFC 5802, RFC 7677)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable

from tests.conformance.checks.login import expect_closed_or_refused
from tests.conformance.checks.sasl import announced, b64, challenge, respond
from tests.conformance.registry import Failed, check, check_each, expect
from tests.conformance.site import Site
from tests.conformance.wire import Client

_SCRAM = {"SCRAM-SHA-1": "sha1", "SCRAM-SHA-256": "sha256"}


@check_each(_SCRAM, "7677", "4", "AUTH {} logs in, and the server proves that it knows the password")
def scram(site: Site, algorithm: str) -> None:
    mechanism = next(name for name, value in _SCRAM.items() if value == algorithm)
    announced(site, mechanism)
    with site.connection() as client:
        final, signature = _scram_exchange(site, client, mechanism, b"n,,", site.options.password)
        expect(final == b"v=" + b64(signature), "the server's signature is wrong")
        expect(respond(client, b"").ok, "refused")
        client.ok("STAT")


@check_each(_SCRAM, "5802", "5", "AUTH {} with a wrong password is refused")
def scram_wrong(site: Site, algorithm: str) -> None:
    mechanism = next(name for name, value in _SCRAM.items() if value == algorithm)
    announced(site, mechanism)
    with site.connection() as client:
        try:
            final, _ = _scram_exchange(site, client, mechanism, b"n,,", "wrong-password")
        except Failed:
            expect_closed_or_refused(client, "STAT")
            return
        expect(final.startswith(b"e="), f"accepted: {final!r}")
        expect(not respond(client, b"").ok, "accepted")
        expect_closed_or_refused(client, "STAT")


@check("5802", "6", "SCRAM-SHA-256-PLUS bound to this TLS channel logs in")
def scram_plus(site: Site) -> None:
    announced(site, "SCRAM-SHA-256-PLUS")
    with site.connection() as client:
        bound = hashlib.sha256(client.certificate).digest()
        final, signature = _plus(site, client, bound)
        expect(final == b"v=" + b64(signature), "the server's signature is wrong")
        expect(respond(client, b"").ok, "refused")


@check("5802", "6", "SCRAM-SHA-256-PLUS bound to another channel is refused")
def scram_plus_elsewhere(site: Site) -> None:
    announced(site, "SCRAM-SHA-256-PLUS")
    with site.connection() as client:
        _refused_exchange(lambda: _plus(site, client, hashlib.sha256(b"another certificate").digest()))
        expect_closed_or_refused(client, "STAT")


@check("5802", "6", "a client that was kept from seeing PLUS is refused")
def scram_downgrade(site: Site) -> None:
    announced(site, "SCRAM-SHA-256-PLUS")
    announced(site, "SCRAM-SHA-256")
    with site.connection() as client:
        password = site.options.password
        _refused_exchange(lambda: _scram_exchange(site, client, "SCRAM-SHA-256", b"y,,", password))
        expect_closed_or_refused(client, "STAT")


def _plus(site: Site, client: Client, bound: bytes) -> tuple[bytes, bytes]:
    header = b"p=tls-server-end-point,,"
    return _scram_exchange(site, client, "SCRAM-SHA-256-PLUS", header, site.options.password, bound)


def _refused_exchange(exchange: Callable[[], tuple[bytes, bytes]]) -> None:
    try:
        final, _ = exchange()
    except Failed:  # no challenge came
        return
    expect(final.startswith(b"e="), f"accepted: {final!r}")


def _scram_exchange(
    site: Site, client: Client, mechanism: str, header: bytes, password: str, bound: bytes = b""
) -> tuple[bytes, bytes]:
    """Run SCRAM up to the server's last challenge; return it, and the signature it should have."""
    algorithm = _SCRAM[mechanism.removesuffix("-PLUS")]
    user = site.options.user.replace("=", "=3D").replace(",", "=2C")
    first = f"n={user},r={secrets.token_hex(12)}".encode()
    server_first = challenge(client, b"AUTH %b %b" % (mechanism.encode(), b64(header + first)))
    fields = dict(field.split(b"=", 1) for field in server_first.split(b","))
    expect(fields[b"r"].startswith(first.split(b"r=")[1]), "the server's nonce does not continue ours")
    salted = hashlib.pbkdf2_hmac(
        algorithm, password.encode(), base64.b64decode(fields[b"s"]), int(fields[b"i"])
    )
    without_proof = b"c=%b,r=%b" % (b64(header + bound), fields[b"r"])
    signed = b",".join((first, server_first, without_proof))
    client_key = hmac.digest(salted, b"Client Key", algorithm)
    stored = hashlib.new(algorithm, client_key).digest()
    proof = bytes(a ^ b for a, b in zip(client_key, hmac.digest(stored, signed, algorithm), strict=True))
    signature = hmac.digest(hmac.digest(salted, b"Server Key", algorithm), signed, algorithm)
    client.secret = True
    final = challenge(client, b64(without_proof + b",p=" + b64(proof)))
    client.secret = False
    return final, signature
