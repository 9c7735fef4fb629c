"""Greeting, end, and what a connection must survive."""

from __future__ import annotations

import re
import time

from tests.conformance.registry import Level, NotApplicable, check, check_each, expect, expect_equal
from tests.conformance.site import Site
from tests.conformance.wire import Client, Closed

_STAMP = re.compile(rb"<[^<>@\s]+@[^<>@\s]+>")


def in_sync(client: Client, *, logged_in: bool = False) -> None:
    """Check that a command is answered by its own answer and by nothing else."""
    reply = client.call("NOOP" if logged_in else "QUIT")
    expect(reply.ok, f"out of step: {'NOOP' if logged_in else 'QUIT'} was answered {reply}")
    if not logged_in:
        expect(client.closed(), "more comes after the answer to QUIT")
        client.hang_up()


@check("1939", "4", "the server greets with one positive status line")
def greets(site: Site) -> None:
    with site.connection() as client:
        expect(client.greeting.ok, "no +OK")
        expect(client.quiet(0.2), "more than one line comes before any command")


@check("1939", "7", "a timestamp in the greeting has the form of a message id")
def timestamp_form(site: Site) -> None:
    with site.connection() as client:
        if b"<" not in client.greeting.text:
            raise NotApplicable("the greeting has no timestamp")
        found = _STAMP.search(client.greeting.text)
        expect(found, f"not <process-ID.clock@hostname>: {client.greeting.text!r}")


@check("1939", "7", "each greeting has another timestamp")
def timestamp_differs(site: Site) -> None:
    stamps = []
    for _ in range(5):
        with site.connection() as client:
            found = _STAMP.search(client.greeting.text)
            if not found:
                raise NotApplicable("the greeting has no timestamp")
            stamps.append(found[0])
    expect_equal(len(set(stamps)), 5, "different timestamps in five greetings")


@check("1939", "4", "QUIT before login is answered +OK and ends the connection")
def quit_before_login(site: Site) -> None:
    with site.connection() as client:
        client.ok("QUIT")
        expect(client.closed(), "the connection stays open")
        client.hang_up()


@check("1939", "6", "QUIT after login is answered +OK and ends the connection")
def quit_after_login(site: Site) -> None:
    with site.session() as client:
        client.ok("QUIT")
        expect(client.closed(), "the connection stays open")
        client.hang_up()


@check("1939", "5", "the maildrop is free again once QUIT has been answered", level=Level.SHOULD)
def quit_releases(site: Site) -> None:
    for _ in range(5):
        client = site.logged_in()
        client.ok("QUIT")
        client.hang_up()
        with site.connection() as again:
            reply = site.log_in(again)
            expect(reply.ok, f"the next login was refused: {reply}")


@check("1939", "3", "the maildrop is free again soon after a connection has broken")
def broken_releases(site: Site) -> None:
    client = site.logged_in()
    client.ok("STAT")
    client.hang_up()
    with site.session() as again:
        again.ok("STAT")


@check("1939", "3", "a client that leaves before the greeting harms nobody")
def leaves_at_once(site: Site) -> None:
    for _ in range(10):
        client = site.dial()
        client.hang_up()
    with site.connection() as client:
        client.multi("CAPA")


@check("1939", "3", "a client that leaves in the middle of a command harms nobody")
def leaves_in_command(site: Site) -> None:
    for piece in (b"U", b"USER someone", b"USER someone\r", b"\0\xff"):
        client = site.secured()
        client.send(piece)
        client.hang_up()
    with site.connection() as client:
        client.multi("CAPA")


@check("1939", "3", "a client that leaves in the middle of a message harms nobody")
def leaves_in_message(site: Site) -> None:
    message = site.prepared("big")
    client = site.logged_in()
    number = site.number_of(client, message)
    client.send(b"RETR %d\r\n" % number)
    client.status()
    client.hang_up()
    with site.session() as again:
        octets = again.multi(f"RETR {number}").octets
        expect(octets.endswith(message.from_mark), "the next RETR is not whole")


@check("1939", "3", "commands sent before the client closes its side are answered", level=Level.CARE)
def half_closed(site: Site) -> None:
    if site.options.security != "none":
        raise NotApplicable("TLS has its own end")
    with site.connection() as client:
        client.send(b"USER someone\r\nQUIT\r\n")
        client.half_close()
        client.status()
        expect(client.status().ok, "QUIT was refused")
        client.hang_up()


@check("1939", "3", "a half-closed session ends and releases the maildrop", level=Level.CARE)
def half_closed_session(site: Site) -> None:
    if site.options.security != "none":
        raise NotApplicable("TLS has its own end")
    client = site.logged_in()
    client.half_close()
    expect(client.closed(), "the server keeps a session whose client can say nothing more")
    client.hang_up()
    with site.session() as again:
        again.ok("STAT")


_BYTEWISE = {
    "octet by octet": 1,
    "two octets at a time": 2,
    "seven octets at a time": 7,
}


@check_each(_BYTEWISE, "1939", "3", "a conversation that comes {} is understood")
def in_pieces(site: Site, size: int) -> None:
    with site.connection() as client:
        for line in (f"USER {site.options.user}", f"PASS {site.options.password}", "STAT", "NOOP"):
            octets = line.encode() + b"\r\n"
            client.secret = line.startswith("PASS")
            for at in range(0, len(octets), size):
                client.send(octets[at : at + size])
            client.secret = False
            expect(client.status().ok, f"{line.split()[0]} was refused")


@check("1939", "3", "CR and LF may come in different packets")
def crlf_in_two(site: Site) -> None:
    with site.session() as client:
        for _ in range(3):
            client.send(b"NOOP\r")
            time.sleep(0.05)
            client.send(b"\n")
            expect(client.status().ok, "NOOP was refused")


@check("1939", "3", "an inactive session lives for ten minutes at least")
def autologout(site: Site) -> None:
    if not site.options.slow:
        raise NotApplicable("needs --slow")
    with site.session() as client:
        time.sleep(595)
        try:
            client.ok("NOOP")
        except Closed:
            expect(False, "the session was ended before ten minutes had passed")
