"""Which commands are obeyed in which state, and with how many arguments."""

from __future__ import annotations

from tests.conformance.checks.connection import in_sync
from tests.conformance.registry import Level, check, check_each, expect
from tests.conformance.site import Site

_TRANSACTION_ONLY = {
    command: command
    for command in (
        "STAT", "LIST", "LIST 1", "RETR 1", "DELE 1", "NOOP", "RSET", "UIDL", "UIDL 1", "TOP 1 0", "TOP 1 1",
    )
}  # fmt: skip
_AUTHORIZATION_ONLY = {
    "USER": "USER someone",
    "PASS": "PASS something",
    "APOP": "APOP someone 0123456789abcdef0123456789abcdef",
    "AUTH PLAIN": "AUTH PLAIN",
    "AUTH PLAIN with a response": "AUTH PLAIN AGEAYg==",
    "STLS": "STLS",
}


@check_each(_TRANSACTION_ONLY, "1939", "4", "{} before login is refused")
def before_login(site: Site, command: str) -> None:
    with site.connection() as client:
        client.refused(command)
        client.marked = False
        in_sync(client)


@check_each(_TRANSACTION_ONLY, "1939", "4", "{} between USER and PASS is refused")
def between_user_and_pass(site: Site, command: str) -> None:
    with site.connection() as client:
        client.call(f"USER {site.options.user}")
        client.refused(command)
        client.marked = False


@check_each(_AUTHORIZATION_ONLY, "1939", "5", "{} after login is refused and changes nothing")
def after_login(site: Site, command: str) -> None:
    with site.session() as client:
        before = client.ok("STAT")
        client.refused(command)
        expect(client.ok("STAT").text == before.text, "the maildrop changed")


@check("1939", "7", "USER without a name is refused")
def user_without_name(site: Site) -> None:
    with site.connection() as client:
        client.refused("USER")
        in_sync(client)


@check("1939", "7", "PASS without USER is refused")
def pass_first(site: Site) -> None:
    with site.connection() as client:
        client.refused("PASS something")
        client.refused("STAT")


@check("1939", "7", "PASS without a password is refused")
def pass_without_password(site: Site) -> None:
    with site.connection() as client:
        client.call(f"USER {site.options.user}")
        client.refused("PASS")
        client.refused("STAT")


_APOP = {
    "no argument": "APOP",
    "a name only": "APOP someone",
    "a digest too short": "APOP someone 0123",
    "a digest that is none": "APOP someone " + "z" * 32,
    "three arguments": "APOP someone " + "0" * 32 + " more",
}


@check_each(_APOP, "1939", "7", "APOP with {} is refused")
def apop_mistakes(site: Site, command: str) -> None:
    with site.connection() as client:
        client.refused(command)
        client.refused("STAT")


_NO_ARGUMENT = {verb: f"{verb} 1" for verb in ("STAT", "NOOP", "RSET")}


@check_each(_NO_ARGUMENT, "1939", "3", "{} with an argument is refused", level=Level.CARE)
def superfluous_argument(site: Site, command: str) -> None:
    with site.session() as client:
        client.refused(command)


@check("1939", "3", "QUIT with an argument is refused, and nothing ends", level=Level.CARE)
def quit_with_argument(site: Site) -> None:
    with site.session() as client:
        client.refused("QUIT now")
        in_sync(client, logged_in=True)


_NEEDS_ARGUMENT = {verb: verb for verb in ("RETR", "DELE")}


@check_each(_NEEDS_ARGUMENT, "1939", "5", "{} without a message number is refused")
def missing_argument(site: Site, command: str) -> None:
    with site.session() as client:
        client.refused(command)
        client.refused(command + " ")


_TWO = {verb: f"{verb} 1 1" for verb in ("LIST", "RETR", "DELE", "UIDL")}


@check_each(_TWO, "1939", "5", "{} with two message numbers is refused", level=Level.SHOULD)
def two_arguments(site: Site, command: str) -> None:
    with site.session() as client:
        client.marked = True
        client.refused(command)


@check("1939", "5", "NOOP is answered +OK, any number of times")
def noop(site: Site) -> None:
    with site.session() as client:
        for _ in range(20):
            client.ok("NOOP")


@check("1939", "6", "a session without DELE removes nothing, even if all was retrieved")
def reading_removes_nothing(site: Site) -> None:
    with site.session() as client:
        before = client.lines("LIST")
        for number in range(1, min(len(before), 10) + 1):
            client.multi(f"RETR {number}")
    with site.session() as client:
        expect(client.lines("LIST") == before, "LIST differs in the next session")
