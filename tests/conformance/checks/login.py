"""USER, PASS and APOP, right and wrong, and two sessions on one maildrop."""

from __future__ import annotations

import hashlib
import re
import secrets

from tests.conformance.registry import Level, NotApplicable, check, expect, expect_equal
from tests.conformance.site import Site
from tests.conformance.wire import Client, Closed, Reply


def _wrong(client: Client, user: str, password: str = "wrong-password") -> Reply:
    reply = client.call(f"USER {user}")
    return client.call(f"PASS {password}") if reply.ok else reply


@check("1939", "7", "USER and PASS log in; STAT works from then on")
def logs_in(site: Site) -> None:
    with site.connection() as client:
        reply = site.log_in(client)
        expect(reply.ok, f"refused: {reply}")
        client.ok("STAT")


@check("1939", "7", "a wrong password is refused, and the maildrop stays closed")
def wrong_password(site: Site) -> None:
    with site.connection() as client:
        expect(not _wrong(client, site.options.user).ok, "accepted")
        expect_closed_or_refused(client, "STAT")


def expect_closed_or_refused(client: Client, command: str) -> None:
    """A server may hang up after a wrong login; otherwise the command must be refused."""
    try:
        client.refused(command)
    except Closed:
        client.hang_up()


@check("1939", "7", "a name that does not exist is refused")
def unknown_user(site: Site) -> None:
    with site.connection() as client:
        expect(not _wrong(client, f"nobody-{secrets.token_hex(4)}").ok, "accepted")
        expect_closed_or_refused(client, "STAT")


@check("1939", "13", "an unknown name and a wrong password get the same answers", level=Level.SHOULD)
def indistinguishable(site: Site) -> None:
    answers = []
    domain = site.options.user.partition("@")[1] + site.options.user.partition("@")[2]
    for user in (site.options.user, f"nobody-{secrets.token_hex(4)}{domain}"):
        client = site.secured()
        first = client.call(f"USER {user}")
        second = client.call("PASS wrong-password") if first.ok else first
        answers.append((first.ok, second.ok, second.text))
        client.hang_up()
    expect_equal(answers[1], answers[0], "answers to an unknown name")


@check("1939", "7", "after a refused login the right one works, or the connection has been closed")
def right_after_wrong(site: Site) -> None:
    with site.connection() as client:
        expect(not _wrong(client, site.options.user).ok, "accepted")
        try:
            reply = site.log_in(client)
        except Closed:
            client.hang_up()
            return
        expect(reply.ok, f"refused: {reply}")


@check("1939", "7", "after a refused login PASS alone is refused")
def pass_needs_user_again(site: Site) -> None:
    with site.connection() as client:
        expect(not _wrong(client, site.options.user).ok, "accepted")
        expect_closed_or_refused(client, f"PASS {site.options.password}")


@check("1939", "7", "a password with one character more is wrong")
def longer_password(site: Site) -> None:
    with site.connection() as client:
        expect(not _wrong(client, site.options.user, f"{site.options.password}x").ok, "accepted")
        expect_closed_or_refused(client, "STAT")


@check("1939", "7", "a password with one character less is wrong")
def shorter_password(site: Site) -> None:
    with site.connection() as client:
        expect(not _wrong(client, site.options.user, site.options.password[:-1]).ok, "accepted")
        expect_closed_or_refused(client, "STAT")


@check("1939", "7", "a wrong APOP digest is refused")
def apop_wrong(site: Site) -> None:
    with site.connection() as client:
        client.refused(f"APOP {site.options.user} {'0' * 32}")
        expect_closed_or_refused(client, "STAT")


@check("1939", "7", "APOP with the right digest logs in, if the server keeps passwords for it")
def apop_right(site: Site) -> None:
    with site.connection() as client:
        stamp = re.search(rb"<[^>]*>", client.greeting.text)
        if not stamp:
            raise NotApplicable("the greeting has no timestamp")
        digest = hashlib.md5(stamp[0] + site.options.password.encode(), usedforsecurity=False).hexdigest()
        if not client.call(f"APOP {site.options.user} {digest}").ok:
            raise NotApplicable("APOP is refused; hashed passwords allow no other answer")
        client.ok("STAT")


@check("1939", "7", "the digest of another greeting does not log in")
def apop_replayed(site: Site) -> None:
    other = site.secured()
    stamp = re.search(rb"<[^>]*>", other.greeting.text)
    other.hang_up()
    if not stamp:
        raise NotApplicable("the greeting has no timestamp")
    digest = hashlib.md5(stamp[0] + site.options.password.encode(), usedforsecurity=False).hexdigest()
    with site.connection() as client:
        client.refused(f"APOP {site.options.user} {digest}")
        expect_closed_or_refused(client, "STAT")


@check("3206", "4", "a wrong login is [AUTH] where AUTH-RESP-CODE is announced")
def auth_code(site: Site) -> None:
    site.needs("AUTH-RESP-CODE")
    client = site.secured()
    reply = _wrong(client, site.options.user)
    client.hang_up()
    expect_equal(reply.code, "AUTH", "response code")


@check("1939", "5", "a second session waits outside, or does not disturb the first")
def exclusive(site: Site) -> None:
    with site.session() as first:
        before = first.lines("LIST")
        second = site.secured()
        reply = site.log_in(second)
        if reply.ok:
            second.ok("QUIT")
        second.hang_up()
        expect(first.lines("LIST") == before, "LIST of the first session changed")
        if before:
            expect(first.multi("RETR 1").ok, "the first session cannot read its first message any more")


@check("2449", "8.1.1", "a login refused because the maildrop is open is [IN-USE]")
def in_use(site: Site) -> None:
    site.needs("RESP-CODES")
    with site.session():
        second = site.secured()
        reply = site.log_in(second)
        second.hang_up()
        if reply.ok:
            raise NotApplicable("the server lets two sessions in")
        expect_equal(reply.code, "IN-USE", "response code")
