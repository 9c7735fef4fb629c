"""Command lines: case, length, line ends, octets that no command has."""

from __future__ import annotations

from collections.abc import Callable

from tests.conformance.checks.connection import in_sync
from tests.conformance.registry import Failed, Level, check, check_each, expect
from tests.conformance.site import Site
from tests.conformance.wire import Client, Closed, Reply

#: Part of what is sent, and of no server's vocabulary.
ECHO = "qXzW7Kk"

_CASES: dict[str, Callable[[str], str]] = {
    "lower": str.lower,
    "mixed": lambda text: text[:1].lower() + text[1:].upper(),
}
_CASED_COMMANDS = {
    f"{verb} in {name} case": change(verb)
    for verb in ("STAT", "LIST", "NOOP", "RSET", "RETR", "DELE")
    for name, change in _CASES.items()
}


@check_each(_CASED_COMMANDS, "1939", "3", "{} is understood")
def case_of_keywords(site: Site, verb: str) -> None:
    argument = " 1" if verb.upper() in {"RETR", "DELE"} else ""
    with site.session() as client:
        multi = verb.upper() in {"LIST", "RETR"}
        client.marked = True
        reply = client.multi(verb + argument) if multi else client.call(verb + argument)
        upper = verb.upper() + argument
        if not reply.ok:
            again = client.multi(upper) if multi else client.call(upper)
            expect(not again.ok, f"{verb}{argument} was refused, {upper} was not")


@check_each(_CASES, "1939", "3", "USER, PASS and QUIT in {} case are understood")
def case_of_login(site: Site, change: Callable[[str], str]) -> None:
    client = site.secured()
    client.ok(f"{change('USER')} {site.options.user}")
    client.secret = True
    client.ok(f"{change('PASS')} {site.options.password}")
    client.secret = False
    client.ok(change("QUIT"))
    client.hang_up()


_UNKNOWN = {
    "unknown word": b"XYZZY",
    "empty line": b"",
    "blanks": b"   ",
    "number": b"1",
    "HTTP request": b"GET / HTTP/1.1",
    "SMTP command": b"EHLO example.org",
    "IMAP command": b"a1 LOGOUT",
    "answer": b"+OK",
    "dot": b".",
    "keyword with a letter too many": b"STATS",
    "keyword with a letter too few": b"STA",
    "keyword and colon": b"STAT:",
    "keyword and tabulator": b"LIST\t1",
    "LAST": b"LAST 1",
    "percent signs": b"%s%n%x%99999d",
}


@check_each(_UNKNOWN, "1939", "3", "unknown command ({}) before login gets one -ERR")
def unknown_before_login(site: Site, line: bytes) -> None:
    with site.connection() as client:
        client.refused(line)
        in_sync(client)


@check_each(_UNKNOWN, "1939", "3", "unknown command ({}) after login gets one -ERR")
def unknown_after_login(site: Site, line: bytes) -> None:
    with site.session() as client:
        client.refused(line)
        in_sync(client, logged_in=True)


def one_refusal_or_close(client: Client, octets: bytes, *, logged_in: bool) -> Reply | None:
    """Send what is no command; it gets one -ERR and the session stays in step, or the server hangs up."""
    try:
        client.send(octets)
        reply = client.status()
    except Closed:
        client.hang_up()
        return None
    expect(not reply.ok, f"accepted: {reply}")
    try:
        in_sync(client, logged_in=logged_in)
    except Closed:
        client.hang_up()
    return reply


_GARBAGE = {
    "NUL alone": b"\0",
    "NUL before the keyword": b"\0NOOP",
    "NUL in the keyword": b"NO\0OP",
    "NUL behind the keyword": b"NOOP\0",
    "NUL and an argument": b"RETR\x001",
    "control octets": bytes(range(1, 10)),
    "escape sequence": b"NOOP\x1b[2J",
    "DEL": b"NO\x7fOP",
    "octets over 127": bytes(range(128, 256)),
    "UTF-8": "ŻÓŁW 1".encode(),
    "TLS hello": b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03",
    "no-break space": b"RETR\xa01",
}


