"""AUTH (RFC 5034) with the mechanisms that are announced."""

from __future__ import annotations

import base64
import hmac

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


def b64(octets: bytes) -> bytes:
    return base64.b64encode(octets)


def announced(site: Site, mechanism: str) -> None:
    if mechanism not in site.capabilities.get("SASL", []):
        raise NotApplicable(f"SASL {mechanism} is not announced")


def challenge(client: Client, line: bytes) -> bytes:
    """Send a line of the exchange and return the challenge that must follow, decoded."""
    client.send(line + b"\r\n")
    answer = client.line()
    if not answer.startswith(b"+ "):
        raise Failed(f"a challenge must begin with + and a blank; found {answer[:60]!r}")
    return base64.b64decode(answer[2:], validate=True)


def respond(client: Client, octets: bytes) -> Reply:
    client.secret = True
    client.send(octets + b"\r\n")
    client.secret = False
    return client.status()


def _plain(site: Site, password: str = "") -> bytes:
    return b64(f"\0{site.options.user}\0{password or site.options.password}".encode())


# --- every mechanism ----------------------------------------------------------


@check_each(_EACH, "5034", "4", "AUTH {} can be canceled with an asterisk")
def cancel(site: Site, mechanism: str) -> None:
    announced(site, mechanism)
    with site.connection() as client:
        challenge(client, b"AUTH " + mechanism.encode())
        reply = respond(client, b"*")
        expect(not reply.ok, f"accepted: {reply}")
        client.refused("STAT")
        in_sync(client)


@check_each(_EACH, "5034", "4", "AUTH {} refuses what is not base64")
def not_base64(site: Site, mechanism: str) -> None:
    announced(site, mechanism)
    for response in (b"%%%%", b"AGEAYg", b"A", b"=", b"AG EA", b"\xff\xfe", b"\0\0"):
        with site.connection() as client:
            challenge(client, b"AUTH " + mechanism.encode())
            reply = respond(client, response)
            expect(not reply.ok, f"{response!r} was accepted")
            expect_closed_or_refused(client, "STAT")


@check_each(_EACH, "5034", "4", "a command in place of a response to AUTH {} is a response, not a command")
def command_for_response(site: Site, mechanism: str) -> None:
    announced(site, mechanism)
    with site.connection() as client:
        challenge(client, b"AUTH " + mechanism.encode())
        client.send(b"QUIT\r\n")
        answer = client.line()
        if answer.startswith(b"+ "):  # it is base64 of three octets, and may be taken for a name
            expect(not respond(client, b"*").ok, "the cancellation was accepted")
        else:
            expect(answer.startswith(b"-ERR"), f"QUIT was obeyed: {answer!r}")


@check_each(_EACH, "5034", "4", "a client that leaves in the middle of AUTH {} harms nobody")
def leaves(site: Site, mechanism: str) -> None:
    announced(site, mechanism)
    client = site.secured()
    challenge(client, b"AUTH " + mechanism.encode())
    client.hang_up()
    with site.connection() as other:
        other.multi("CAPA")


@check_each(_EACH, "5034", "4", "an overlong response to AUTH {} gets one -ERR, or the end")
def overlong(site: Site, mechanism: str) -> None:
    announced(site, mechanism)
    with site.connection() as client:
        challenge(client, b"AUTH " + mechanism.encode())
        try:
            reply = respond(client, b"A" * 100_000)
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
    announced(site, "PLAIN")
    with site.connection() as client:
        challenge(client, b"auth plain")
        expect(respond(client, _plain(site)).ok, "refused")


@check("5034", "4", "AUTH without a mechanism is refused, or lists mechanisms", level=Level.CARE)
def without_mechanism(site: Site) -> None:
    site.needs("SASL")
    with site.connection() as client:
        client.multi("AUTH")
        in_sync(client)


@check("5034", "4", "AUTH after login is refused")
def after_login(site: Site) -> None:
    announced(site, "PLAIN")
    with site.session() as client:
        client.refused(b"AUTH PLAIN " + _plain(site))
        client.ok("STAT")


# --- the mechanisms -----------------------------------------------------------


@check("5034", "4", "AUTH PLAIN logs in by a challenge of no octets")
def plain(site: Site) -> None:
    announced(site, "PLAIN")
    with site.connection() as client:
        expect(not challenge(client, b"AUTH PLAIN"), "the challenge is not empty")
        expect(respond(client, _plain(site)).ok, "refused")
        client.ok("STAT")


