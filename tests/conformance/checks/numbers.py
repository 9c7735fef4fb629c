"""Message numbers: what is none, and numbers of messages that do not exist."""

from __future__ import annotations

from tests.conformance.registry import Level, NotApplicable, check_each, expect
from tests.conformance.site import Site, sizes
from tests.conformance.wire import Client, Reply

_COMMANDS = {"LIST": "LIST {}", "UIDL": "UIDL {}", "RETR": "RETR {}", "TOP": "TOP {} 0", "DELE": "DELE {}"}
_WRONG = {
    "zero": "0",
    "a negative number": "-1",
    "2 to the 32nd, plus one": "4294967297",
    "2 to the 64th, plus one": "18446744073709551617",
    "300 digits": "1" * 300,
    "a letter": "x",
    "a digit and a letter": "1x",
    "a fraction": "1.0",
    "a hexadecimal number": "0x1",
    "an underscore": "1_0",
    "a foreign digit": "\u0661",
    "a range": "1:2",
    "an asterisk": "*",
}
_CASES = {
    f"{verb} with {name}": (verb, form.format(number))
    for verb, form in _COMMANDS.items()
    for name, number in _WRONG.items()
    if not (number == "1" * 300 and verb == "TOP")
}


def _ask(site: Site, client: Client, verb: str, command: str) -> Reply:
    if verb in {"TOP", "UIDL"}:
        site.needs(verb)
    client.marked = True
    return client.multi(command) if verb in {"RETR", "TOP"} else client.call(command)


@check_each(_CASES, "1939", "5", "{} is refused")
def wrong_number(site: Site, case: tuple[str, str]) -> None:
    verb, command = case
    with site.session() as client:
        reply = _ask(site, client, verb, command)
        expect(not reply.ok, f"accepted: {reply}")
        client.ok("NOOP")


@check_each(_COMMANDS, "1939", "5", "{} of the number behind the last message is refused")
def behind_the_last(site: Site, form: str) -> None:
    with site.session() as client:
        count = int(client.ok("STAT").text.split()[0])
        reply = _ask(site, client, form.split(maxsplit=1)[0], form.format(count + 1))
        expect(not reply.ok, f"accepted: {reply}")


@check_each(_COMMANDS, "1939", "5", "{} of the last message works")
def the_last(site: Site, form: str) -> None:
    with site.session() as client:
        count = len(sizes(client))
        reply = _ask(site, client, form.split(maxsplit=1)[0], form.format(count))
        expect(reply.ok, f"refused: {reply}")


_ZEROS = {verb: form for verb, form in _COMMANDS.items() if verb in {"LIST", "UIDL"}}


@check_each(_ZEROS, "1939", "5", "{} 01 is refused or means message 1", level=Level.SHOULD)
def leading_zero(site: Site, form: str) -> None:
    with site.session() as client:
        sizes(client)
        plain = _ask(site, client, form.split(maxsplit=1)[0], form.format("1"))
        reply = client.call(form.format("01"))
        expect(not reply.ok or reply.text == plain.text, f"another message: {reply}")


@check_each(_COMMANDS, "1939", "5", "{} +1 is refused", level=Level.SHOULD)
def plus_sign(site: Site, form: str) -> None:
    with site.session() as client:
        reply = _ask(site, client, form.split(maxsplit=1)[0], form.format("+1"))
        expect(not reply.ok, f"accepted: {reply}")


@check_each(_COMMANDS, "1939", "5", "{} of a deleted message is refused")
def deleted(site: Site, form: str) -> None:
    with site.session() as client:
        sizes(client)
        client.ok("DELE 1")
        reply = _ask(site, client, form.split(maxsplit=1)[0], form.format(1))
        expect(not reply.ok, f"accepted: {reply}")


@check_each(
    {"LIST": "LIST 2 ", "UIDL": "UIDL 2 "}, "1939", "3", "a blank behind {} 2 changes nothing or is -ERR"
)
def trailing_blank(site: Site, command: str) -> None:
    with site.session() as client:
        if len(sizes(client)) < 2:
            raise NotApplicable("needs two messages")
        plain = client.call(command.rstrip())
        reply = client.call(command)
        expect(not reply.ok or reply == plain, f"another answer: {reply}")
