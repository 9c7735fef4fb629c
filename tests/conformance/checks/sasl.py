"""AUTH (RFC 5034) with the mechanisms that are announced."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable

from tests.conformance.checks.connection import in_sync
from tests.conformance.checks.login import expect_closed_or_refused
from tests.conformance.registry import Failed, Level, NotApplicable, check, check_each, expect
from tests.conformance.site import Site
from tests.conformance.wire import Client, Closed, Reply

_MECHANISMS = (
    "PLAIN",
    "LOGIN",
    "CRAM-MD5",
    "SCRAM-SHA-1",
    "SCRAM-SHA-256",
    "SCRAM-SHA-256-PLUS",
    "XOAUTH2",
    "OAUTHBEARER",
)
_EACH = {name: name for name in _MECHANISMS}


def _b64(octets: bytes) -> bytes:
    return base64.b64encode(octets)


def _announced(site: Site, mechanism: str) -> None:
    if mechanism not in site.capabilities.get("SASL", []):
        raise NotApplicable(f"SASL {mechanism} is not announced")


def _challenge(client: Client, line: bytes) -> bytes:
    """Send a line of the exchange and return the challenge that must follow, decoded."""
    client.send(line + b"\r\n")
    answer = client.line()
    if not answer.startswith(b"+ "):
        raise Failed(f"a challenge must begin with + and a blank; found {answer[:60]!r}")
    return base64.b64decode(answer[2:], validate=True)


def _respond(client: Client, octets: bytes) -> Reply:
    client.secret = True
    client.send(octets + b"\r\n")
    client.secret = False
    return client.status()


def _plain(site: Site, password: str = "") -> bytes:
    return _b64(f"\0{site.options.user}\0{password or site.options.password}".encode())


# --- every mechanism ----------------------------------------------------------


@check_each(_EACH, "5034", "4", "AUTH {} can be canceled with an asterisk")
def cancel(site: Site, mechanism: str) -> None:
    _announced(site, mechanism)
    with site.connection() as client:
        _challenge(client, b"AUTH " + mechanism.encode())
        reply = _respond(client, b"*")
        expect(not reply.ok, f"accepted: {reply}")
        client.refused("STAT")
        in_sync(client)


@check_each(_EACH, "5034", "4", "AUTH {} refuses what is not base64")
def not_base64(site: Site, mechanism: str) -> None:
    _announced(site, mechanism)
    for response in (b"%%%%", b"AGEAYg", b"A", b"=", b"AG EA", b"\xff\xfe", b"\0\0"):
        with site.connection() as client:
            _challenge(client, b"AUTH " + mechanism.encode())
            reply = _respond(client, response)
            expect(not reply.ok, f"{response!r} was accepted")
            expect_closed_or_refused(client, "STAT")


@check_each(_EACH, "5034", "4", "a command in place of a response to AUTH {} is a response, not a command")
def command_for_response(site: Site, mechanism: str) -> None:
    _announced(site, mechanism)
    with site.connection() as client:
        _challenge(client, b"AUTH " + mechanism.encode())
        client.send(b"QUIT\r\n")
        answer = client.line()
        if answer.startswith(b"+ "):  # it is base64 of three octets, and may be taken for a name
            expect(not _respond(client, b"*").ok, "the cancellation was accepted")
        else:
            expect(answer.startswith(b"-ERR"), f"QUIT was obeyed: {answer!r}")


@check_each(_EACH, "5034", "4", "a client that leaves in the middle of AUTH {} harms nobody")
def leaves(site: Site, mechanism: str) -> None:
    _announced(site, mechanism)
    client = site.secured()
    _challenge(client, b"AUTH " + mechanism.encode())
    client.hang_up()
    with site.connection() as other:
        other.multi("CAPA")


@check_each(_EACH, "5034", "4", "an overlong response to AUTH {} gets one -ERR, or the end")
def overlong(site: Site, mechanism: str) -> None:
    _announced(site, mechanism)
    with site.connection() as client:
        _challenge(client, b"AUTH " + mechanism.encode())
        try:
            reply = _respond(client, b"A" * 100_000)
            expect(not reply.ok, f"accepted: {reply}")
            client.call("QUIT")
        except Closed:
            pass
        client.hang_up()


# --- AUTH itself --------------------------------------------------------------


@check("5034", "4", "an unknown mechanism is refused")
def unknown_mechanism(site: Site) -> None:
    site.needs("SASL")
    for name in ("XYZZY", "PLAIN2", "", "-", "PLAIN,LOGIN", "x" * 21):
        with site.connection() as client:
            if name:
                client.refused(f"AUTH {name}")
            client.refused("STAT")


@check("5034", "4", "the mechanism's name may be written in lower case", level=Level.SHOULD)
def lower_case(site: Site) -> None:
    _announced(site, "PLAIN")
    with site.connection() as client:
        _challenge(client, b"auth plain")
        expect(_respond(client, _plain(site)).ok, "refused")


@check("5034", "4", "AUTH without a mechanism is refused, or lists mechanisms", level=Level.CARE)
def without_mechanism(site: Site) -> None:
    site.needs("SASL")
    with site.connection() as client:
        client.multi("AUTH")
        in_sync(client)


@check("5034", "4", "AUTH after login is refused")
def after_login(site: Site) -> None:
    _announced(site, "PLAIN")
    with site.session() as client:
        client.refused(b"AUTH PLAIN " + _plain(site))
        client.ok("STAT")


# --- the mechanisms -----------------------------------------------------------


@check("5034", "4", "AUTH PLAIN logs in by a challenge of no octets")
def plain(site: Site) -> None:
    _announced(site, "PLAIN")
    with site.connection() as client:
        expect(not _challenge(client, b"AUTH PLAIN"), "the challenge is not empty")
        expect(_respond(client, _plain(site)).ok, "refused")
        client.ok("STAT")


@check("5034", "4", "AUTH PLAIN logs in by an initial response")
def plain_initial(site: Site) -> None:
    _announced(site, "PLAIN")
    with site.connection() as client:
        expect(_respond(client, b"AUTH PLAIN " + _plain(site)).ok, "refused")
        client.ok("STAT")


@check("5034", "4", "an equals sign is an initial response of no octets, which PLAIN refuses")
def plain_empty(site: Site) -> None:
    _announced(site, "PLAIN")
    with site.connection() as client:
        client.refused("AUTH PLAIN =")
        expect_closed_or_refused(client, "STAT")


@check("4616", "2", "PLAIN with a wrong password is refused")
def plain_wrong(site: Site) -> None:
    _announced(site, "PLAIN")
    with site.connection() as client:
        expect(not _respond(client, b"AUTH PLAIN " + _plain(site, "wrong-password")).ok, "accepted")
        expect_closed_or_refused(client, "STAT")


@check("4616", "2", "PLAIN with its own name as authorization identity logs in", level=Level.SHOULD)
def plain_own_identity(site: Site) -> None:
    _announced(site, "PLAIN")
    user, password = site.options.user, site.options.password
    with site.connection() as client:
        expect(_respond(client, b"AUTH PLAIN " + _b64(f"{user}\0{user}\0{password}".encode())).ok, "refused")


_BAD_PLAIN = {
    "another's authorization identity": "root\0{u}\0{p}",
    "one NUL": "{u}\0{p}",
    "three NULs": "\0{u}\0{p}\0",
    "no name": "\0\0{p}",
    "no password": "\0{u}\0",
    "nothing": "",
    "a NUL in the password": "\0{u}\0{p}\0x",
}


@check_each(_BAD_PLAIN, "4616", "2", "PLAIN with {} is refused")
def plain_malformed(site: Site, form: str) -> None:
    _announced(site, "PLAIN")
    octets = form.format(u=site.options.user, p=site.options.password).encode()
    with site.connection() as client:
        _challenge(client, b"AUTH PLAIN")
        reply = _respond(client, _b64(octets))
        expect(not reply.ok, f"accepted: {reply}")
        expect_closed_or_refused(client, "STAT")


@check("5034", "4", "after a refused AUTH, USER and PASS log in, or the connection was closed")
def user_after_refusal(site: Site) -> None:
    _announced(site, "PLAIN")
    with site.connection() as client:
        expect(not _respond(client, b"AUTH PLAIN " + _plain(site, "wrong-password")).ok, "accepted")
        try:
            expect(site.log_in(client).ok, "refused")
        except Closed:
            client.hang_up()


@check("", "", "AUTH LOGIN asks for name and password and logs in")
def login(site: Site) -> None:
    _announced(site, "LOGIN")
    with site.connection() as client:
        _challenge(client, b"AUTH LOGIN")
        _challenge(client, _b64(site.options.user.encode()))
        expect(_respond(client, _b64(site.options.password.encode())).ok, "refused")
        client.ok("STAT")


@check("", "", "AUTH LOGIN with a wrong password is refused")
def login_wrong(site: Site) -> None:
    _announced(site, "LOGIN")
    with site.connection() as client:
        _challenge(client, b"AUTH LOGIN")
        _challenge(client, _b64(site.options.user.encode()))
        expect(not _respond(client, _b64(b"wrong-password")).ok, "accepted")
        expect_closed_or_refused(client, "STAT")


@check("2195", "2", "AUTH CRAM-MD5 logs in")
def cram_md5(site: Site) -> None:
    _announced(site, "CRAM-MD5")
    with site.connection() as client:
        challenge = _challenge(client, b"AUTH CRAM-MD5")
        digest = hmac.new(site.options.password.encode(), challenge, "md5").hexdigest()
        expect(_respond(client, _b64(f"{site.options.user} {digest}".encode())).ok, "refused")
        client.ok("STAT")


_SCRAM = {"SCRAM-SHA-1": "sha1", "SCRAM-SHA-256": "sha256"}


@check_each(_SCRAM, "7677", "4", "AUTH {} logs in, and the server proves that it knows the password")
def scram(site: Site, algorithm: str) -> None:
    mechanism = next(name for name, value in _SCRAM.items() if value == algorithm)
    _announced(site, mechanism)
    with site.connection() as client:
        final, signature = _scram_exchange(site, client, mechanism, b"n,,", site.options.password)
        expect(final == b"v=" + _b64(signature), "the server's signature is wrong")
        expect(_respond(client, b"").ok, "refused")
        client.ok("STAT")


@check_each(_SCRAM, "5802", "5", "AUTH {} with a wrong password is refused")
def scram_wrong(site: Site, algorithm: str) -> None:
    mechanism = next(name for name, value in _SCRAM.items() if value == algorithm)
    _announced(site, mechanism)
    with site.connection() as client:
        try:
            final, _ = _scram_exchange(site, client, mechanism, b"n,,", "wrong-password")
        except Failed:
            expect_closed_or_refused(client, "STAT")
            return
        expect(final.startswith(b"e="), f"accepted: {final!r}")
        expect(not _respond(client, b"").ok, "accepted")
        expect_closed_or_refused(client, "STAT")


@check("5802", "6", "SCRAM-SHA-256-PLUS bound to this TLS channel logs in")
def scram_plus(site: Site) -> None:
    _announced(site, "SCRAM-SHA-256-PLUS")
    with site.connection() as client:
        bound = hashlib.sha256(client.certificate).digest()
        final, signature = _plus(site, client, bound)
        expect(final == b"v=" + _b64(signature), "the server's signature is wrong")
        expect(_respond(client, b"").ok, "refused")


@check("5802", "6", "SCRAM-SHA-256-PLUS bound to another channel is refused")
def scram_plus_elsewhere(site: Site) -> None:
    _announced(site, "SCRAM-SHA-256-PLUS")
    with site.connection() as client:
        _refused_exchange(lambda: _plus(site, client, hashlib.sha256(b"another certificate").digest()))
        expect_closed_or_refused(client, "STAT")


@check("5802", "6", "a client that was kept from seeing PLUS is refused")
def scram_downgrade(site: Site) -> None:
    _announced(site, "SCRAM-SHA-256-PLUS")
    _announced(site, "SCRAM-SHA-256")
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
    server_first = _challenge(client, b"AUTH %b %b" % (mechanism.encode(), _b64(header + first)))
    fields = dict(field.split(b"=", 1) for field in server_first.split(b","))
    expect(fields[b"r"].startswith(first.split(b"r=")[1]), "the server's nonce does not continue ours")
    salted = hashlib.pbkdf2_hmac(
        algorithm, password.encode(), base64.b64decode(fields[b"s"]), int(fields[b"i"])
    )
    without_proof = b"c=%b,r=%b" % (_b64(header + bound), fields[b"r"])
    signed = b",".join((first, server_first, without_proof))
    client_key = hmac.digest(salted, b"Client Key", algorithm)
    stored = hashlib.new(algorithm, client_key).digest()
    proof = bytes(a ^ b for a, b in zip(client_key, hmac.digest(stored, signed, algorithm), strict=True))
    signature = hmac.digest(hmac.digest(salted, b"Server Key", algorithm), signed, algorithm)
    client.secret = True
    final = _challenge(client, _b64(without_proof + b",p=" + _b64(proof)))
    client.secret = False
    return final, signature


_TOKENS = {
    "XOAUTH2": "user={u}\1auth=Bearer no-such-token\1\1",
    "OAUTHBEARER": "n,a={u},\1auth=Bearer no-such-token\1\1",
}


@check_each({name: name for name in _TOKENS}, "7628", "3", "{} refuses a bad token")
def bad_token(site: Site, mechanism: str) -> None:
    _announced(site, mechanism)
    token = _b64(_TOKENS[mechanism].format(u=site.options.user).encode())
    with site.connection() as client:
        client.secret = True
        client.send(b"AUTH %b %b\r\n" % (mechanism.encode(), token))
        client.secret = False
        answer = client.line()
        if answer.startswith(b"+ "):  # the reason, in JSON; the client answers with one octet or nothing
            expect(not _respond(client, b"AQ==").ok, "accepted")
        else:
            expect(answer.startswith(b"-ERR"), f"accepted: {answer!r}")
        expect_closed_or_refused(client, "STAT")
