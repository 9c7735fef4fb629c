"""Many commands at once: answered in order, none lost, whatever the depth (RFC 2449 section 6.6)."""

from __future__ import annotations

from tests.conformance.registry import check, check_each, expect, expect_equal
from tests.conformance.site import Site, sizes

_DEPTHS = {str(depth): depth for depth in (2, 10, 100, 1000, 5000)}


@check_each(_DEPTHS, "2449", "6.6", "{} NOOPs in one go are answered by as many +OK")
def depth(site: Site, count: int) -> None:
    site.needs("PIPELINING")
    with site.session() as client:
        expect(all(reply.ok for reply in client.exchange(b"NOOP\r\n" * count, count)), "a NOOP was refused")
        client.ok("NOOP")


@check_each(_DEPTHS, "2449", "6.6", "{} different commands in one go are answered in their order")
def order(site: Site, count: int) -> None:
    site.needs("PIPELINING")
    with site.session() as client:
        total = len(sizes(client))
        numbers = [number % total + 1 for number in range(count)]
        replies = client.exchange(b"".join(b"LIST %d\r\n" % number for number in numbers), count)
        answered = [int(reply.text.split()[0]) for reply in replies if reply.ok]
        expect(answered == numbers, "answers are missing or out of order")


@check("2449", "6.6", "a whole session in one packet is answered")
def whole_session(site: Site) -> None:
    site.needs("PIPELINING")
    with site.connection() as client:
        client.secret = True
        user, password = site.options.user, site.options.password
        client.send(f"USER {user}\r\nPASS {password}\r\nSTAT\r\nNOOP\r\nQUIT\r\n".encode())
        client.secret = False
        signs = [client.status().ok for _ in range(5)]
        expect_equal(signs, [True] * 5, "signs")
        expect(client.closed(), "the connection stays open")
        client.hang_up()


@check("2449", "6.6", "all messages retrieved in one go come whole and in order")
def retrievals(site: Site) -> None:
    site.needs("PIPELINING")
    with site.session() as client:
        told = sizes(client)
        client.send(b"".join(b"RETR %d\r\n" % number for number in range(1, len(told) + 1)) + b"NOOP\r\n")
        found = [len(client.multi_line().octets) for _ in told]
        expect_equal(found, told, "octets")
        expect(client.status().ok, "NOOP was refused")


@check("2449", "6.6", "mistakes among pipelined commands are answered in their place")
def mistakes(site: Site) -> None:
    site.needs("PIPELINING")
    with site.session() as client:
        client.send(b"NOOP\r\nXYZZY\r\nNOOP\r\nRETR 0\r\nSTAT\r\n")
        signs = [client.status().ok for _ in range(5)]
        expect_equal(signs, [True, False, True, False, True], "signs")


@check("2449", "6.6", "commands behind QUIT are not obeyed")
def behind_quit(site: Site) -> None:
    site.needs("PIPELINING")
    with site.session() as client:
        client.send(b"QUIT\r\nNOOP\r\nSTAT\r\n")
        expect(client.status().ok, "QUIT was refused")
        expect(client.closed(), "something comes behind the answer to QUIT")
        client.hang_up()


@check("2449", "6.6", "what is pipelined behind a refused login is not obeyed")
def behind_refusal(site: Site) -> None:
    site.needs("PIPELINING")
    client = site.secured()
    client.send(f"USER {site.options.user}\r\n".encode() + b"PASS wrong-password\r\nSTAT\r\nRETR 1\r\n")
    client.status()
    expect(not client.status().ok, "the login was accepted")
    try:
        expect(not client.status().ok, "STAT was accepted")
        expect(not client.status().ok, "RETR was accepted")
    finally:
        client.hang_up()


@check("2449", "6.6", "multi-line and single-line answers mix in order")
def mixed(site: Site) -> None:
    site.needs("PIPELINING")
    with site.session() as client:
        total = len(sizes(client))
        client.send(b"STAT\r\nLIST\r\nNOOP\r\nCAPA\r\nLIST 1\r\nRSET\r\n" * 20)
        for _ in range(20):
            expect_equal(int(client.status().text.split()[0]), total, "STAT")
            expect_equal(len(client.multi_line().lines), total, "LIST")
            client.status()
            client.multi_line()
            expect(client.status().text.startswith(b"1 "), "LIST 1")
            expect(client.status().ok, "RSET was refused")
