"""STLS and implicit TLS (RFC 2595 section 4, RFC 8314)."""

from __future__ import annotations

import ssl

from tests.conformance.registry import Level, NotApplicable, check, expect, expect_equal
from tests.conformance.site import Site, capabilities
from tests.conformance.wire import Client, Closed


def _needs_stls(site: Site) -> None:
    if not site.may_stls:
        raise NotApplicable("STLS is not announced")


def _upgraded(site: Site) -> Client:
    client = site.dial()
    client.ok("STLS")
    client.start_tls(site.tls_context, site.options.host)
    return client


@check("2595", "4", "STLS announced: it is obeyed, and a whole session works inside")
def stls_works(site: Site) -> None:
    _needs_stls(site)
    client = _upgraded(site)
    expect(site.log_in(client).ok, "the login was refused")
    client.ok("STAT")
    client.leave()


@check("2595", "4", "no second greeting follows the handshake")
def no_second_greeting(site: Site) -> None:
    _needs_stls(site)
    client = _upgraded(site)
    expect(client.quiet(0.3), "something comes before any command")
    client.leave()


@check("2595", "4", "inside TLS, STLS is announced no more and refused")
def not_twice(site: Site) -> None:
    if site.options.security == "none":
        _needs_stls(site)
        client = _upgraded(site)
    else:
        client = site.secured()
    expect("STLS" not in capabilities(client), "announced")
    client.refused("STLS")
    client.leave()


@check("2595", "4", "after login STLS is announced no more and refused")
def not_after_login(site: Site) -> None:
    expect("STLS" not in site.session_capabilities, "announced")
    with site.session() as client:
        client.refused("STLS")
        client.ok("STAT")


@check("2595", "4", "STLS with an argument is refused")
def with_argument(site: Site) -> None:
    _needs_stls(site)
    client = site.dial()
    client.refused("STLS now")
    client.leave()


@check("2595", "4", "commands sent behind STLS in the clear are not obeyed inside TLS")
def injection(site: Site) -> None:
    _needs_stls(site)
    client = site.dial()
    client.send(b"STLS\r\nUSER injected\r\nCAPA\r\n")
    expect(client.status().ok, "STLS was refused")
    try:
        client.start_tls(site.tls_context, site.options.host)
        expect(client.quiet(0.5), "a command from the clear was answered inside TLS")
        client.multi("CAPA")
        client.leave()
    except (ssl.SSLError, OSError, Closed):
        client.hang_up()  # taking what was injected for part of the handshake is as safe


@check("2595", "4", "a name given before STLS is forgotten", level=Level.SHOULD)
def name_forgotten(site: Site) -> None:
    _needs_stls(site)
    client = site.dial()
    if not client.call(f"USER {site.options.user}").ok:
        client.hang_up()
        raise NotApplicable("USER is refused in the clear")
    reply = client.call("STLS")
    if not reply.ok:
        client.hang_up()
        raise NotApplicable("STLS is refused after USER")
    client.start_tls(site.tls_context, site.options.host)
    client.refused(f"PASS {site.options.password}")
    client.hang_up()


@check("2595", "4", "a client that breaks off the handshake harms nobody")
def broken_handshake(site: Site) -> None:
    _needs_stls(site)
    for octets in (b"", b"\x16\x03\x01", b"USER someone\r\n", b"\0" * 300):
        client = site.dial()
        client.ok("STLS")
        client.send(octets)
        client.hang_up()
    with site.connection() as client:
        client.multi("CAPA")


@check("8314", "4.1", "TLS 1.1 and older are not spoken")
def modern_tls(site: Site) -> None:
    if site.options.security == "none":
        _needs_stls(site)
    client = site.secured() if site.options.security != "none" else _upgraded(site)
    expect(client.tls_version in {"TLSv1.2", "TLSv1.3"}, f"negotiated {client.tls_version}")
    client.leave()


@check("8314", "3", "capabilities that do not depend on TLS are the same inside and outside")
def same_capabilities(site: Site) -> None:
    _needs_stls(site)
    client = site.dial()
    outside = capabilities(client)
    client.hang_up()
    client = _upgraded(site)
    inside = capabilities(client)
    client.leave()
    for tag in ("TOP", "UIDL", "PIPELINING", "RESP-CODES"):
        expect_equal(tag in inside, tag in outside, f"{tag} inside TLS")