@check("5034", "4", "AUTH PLAIN logs in by an initial response")
def plain_initial(site: Site) -> None:
    announced(site, "PLAIN")
    with site.connection() as client:
        expect(respond(client, b"AUTH PLAIN " + _plain(site)).ok, "refused")
        client.ok("STAT")


@check("5034", "4", "an equals sign is an initial response of no octets, which PLAIN refuses")
def plain_empty(site: Site) -> None:
    announced(site, "PLAIN")
    with site.connection() as client:
        client.refused("AUTH PLAIN =")
        expect_closed_or_refused(client, "STAT")


@check("4616", "2", "PLAIN with a wrong password is refused")
def plain_wrong(site: Site) -> None:
    announced(site, "PLAIN")
    with site.connection() as client:
        expect(not respond(client, b"AUTH PLAIN " + _plain(site, "wrong-password")).ok, "accepted")
        expect_closed_or_refused(client, "STAT")


@check("4616", "2", "PLAIN with its own name as authorization identity logs in", level=Level.SHOULD)
def plain_own_identity(site: Site) -> None:
    announced(site, "PLAIN")
    user, password = site.options.user, site.options.password
    with site.connection() as client:
        expect(respond(client, b"AUTH PLAIN " + b64(f"{user}\0{user}\0{password}".encode())).ok, "refused")


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
    announced(site, "PLAIN")
    octets = form.format(u=site.options.user, p=site.options.password).encode()
    with site.connection() as client:
        challenge(client, b"AUTH PLAIN")
        reply = respond(client, b64(octets))
        expect(not reply.ok, f"accepted: {reply}")
        expect_closed_or_refused(client, "STAT")


@check("5034", "4", "after a refused AUTH, USER and PASS log in, or the connection was closed")
def user_after_refusal(site: Site) -> None:
    announced(site, "PLAIN")
    with site.connection() as client:
        expect(not respond(client, b"AUTH PLAIN " + _plain(site, "wrong-password")).ok, "accepted")
        try:
            expect(site.log_in(client).ok, "refused")
        except Closed:
            client.hang_up()


@check("", "", "AUTH LOGIN asks for name and password and logs in")
def login(site: Site) -> None:
    announced(site, "LOGIN")
    with site.connection() as client:
        challenge(client, b"AUTH LOGIN")
        challenge(client, b64(site.options.user.encode()))
        expect(respond(client, b64(site.options.password.encode())).ok, "refused")
        client.ok("STAT")


@check("", "", "AUTH LOGIN with a wrong password is refused")
def login_wrong(site: Site) -> None:
    announced(site, "LOGIN")
    with site.connection() as client:
        challenge(client, b"AUTH LOGIN")
        challenge(client, b64(site.options.user.encode()))
        expect(not respond(client, b64(b"wrong-password")).ok, "accepted")
        expect_closed_or_refused(client, "STAT")


@check("2195", "2", "AUTH CRAM-MD5 logs in")
def cram_md5(site: Site) -> None:
    announced(site, "CRAM-MD5")
    with site.connection() as client:
        octets = challenge(client, b"AUTH CRAM-MD5")
        digest = hmac.new(site.options.password.encode(), octets, "md5").hexdigest()
        expect(respond(client, b64(f"{site.options.user} {digest}".encode())).ok, "refused")
        client.ok("STAT")


_TOKENS = {
    "XOAUTH2": "user={u}\1auth=Bearer no-such-token\1\1",
    "OAUTHBEARER": "n,a={u},\1auth=Bearer no-such-token\1\1",
}


@check_each({name: name for name in _TOKENS}, "7628", "3", "{} refuses a bad token")
def bad_token(site: Site, mechanism: str) -> None:
    announced(site, mechanism)
    token = b64(_TOKENS[mechanism].format(u=site.options.user).encode())
    with site.connection() as client:
        client.secret = True
        client.send(b"AUTH %b %b\r\n" % (mechanism.encode(), token))
        client.secret = False
        answer = client.line()
        if answer.startswith(b"+ "):  # the reason, in JSON; the client answers with one octet or nothing
            expect(not respond(client, b"AQ==").ok, "accepted")
        else:
            expect(answer.startswith(b"-ERR"), f"accepted: {answer!r}")
        expect_closed_or_refused(client, "STAT")
