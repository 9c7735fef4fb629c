"""DELE and RSET as far as they can be tried without removing anything."""

from __future__ import annotations

from tests.conformance.registry import NotApplicable, check, expect, expect_equal
from tests.conformance.site import Site, sizes
from tests.conformance.wire import Client


def _three(client: Client) -> list[int]:
    found = sizes(client)
    if len(found) < 3:
        raise NotApplicable("needs three messages")
    return found


def _stat(client: Client) -> tuple[int, int]:
    count, octets = client.ok("STAT").text.split()[:2]
    return int(count), int(octets)


@check("1939", "5", "a message that is marked as deleted cannot be deleted again")
def twice(site: Site) -> None:
    with site.session() as client:
        sizes(client)
        client.ok("DELE 1")
        client.refused("DELE 1")


@check("1939", "5", "STAT does not count deleted messages")
def stat_after(site: Site) -> None:
    with site.session() as client:
        found = _three(client)
        client.ok("DELE 2")
        expect_equal(_stat(client), (len(found) - 1, sum(found) - found[1]), "STAT")
        client.call("DELE 2")
        expect_equal(_stat(client), (len(found) - 1, sum(found) - found[1]), "STAT after a second DELE")


@check("1939", "5", "LIST leaves deleted messages out and numbers the others as before")
def list_after(site: Site) -> None:
    with site.session() as client:
        _three(client)
        before = client.lines("LIST")
        client.ok("DELE 2")
        expect_equal(client.lines("LIST"), (before[0], *before[2:]), "LIST")


@check("1939", "7", "UIDL leaves deleted messages out and numbers the others as before")
def uidl_after(site: Site) -> None:
    site.needs("UIDL")
    with site.session() as client:
        _three(client)
        before = client.lines("UIDL")
        client.ok("DELE 2")
        expect_equal(client.lines("UIDL"), (before[0], *before[2:]), "UIDL")


@check("1939", "5", "the messages around a deleted one can still be retrieved")
def others_after(site: Site) -> None:
    with site.session() as client:
        _three(client)
        before = client.multi("RETR 1"), client.multi("RETR 3")
        client.ok("DELE 2")
        expect((client.multi("RETR 1"), client.multi("RETR 3")) == before, "other octets")


@check("1939", "5", "RSET unmarks every deleted message")
def rset(site: Site) -> None:
    with site.session() as client:
        found = _three(client)
        before = client.lines("LIST")
        for number in (1, 3):
            client.ok(f"DELE {number}")
        client.ok("RSET")
        expect_equal(_stat(client), (len(found), sum(found)), "STAT")
        expect_equal(client.lines("LIST"), before, "LIST")
        expect(client.multi("RETR 1").ok, "RETR 1 is refused")
        client.ok("DELE 1")


@check("1939", "5", "RSET with nothing deleted is answered +OK")
def rset_without(site: Site) -> None:
    with site.session() as client:
        client.ok("RSET")
        client.ok("RSET")


@check("1939", "5", "all messages deleted: STAT says 0 0, LIST and UIDL are empty")
def all_marked(site: Site) -> None:
    with site.session() as client:
        count = len(sizes(client))
        replies = client.exchange(b"".join(b"DELE %d\r\n" % n for n in range(1, count + 1)), count)
        client.marked = True
        expect(all(reply.ok for reply in replies), "a DELE was refused")
        expect_equal(_stat(client), (0, 0), "STAT")
        expect_equal(client.lines("LIST"), (), "LIST")
        if "UIDL" in site.session_capabilities:
            expect_equal(client.lines("UIDL"), (), "UIDL")


@check("1939", "5", "a refused DELE marks nothing")
def refused_marks_nothing(site: Site) -> None:
    with site.session() as client:
        found = sizes(client)
        for argument in ("0", "-1", "x", str(len(found) + 1), "1 1", "4294967297"):
            client.call(f"DELE {argument}")
            if argument == "1 1":
                continue  # checked by itself; some servers take the first number
            expect_equal(_stat(client), (len(found), sum(found)), f"STAT after DELE {argument}")
        client.ok("RSET")
