"""UTF8 and LANG (RFC 6856), where they are announced."""

from __future__ import annotations

import re

from tests.conformance.checks.connection import in_sync
from tests.conformance.registry import Level, check, expect, expect_equal
from tests.conformance.site import Site


@check("6856", "2.1", "UTF8 before login is answered +OK")
def utf8(site: Site) -> None:
    site.needs("UTF8")
    with site.connection() as client:
        client.ok("UTF8")
        expect(site.log_in(client).ok, "the login was refused")
        client.ok("STAT")


@check("6856", "2.1", "UTF8 with an argument is refused", level=Level.SHOULD)
def utf8_argument(site: Site) -> None:
    site.needs("UTF8")
    with site.connection() as client:
        client.refused("UTF8 yes")


@check("6856", "2", "the argument of UTF8, if any, is USER")
def utf8_form(site: Site) -> None:
    expect(site.needs("UTF8") in ([], ["USER"]), "other arguments")


@check("6856", "2.1", "after UTF8 a message with UTF-8 headers comes as it is, and with its true size")
def utf8_message(site: Site) -> None:
    site.needs("UTF8")
    message = site.prepared("utf8head")
    with site.connection() as client:
        client.ok("UTF8")
        expect(site.log_in(client).ok, "the login was refused")
        number = site.number_of(client, message)
        octets = client.multi(f"RETR {number}").octets
        expect(octets == message.wire, "other octets")
        expect_equal(int(client.ok(f"LIST {number}").text.split()[1]), len(octets), "size")


@check("6856", "2.2", "without UTF8 a message with UTF-8 headers comes, or is refused by [UTF8]")
def without_utf8(site: Site) -> None:
    site.needs("UTF8")
    message = site.prepared("utf8head")
    with site.session() as client:
        number = site.number_of(client, message)
        reply = client.multi(f"RETR {number}")
        expect(reply.ok or reply.code == "UTF8", f"refused: {reply}")


@check("6856", "3", "LANG lists language tags")
def lang_list(site: Site) -> None:
    site.needs("LANG")
    with site.connection() as client:
        lines = client.lines("LANG")
        expect(lines, "no language")
        for line in lines:
            expect(re.match(rb"[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8})*( |$)", line), f"no tag: {line[:40]!r}")


@check("6856", "3", "each listed language can be chosen, before and after login, and is named in the answer")
def lang_each(site: Site) -> None:
    site.needs("LANG")
    with site.connection() as client:
        tags = [line.split()[0] for line in client.lines("LANG")]
        for tag in tags:
            first = client.ok(b"LANG " + tag).text.split(b" ")[0]
            expect_equal(first.lower(), tag.lower(), "tag in the answer")
    with site.session() as client:
        for tag in tags:
            client.ok(b"LANG " + tag)
        client.refused("RETR 0")


@check("6856", "3", "LANG * chooses the default language")
def lang_default(site: Site) -> None:
    site.needs("LANG")
    with site.connection() as client:
        client.ok("LANG *")


@check("6856", "3", "a language that is not listed is refused, and nothing changes")
def lang_unknown(site: Site) -> None:
    site.needs("LANG")
    with site.connection() as client:
        before = client.refused("XYZZY").text
        client.refused("LANG x-klingon-1")
        expect_equal(client.refused("XYZZY").text, before, "an answer after the refusal")
        in_sync(client)


@check("6856", "3", "status lines are in UTF-8 in every language")
def lang_utf8(site: Site) -> None:
    site.needs("LANG")
    with site.connection() as client:
        for tag in [line.split()[0] for line in client.lines("LANG")]:
            replies = [client.ok(b"LANG " + tag), client.refused("XYZZY"), client.refused("STAT")]
            for reply in replies:
                reply.text.decode("utf-8")
