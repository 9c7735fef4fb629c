"""STAT, LIST and UIDL in a session where nothing is deleted."""

from __future__ import annotations

import re

from tests.conformance.registry import Level, NotApplicable, check, check_each, expect, expect_equal
from tests.conformance.site import Site, sizes

_SCAN = re.compile(rb"([1-9][0-9]*) ([0-9]+)")
_ID = re.compile(rb"([1-9][0-9]*) ([\x21-\x7e]{1,70})")


@check("1939", "5", "STAT is two numbers with single blanks")
def stat_form(site: Site) -> None:
    with site.session() as client:
        text = client.ok("STAT").text
        expect(re.match(rb"[0-9]+ [0-9]+( |$)", text), f"the drop listing is {text[:60]!r}")


@check("1939", "5", "LIST has a number and a size in each line")
def list_form(site: Site) -> None:
    with site.session() as client:
        for line in client.lines("LIST"):
            expect(re.match(_SCAN.pattern + rb"( |$)", line), f"the scan listing has {line[:60]!r}")


@check("1939", "5", "LIST numbers messages from 1 without gaps")
def list_numbers(site: Site) -> None:
    with site.session() as client:
        numbers = [int(line.split()[0]) for line in client.lines("LIST")]
        expect_equal(numbers, list(range(1, len(numbers) + 1)), "numbers")


@check("1939", "5", "STAT counts the lines of LIST and adds up their sizes")
def stat_is_the_sum(site: Site) -> None:
    with site.session() as client:
        count, octets = client.ok("STAT").text.split()[:2]
        found = sizes(client)
        expect_equal((int(count), int(octets)), (len(found), sum(found)), "STAT")


@check("1939", "5", "LIST n says what LIST says of n, in one line")
def list_one(site: Site) -> None:
    with site.session() as client:
        lines = client.lines("LIST")
        for line in lines[:20]:
            number = line.split()[0].decode()
            expect_equal(client.ok(f"LIST {number}").text, line, f"LIST {number}")


@check("1939", "5", "the size of each message is the octets of its RETR")
def sizes_are_exact(site: Site) -> None:
    with site.session() as client:
        for number, size in enumerate(sizes(client), 1):
            octets = len(client.multi(f"RETR {number}").octets)
            expect_equal(octets, size, f"octets of RETR {number}")


@check("1939", "5", "LIST and STAT say the same again after everything was retrieved")
def reading_changes_nothing(site: Site) -> None:
    with site.session() as client:
        before = client.ok("STAT").text, client.lines("LIST")
        for number in range(1, len(before[1]) + 1):
            client.multi(f"RETR {number}")
        expect_equal((client.ok("STAT").text, client.lines("LIST")), before, "STAT and LIST")


@check("1939", "7", "UIDL has a number and an identifier of 1 to 70 printable octets in each line")
def uidl_form(site: Site) -> None:
    site.needs("UIDL")
    with site.session() as client:
        for line in client.lines("UIDL"):
            expect(_ID.fullmatch(line), f"the listing has {line[:90]!r}")


@check("1939", "7", "UIDL lists the messages that LIST lists")
def uidl_numbers(site: Site) -> None:
    site.needs("UIDL")
    with site.session() as client:
        listed = [line.split()[0] for line in client.lines("LIST")]
        expect_equal([line.split()[0] for line in client.lines("UIDL")], listed, "numbers")


@check("1939", "7", "UIDL n says what UIDL says of n, in one line")
def uidl_one(site: Site) -> None:
    site.needs("UIDL")
    with site.session() as client:
        for line in client.lines("UIDL")[:20]:
            number = line.split()[0].decode()
            expect_equal(client.ok(f"UIDL {number}").text, line, f"UIDL {number}")


@check("1939", "7", "identifiers are unique in the maildrop")
def uidl_unique(site: Site) -> None:
    site.needs("UIDL")
    with site.session() as client:
        ids = [line.split()[1] for line in client.lines("UIDL")]
        expect_equal(len(set(ids)), len(ids), "different identifiers")


@check("1939", "7", "two messages with the same octets have different identifiers", level=Level.SHOULD)
def uidl_of_twins(site: Site) -> None:
    site.needs("UIDL")
    plain, twin = site.prepared("plain"), site.prepared("twin")
    with site.session() as client:
        numbers = site.number_of(client, plain), site.number_of(client, twin)
        expect(numbers[0] != numbers[1], "the twin was not found")
        ids = {client.ok(f"UIDL {number}").text.split()[1] for number in numbers}
        expect_equal(len(ids), 2, "different identifiers")


@check("1939", "7", "identifiers are the same in the next session, and after everything was read")
def uidl_stable(site: Site) -> None:
    site.needs("UIDL")
    with site.session() as client:
        before = client.lines("UIDL")
        for number in range(1, len(before) + 1):
            client.multi(f"RETR {number}")
        expect_equal(client.lines("UIDL"), before, "UIDL after reading")
    with site.session() as client:
        expect_equal(client.lines("UIDL"), before, "UIDL of the next session")


_WITHOUT = {"LIST": "LIST", "UIDL": "UIDL"}


@check_each(_WITHOUT, "1939", "5", "{} answers the same when it is asked again")
def repeatable(site: Site, command: str) -> None:
    if command == "UIDL":
        site.needs("UIDL")
    with site.session() as client:
        expect_equal(client.lines(command), client.lines(command), "the second answer")


@check("1939", "7", "an identifier does not depend on the way it is asked for", level=Level.SHOULD)
def uidl_first_alone(site: Site) -> None:
    site.needs("UIDL")
    with site.session() as client:
        listed = client.lines("UIDL")
    if not listed:
        raise NotApplicable("the maildrop is empty")
    with site.session() as client:
        expect_equal(client.ok(f"UIDL {len(listed)}").text, listed[-1], "UIDL asked for one message first")
