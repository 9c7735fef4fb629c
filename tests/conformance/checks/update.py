"""The UPDATE state, and everything else that removes mail: only with --destructive, on a scratch account."""

from __future__ import annotations

from tests.conformance.messages import Message, ordinary
from tests.conformance.registry import Level, check, expect, expect_equal
from tests.conformance.site import Site, sizes
from tests.conformance.wire import Client


def _texts(client: Client) -> list[bytes]:
    count = int(client.ok("STAT").text.split()[0])
    return [client.multi(f"RETR {number}").octets for number in range(1, count + 1)]


def _quit(client: Client) -> None:
    client.ok("QUIT")
    expect(client.closed(), "the connection stays open")
    client.hang_up()


def _begin(site: Site, count: int) -> tuple[list[Message], list[bytes]]:
    messages = site.fresh(count)
    with site.session() as client:
        return messages, _texts(client)


@check("1939", "6", "QUIT removes what was deleted, and nothing else", destructive=True)
def removes(site: Site) -> None:
    _, before = _begin(site, 6)
    with site.session() as client:
        for number in (2, 3, 6):
            client.ok(f"DELE {number}")
        _quit(client)
    with site.session() as client:
        expect_equal(_texts(client), [before[0], before[3], before[4]], "what is left")


@check("1939", "6", "the messages left are numbered from 1 and keep their identifiers", destructive=True)
def renumbers(site: Site) -> None:
    site.needs("UIDL")
    _begin(site, 5)
    with site.session() as client:
        ids = [line.split()[1] for line in client.lines("UIDL")]
        client.ok("DELE 1")
        client.ok("DELE 4")
        _quit(client)
    with site.session() as client:
        left = [b"%d %b" % (n, uid) for n, uid in enumerate((ids[1], ids[2], ids[4]), 1)]
        expect_equal(list(client.lines("UIDL")), left, "UIDL")


@check("1939", "6", "a connection that breaks without QUIT removes nothing", destructive=True)
def broken_connection(site: Site) -> None:
    _, before = _begin(site, 3)
    client = site.logged_in()
    client.ok("DELE 1")
    client.ok("DELE 2")
    client.hang_up()
    with site.session() as client:
        expect_equal(_texts(client), before, "what is there")


@check("1939", "6", "a connection half-closed without QUIT removes nothing", destructive=True)
def half_closed(site: Site) -> None:
    _, before = _begin(site, 2)
    client = site.logged_in()
    client.ok("DELE 1")
    client.send(b"QUI")
    if site.options.security == "none":
        client.half_close()
        client.closed()
    client.hang_up()
    with site.session() as client:
        expect_equal(_texts(client), before, "what is there")


@check("1939", "6", "a QUIT that is refused removes nothing", destructive=True, level=Level.CARE)
def refused_quit(site: Site) -> None:
    _, before = _begin(site, 2)
    client = site.logged_in()
    client.ok("DELE 1")
    if client.call("QUIT now").ok:
        client.hang_up()
        return
    client.hang_up()
    with site.session() as client:
        expect_equal(_texts(client), before, "what is there")


@check("1939", "5", "RSET before QUIT keeps everything", destructive=True)
def rset_keeps(site: Site) -> None:
    _, before = _begin(site, 3)
    with site.session() as client:
        for number in (1, 2, 3):
            client.ok(f"DELE {number}")
        client.ok("RSET")
        client.ok("DELE 2")
        client.ok("RSET")
        _quit(client)
    with site.session() as client:
        expect_equal(_texts(client), before, "what is there")


@check("1939", "6", "everything can be removed; the maildrop is empty then", destructive=True)
def removes_all(site: Site) -> None:
    site.fresh(4)
    site.empty()
    with site.session() as client:
        expect(client.ok("STAT").text.split()[:2] == [b"0", b"0"], "STAT does not say 0 0")
        expect_equal(client.lines("LIST"), (), "LIST")


