"""TOP: headers, the empty line, and so many lines of the body (RFC 1939 section 7)."""

from __future__ import annotations

from tests.conformance.messages import awkward
from tests.conformance.registry import check, check_each, expect, expect_equal
from tests.conformance.site import Site, sizes

_NAMES = {message.name: message.name for message in awkward("") if message.octets and message.name != "twin"}


def _head_and_body(octets: bytes) -> tuple[bytes, list[bytes]]:
    """Part a message at its first empty line, which belongs to the head."""
    if octets.startswith(b"\r\n"):
        head, body = b"\r\n", octets[2:]
    else:
        head, blank, body = octets.partition(b"\r\n\r\n")
        head = head + blank if blank else octets
    return head, [line + b"\r\n" for line in body.split(b"\r\n")[:-1]] if body else []


@check_each(_NAMES, "1939", "7", "TOP of message {} is right for every number of lines")
def every_count(site: Site, name: str) -> None:
    site.needs("TOP")
    message = site.prepared(name)
    with site.session() as client:
        number = site.number_of(client, message)
        head, body = _head_and_body(client.multi(f"RETR {number}").octets)
        most = len(body) + 1
        counts = range(most + 1) if most < 20 else (0, 1, 2, most // 2, most - 2, most - 1, most)
        for count in counts:
            found = client.multi(f"TOP {number} {count}").octets
            wanted = head + b"".join(body[:count])
            expect(found == wanted, f"TOP {number} {count}: {len(found)} octets instead of {len(wanted)}")


_HUGE = {"2 to the 31st": 2**31, "2 to the 32nd": 2**32, "10 to the 9th": 10**9}


@check_each(_HUGE, "1939", "7", "TOP with {} lines sends the whole message")
def huge_count(site: Site, count: int) -> None:
    site.needs("TOP")
    with site.session() as client:
        sizes(client)
        expect_equal(client.multi(f"TOP 1 {count}").octets, client.multi("RETR 1").octets, "octets")


_MISTAKES = {
    "no argument": "TOP",
    "no line count": "TOP 1",
    "a negative line count": "TOP 1 -1",
    "a line count that is none": "TOP 1 x",
    "a line count with a letter": "TOP 1 1x",
    "three arguments": "TOP 1 1 1",
}


@check_each(_MISTAKES, "1939", "7", "TOP with {} is refused")
def mistakes(site: Site, command: str) -> None:
    site.needs("TOP")
    with site.session() as client:
        sizes(client)
        reply = client.multi(command)
        expect(not reply.ok, f"accepted: {reply}")
        client.ok("NOOP")


@check("1939", "7", "TOP changes nothing that STAT, LIST or RETR tell")
def changes_nothing(site: Site) -> None:
    site.needs("TOP")
    with site.session() as client:
        before = client.ok("STAT").text, client.lines("LIST"), client.multi("RETR 1")
        client.multi("TOP 1 0")
        client.multi("TOP 1 1")
        after = client.ok("STAT").text, client.lines("LIST"), client.multi("RETR 1")
        expect(after == before, "something changed")