@check_each(_GARBAGE, "1939", "3", "a line with forbidden octets ({}) gets one -ERR before login")
def garbage_before_login(site: Site, octets: bytes) -> None:
    with site.connection() as client:
        one_refusal_or_close(client, octets + b"\r\n", logged_in=False)


@check_each(_GARBAGE, "1939", "3", "a line with forbidden octets ({}) gets one -ERR after login")
def garbage_after_login(site: Site, octets: bytes) -> None:
    with site.session() as client:
        one_refusal_or_close(client, octets + b"\r\n", logged_in=True)


@check("1939", "3", "a NUL does not end an argument: RETR 1 NUL 9 fetches nothing")
def nul_in_number(site: Site) -> None:
    with site.session() as client:
        one_refusal_or_close(client, b"RETR 1\x009\r\n", logged_in=True)


@check("2449", "4", "a command of 255 octets is read as one command")
def line_of_255(site: Site) -> None:
    with site.connection() as client:
        client.call(b"USER " + b"x" * 248)
        in_sync(client)


@check("1939", "3", "a command with an argument of 40 characters is read")
def argument_of_40(site: Site) -> None:
    with site.connection() as client:
        client.call(b"USER " + b"x" * 40)
        in_sync(client)


_LENGTHS = {f"{size} octets": size for size in (600, 1024, 4096, 8192, 16_384, 65_536, 300_000)}


@check_each(_LENGTHS, "2449", "4", "an overlong line ({}) gets one -ERR or the end, before login")
def overlong_before_login(site: Site, size: int) -> None:
    with site.connection() as client:
        one_refusal_or_close(client, b"x" * (size - 2) + b"\r\n", logged_in=False)


@check_each(_LENGTHS, "2449", "4", "an overlong line ({}) gets one -ERR or the end, after login")
def overlong_after_login(site: Site, size: int) -> None:
    with site.session() as client:
        one_refusal_or_close(client, b"x" * (size - 2) + b"\r\n", logged_in=True)


@check_each(_LENGTHS, "2449", "4", "what ends an overlong line ({}) is not taken for a command")
def smuggled(site: Site, size: int) -> None:
    with site.session() as client:
        client.send(b"x" * (size - 8) + b" QUIT\r\n")
        try:
            reply = client.status()
            expect(not reply.ok, f"accepted: {reply}")
            in_sync(client, logged_in=True)
        except Closed:
            client.hang_up()


@check("1939", "3", "a bare LF ends a line, or is refused, or waits; it never confuses", level=Level.CARE)
def bare_lf(site: Site) -> None:
    with site.session() as client:
        client.send(b"NOOP\n")
        if client.quiet(0.3):
            client.send(b"\r\n")
            client.status()
        else:
            client.status()
        in_sync(client, logged_in=True)


@check("1939", "3", "a bare CR does not end a line", level=Level.CARE)
def bare_cr(site: Site) -> None:
    with site.session() as client:
        client.send(b"NOOP\rNOOP\r")
        expect(client.quiet(0.2), "an answer to a line that has no end yet")
        client.send(b"\n")
        reply = client.status()
        expect(not reply.ok, f"two NOOPs in one line were accepted: {reply}")
        in_sync(client, logged_in=True)


@check("1939", "3", "what a client sent is not repeated in an answer", level=Level.CARE)
def no_echo(site: Site) -> None:
    with site.connection() as client:
        for line in (ECHO, f"RETR {ECHO}", f"USER {ECHO}", f"AUTH {ECHO}", f"CAPA {ECHO}"):
            reply = client.call(line) if not line.startswith("CAPA") else client.multi(line)
            expect(ECHO.lower().encode() not in reply.text.lower(), f"{line} is repeated in {reply}")
    with site.session() as client:
        for line in (ECHO, f"RETR {ECHO}", f"DELE {ECHO}", f"{ECHO} 1"):
            reply = client.call(line)
            expect(ECHO.lower().encode() not in reply.text.lower(), f"{line} is repeated in {reply}")


@check("1939", "3", "many mistakes end the session, or each is answered", level=Level.CARE)
def many_mistakes(site: Site) -> None:
    client = site.logged_in()
    for _ in range(100):
        try:
            reply = client.call("XYZZY")
        except Closed:
            break
        if reply.ok:
            raise Failed(f"accepted: {reply}")
    client.hang_up()
