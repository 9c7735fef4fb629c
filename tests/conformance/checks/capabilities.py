"""CAPA: its form, and that every announcement is true (RFC 2449)."""

from __future__ import annotations

import re

from tests.conformance.registry import Level, NotApplicable, check, check_each, expect, expect_equal
from tests.conformance.site import Site, capabilities, sizes

_TAG = re.compile(rb"[\x21-\x2d\x2f-\x7e][\x21-\x7e]{0,}")
_BOTH_STATES = ("TOP", "UIDL", "USER", "RESP-CODES", "PIPELINING", "AUTH-RESP-CODE", "LANG", "UTF8")


def _needs_capa(site: Site) -> None:
    if not site.capabilities:
        raise NotApplicable("CAPA is unknown here")


@check("2449", "5", "CAPA is obeyed before login, after USER and after login")
def in_every_state(site: Site) -> None:
    _needs_capa(site)
    with site.connection() as client:
        expect(client.multi("CAPA").ok, "refused before login")
        client.call(f"USER {site.options.user}")
        expect(client.multi("CAPA").ok, "refused after USER")
    with site.session() as client:
        expect(client.multi("CAPA").ok, "refused after login")


@check("2449", "5", "capability lines are tags and arguments with single blanks, in printable ASCII")
def form(site: Site) -> None:
    _needs_capa(site)
    with site.session() as client:
        lines = client.lines("CAPA")
    with site.connection() as client:
        lines += client.lines("CAPA")
    for line in lines:
        expect(len(line) + 2 <= 512, f"longer than 512 octets: {line[:40]!r}")
        expect(all(_TAG.fullmatch(word) for word in line.split(b" ")), f"not capability words: {line!r}")


@check("2449", "5", "no capability is announced twice")
def no_doubles(site: Site) -> None:
    _needs_capa(site)
    with site.connection() as client:
        tags = [line.split()[0].upper() for line in client.lines("CAPA")]
    expect_equal(sorted(set(tags)), sorted(tags), "tags")


@check("2449", "5", "CAPA answers the same when it is asked again")
def repeatable(site: Site) -> None:
    _needs_capa(site)
    with site.connection() as client:
        expect_equal(client.lines("CAPA"), client.lines("CAPA"), "the second answer")


@check("2449", "5", "CAPA with an argument is refused", level=Level.CARE)
def with_argument(site: Site) -> None:
    _needs_capa(site)
    with site.connection() as client:
        expect(not client.multi("CAPA all").ok, "accepted")


@check_each({tag: tag for tag in _BOTH_STATES}, "2449", "6", "{} is announced in both states or in neither")
def both_states(site: Site, tag: str) -> None:
    _needs_capa(site)
    expect_equal(tag in site.session_capabilities, tag in site.capabilities, f"{tag} after login")


@check("2449", "6.2", "USER announced: USER and PASS log in")
def user(site: Site) -> None:
    site.needs("USER")
    with site.connection() as client:
        expect(site.log_in(client).ok, "refused")


@check("2449", "6.1", "TOP is announced if and only if it works")
def top(site: Site) -> None:
    _needs_capa(site)
    with site.session() as client:
        sizes(client)
        expect_equal(client.multi("TOP 1 0").ok, "TOP" in site.session_capabilities, "TOP works")


@check("2449", "6.8", "UIDL is announced if and only if it works")
def uidl(site: Site) -> None:
    _needs_capa(site)
    with site.session() as client:
        expect_equal(client.multi("UIDL").ok, "UIDL" in site.session_capabilities, "UIDL works")


_UNANNOUNCED = {
    "STLS": ("STLS", "STLS"),
    "UTF8": ("UTF8", "UTF8"),
    "LANG": ("LANG", "LANG *"),
    "SASL": ("SASL", "AUTH PLAIN"),
}


@check_each(_UNANNOUNCED, "2449", "3", "{} not announced: the command is refused")
def unannounced(site: Site, case: tuple[str, str]) -> None:
    _needs_capa(site)
    tag, command = case
    client = site.dial()
    if tag in capabilities(client):
        client.hang_up()
        raise NotApplicable(f"{tag} is announced")
    client.send(command.encode() + b"\r\n")
    line = client.line()
    client.hang_up()
    expect(line.startswith(b"-ERR"), f"accepted: {line!r}")


@check("2449", "6.5", "the argument of LOGIN-DELAY is a number of seconds, and perhaps USER")
def login_delay(site: Site) -> None:
    arguments = site.needs("LOGIN-DELAY")
    expect(arguments and arguments[0].isdigit(), f"arguments {arguments}")
    expect(arguments[1:] in ([], ["USER"]), f"arguments {arguments}")


@check("2449", "6.7", "the argument of EXPIRE is NEVER or a number of days, and perhaps USER")
def expire(site: Site) -> None:
    arguments = site.needs("EXPIRE")
    expect(arguments and (arguments[0] == "NEVER" or arguments[0].isdigit()), f"arguments {arguments}")
    expect(arguments[1:] in ([], ["USER"]), f"arguments {arguments}")


@check("2449", "6.7", "after login EXPIRE speaks of this user, without USER", level=Level.SHOULD)
def expire_after_login(site: Site) -> None:
    _needs_capa(site)
    if "EXPIRE" not in site.session_capabilities:
        raise NotApplicable("EXPIRE is not announced after login")
    expect_equal(site.session_capabilities["EXPIRE"][1:], [], "further arguments")


@check("2449", "6.9", "IMPLEMENTATION has an argument")
def implementation(site: Site) -> None:
    expect(site.needs("IMPLEMENTATION"), "no argument")


@check("2449", "6.4", "RESP-CODES announced: what begins with a bracket is a response code")
def response_codes(site: Site) -> None:
    site.needs("RESP-CODES")
    replies = []
    with site.connection() as client:
        replies += [client.greeting, client.refused("XYZZY"), client.refused("STAT")]
    with site.session() as client:
        replies += [client.refused("XYZZY"), client.refused("RETR 0"), client.ok("STAT")]
    for reply in replies:
        if reply.text.startswith(b"["):
            expect(re.match(rb"\[[A-Za-z][^\]\s]*\]( |$)", reply.text), f"no response code: {reply}")


@check("2449", "6.3", "SASL has at least one mechanism, in upper case")
def sasl(site: Site) -> None:
    mechanisms = site.needs("SASL")
    expect(mechanisms, "no argument")
    for name in mechanisms:
        expect(re.fullmatch(r"[A-Z0-9_-]{1,20}", name), f"mechanism {name}")
