"""RETR: framing, byte-stuffing, and every awkward message octet for octet."""

from __future__ import annotations

from tests.conformance.messages import FILES, awkward
from tests.conformance.registry import Level, NotApplicable, check, check_each, expect, expect_equal
from tests.conformance.site import Site, sizes

_NAMES = {message.name: message.name for message in awkward("") if message.octets}
_BARE = {"nul", "barecr", "crcrlf", "octets"}


def _same(found: bytes, wanted: bytes) -> None:
    """Fail where two texts begin to differ."""
    if found == wanted:
        return
    at = next((n for n, (a, b) in enumerate(zip(found, wanted, strict=False)) if a != b), len(wanted))
    place = f"at octet {at}: found {found[at : at + 30]!r}, expected {wanted[at : at + 30]!r}"
    expect(False, f"{len(found)} octets instead of {len(wanted)}; they differ {place}")


def _arrives(site: Site, name: str) -> None:
    message = site.prepared(name)
    with site.session() as client:
        octets = client.multi(f"RETR {site.number_of(client, message)}").octets
        if site.kind in FILES:
            _same(octets, message.wire)
        else:
            _same(octets[octets.find(message.mark) :], message.from_mark)


@check_each(
    {name: name for name in _NAMES if name not in _BARE}, "1939", "5", "message {} arrives octet for octet"
)
def arrives(site: Site, name: str) -> None:
    _arrives(site, name)


@check_each(
    {name: name for name in _NAMES if name in _BARE},
    "1939",
    "5",
    "message {}, which no mail should hold, arrives octet for octet",
    level=Level.CARE,
)
def arrives_strangely(site: Site, name: str) -> None:
    _arrives(site, name)


@check_each(_NAMES, "1939", "5", "LIST tells the size of message {}")
def size(site: Site, name: str) -> None:
    message = site.prepared(name)
    with site.session() as client:
        number = site.number_of(client, message)
        told = int(client.ok(f"LIST {number}").text.split()[1])
        expect_equal(told, len(client.multi(f"RETR {number}").octets), f"LIST {number}")


@check("1939", "5", "a message of no octets is sent and has size 0", level=Level.CARE)
def empty_message(site: Site) -> None:
    site.prepared("empty")
    with site.session() as client:
        found = [number for number, size in enumerate(sizes(client), 1) if size == 0]
        expect(found, "no message of size 0 is listed")
        reply = client.multi(f"RETR {found[0]}")
        expect(reply.ok, f"refused: {reply}")
        expect_equal(reply.octets, b"", "octets")


@check("1939", "5", "RETR sends the same octets when it is asked again")
def repeatable(site: Site) -> None:
    with site.session() as client:
        for number in range(1, min(len(sizes(client)), 5) + 1):
            expect(client.multi(f"RETR {number}") == client.multi(f"RETR {number}"), f"RETR {number} differs")


@check("1939", "5", "RETR sends the same octets in the next session")
def stable(site: Site) -> None:
    texts = []
    for _ in range(2):
        with site.session() as client:
            count = min(len(sizes(client)), 40)
            texts.append([client.multi(f"RETR {number}").octets for number in range(1, count + 1)])
    expect(texts[0] == texts[1], "the second session got other octets")


@check("1939", "3", "no line of a message ends with a bare LF")
def line_ends(site: Site) -> None:
    with site.session() as client:
        for number in range(1, len(sizes(client)) + 1):
            octets = client.multi(f"RETR {number}").octets
            expect(octets.count(b"\n") == octets.count(b"\r\n"), f"RETR {number} has bare LFs")


@check("1939", "5", "messages may be retrieved in any order")
def any_order(site: Site) -> None:
    with site.session() as client:
        told = sizes(client)
        for number in (len(told), 1, (len(told) + 1) // 2):
            octets = client.multi(f"RETR {number}").octets
            expect_equal(len(octets), told[number - 1], f"octets of RETR {number}")


@check("1939", "5", "the next command is read after the whole message was sent", level=Level.MUST)
def in_step(site: Site) -> None:
    if not any(message.name == "big" for message in site.messages):
        raise NotApplicable("no big message was prepared")
    message = site.prepared("big")
    with site.session() as client:
        number = site.number_of(client, message)
        client.send(b"RETR %d\r\nNOOP\r\n" % number)
        expect_equal(len(client.multi_line().octets) >= len(message.wire), True, "whole message")
        expect(client.status().ok, "NOOP was refused")