_EMPTY = ("LIST 1", "RETR 1", "DELE 1", "LIST 0", "RETR 0")


@check(
    "1939", "5", "in an empty maildrop every message number is refused, and the rest works", destructive=True
)
def empty_maildrop(site: Site) -> None:
    site.empty()
    with site.session() as client:
        for command in _EMPTY:
            client.refused(command)
        for command in ("NOOP", "RSET", "STAT"):
            client.ok(command)
        if "UIDL" in site.session_capabilities:
            expect_equal(client.lines("UIDL"), (), "UIDL")
            client.refused("UIDL 1")
        if "TOP" in site.session_capabilities:
            client.refused("TOP 1 0")


@check("1939", "5", "QUIT of an empty maildrop is answered +OK", destructive=True)
def quit_empty(site: Site) -> None:
    site.empty()
    with site.session() as client:
        _quit(client)


@check("1939", "5", "mail that arrives during a session shows in the next, not in this one", destructive=True)
def arrives_meanwhile(site: Site) -> None:
    _, before = _begin(site, 2)
    with site.session() as client:
        listed = client.lines("LIST")
        more = ordinary("meanwhile", 3)[2:]
        site.deliver_unseen(more, count=False)
        expect_equal(client.lines("LIST"), listed, "LIST of the session")
        client.ok("DELE 1")
        _quit(client)
    _wait_for(site, 2)
    with site.session() as client:
        texts = _texts(client)
        expect_equal(texts[0], before[1], "the message that was kept")
        expect(texts[1].endswith(more[0].from_mark), "the message that came meanwhile is not there")


def _wait_for(site: Site, count: int) -> None:
    for _ in range(200):
        if site.count() >= count:
            return
    expect(False, "mail that was delivered during a session never came")


@check("1939", "7", "an identifier is not given to a later message", destructive=True, level=Level.SHOULD)
def no_reuse(site: Site) -> None:
    site.needs("UIDL")
    site.fresh(3)
    with site.session() as client:
        ids = {line.split()[1] for line in client.lines("UIDL")}
    site.empty()
    site.deliver(ordinary("later", 3))  # identical messages may have identical identifiers
    with site.session() as client:
        again = {line.split()[1] for line in client.lines("UIDL")}
        expect(not ids & again, "identifiers of removed messages came back")


@check("1939", "6", "two sessions at once lose and change nothing", destructive=True)
def two_sessions(site: Site) -> None:
    _, before = _begin(site, 4)
    with site.session() as first:
        second = site.secured()
        entered = site.log_in(second).ok
        if entered:
            second.ok("DELE 2")
            second.ok("QUIT")
        second.hang_up()
        for number in (1, 3, 4):
            reply = first.multi(f"RETR {number}")
            expect(not reply.ok or reply.octets == before[number - 1], f"RETR {number} sent another message")
            expect(reply.ok, f"RETR {number} was refused though nobody removed that message")
        _quit(first)
    with site.session() as client:
        left = before if not entered else [before[0], *before[2:]]
        expect_equal(_texts(client), left, "what is left")


@check("1939", "6", "many messages removed in one session are gone, the others are whole", destructive=True)
def many(site: Site) -> None:
    _, before = _begin(site, 60)
    with site.session() as client:
        expect_equal(len(sizes(client)), 60, "messages")
        for number in range(1, 61, 2):
            client.ok(f"DELE {number}")
        _quit(client)
    with site.session() as client:
        expect_equal(_texts(client), before[1::2], "what is left")


@check("1939", "6", "QUIT behind DELE in one packet removes the message", destructive=True)
def pipelined_quit(site: Site) -> None:
    site.needs("PIPELINING")
    _, before = _begin(site, 3)
    with site.session() as client:
        client.send(b"DELE 1\r\nDELE 3\r\nQUIT\r\n")
        expect_equal([client.status().ok for _ in range(3)], [True] * 3, "signs")
        client.hang_up()
    with site.session() as client:
        expect_equal(_texts(client), before[1:2], "what is left")
