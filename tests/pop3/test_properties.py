"""Any octets give a reply and never an exception, and every reply is one a strict client can read."""

from __future__ import annotations

import base64

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.pop3.client import read_answer, read_line
from tests.pop3.fakes import MESSAGES, PASSWORD, FakeMaildrop, Shell
from tpop3d_py.contracts import MaildropError, Reason
from tpop3d_py.pop3 import POLISH, POLITE, Profile

#: Part of what clients send; no text of the server's contains it.
MARK = b"qXzW7"

VERBS = [
    b"USER", b"PASS", b"APOP", b"CAPA", b"STLS", b"STAT", b"LIST", b"UIDL", b"RETR", b"TOP", b"DELE", b"RSET",
    b"NOOP", b"LAST", b"XTND", b"AUTH", b"UTF8", b"LANG", b"noop", b"rEtR", MARK, b"",
]  # fmt: skip
WORDS = [
    b"0", b"1", b"2", b"3", b"4", b"-1", b"+1", b"01", b"4294967297", b"9" * 30, b"%s", b"%d",
    b"{0.__class__}", b"$(user)", b"luser@klient1.pl", b"down", b"a" * 32, MARK * 6 + b"ab", MARK,
    b"\x00", b"\xff", b"\r", b"\t", b"",
    b"PLAIN", b"LOGIN", b"pl", b"en", b"i-default", b"SCRAM-SHA-256", b"XOAUTH2", b"OAUTHBEARER",
    b"biwsbj11c2VyLHI9ck9wck5HZndFYmVSV2diTkVrcU8=", b"bixhPWEsAWF1dGg9QmVhcmVyIHgBAQ==",
    b"*", b"=", b"AGx1c2VyQGtsaWVudDEucGwAaGFzbG9fbHVzZXJh",
]  # fmt: skip

PROFILES = [
    Profile(command_errors=15),
    Profile(
        command_errors=15,
        stls=True,
        token_check=True,
        texts=POLISH,
        binding=b"\5",
        mechanisms=(b"SCRAM-SHA-256-PLUS", b"SCRAM-SHA-256", b"PLAIN", b"LOGIN"),
        permit_empty_password=True,
    ),
    Profile(command_errors=15, stls=True, apop_only=True, texts=POLITE),
    Profile(command_errors=15, stls=True, password_tls_only=True, token_check=True),
]

commands = st.builds(
    lambda verb, words, blank: blank.join([verb, *words]),
    st.sampled_from(VERBS),
    st.lists(st.sampled_from(WORDS) | st.binary(max_size=6), max_size=3),
    st.sampled_from([b" ", b" ", b" ", b"  ", b"\t", b":"]),
)
logins = st.just(b"USER luser@klient1.pl\r\nPASS " + PASSWORD)
lines = st.lists(
    commands
    | logins
    | st.binary(max_size=40)
    | st.just(MARK * 120)
    | st.sampled_from([b"QUIT", b"RETR 1", b"LIST"]),
    max_size=25,
)


def strict_reading(shell: Shell) -> None:
    """Take everything that was sent apart; each reply must be one answer, and nothing must be left."""
    octets = bytes(shell.output)
    at = 0
    for reply in shell.replies:
        if reply.challenge:
            line, at = read_line(octets, at)
            assert line.startswith(b"+ ")
            base64.b64decode(line[2:], validate=True)
        elif reply.text:
            answer, at = read_answer(
                octets, at, multi_line=reply.listing is not None or reply.body is not None
            )
            assert answer.ok is reply.ok
    assert at == len(octets)


@settings(max_examples=300, deadline=None)
@given(
    lines,
    st.sampled_from(sorted(MESSAGES)),
    st.booleans(),
    st.integers(1, 600),
    st.sampled_from(PROFILES),
    st.booleans(),
)
def test_any_lines_in_any_order(
    said: list[bytes], messages: str, healthy: bool, chunk: int, profile: Profile, secure: bool
) -> None:
    maildrop = FakeMaildrop(MESSAGES[messages])
    if not healthy:
        maildrop.gone, maildrop.unreadable = {0}, {1}
        maildrop.commit_error = MaildropError(Reason.UNAVAILABLE, MARK.decode())
    shell = Shell(maildrop, profile, secure)
    octets = b"".join(line + b"\r\n" for line in said)
    shell.feed(octets[at : at + chunk] for at in range(0, len(octets), chunk))
    logged_in = shell.session.logged_in
    strict_reading(shell)
    assert MARK not in shell.output
    shell.session.connection_lost()
    assert bool(maildrop.closed) is logged_in
    assert all(body.closed for body in maildrop.bodies)
    assert len(maildrop.commits) <= 1


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=700), max_size=8))
def test_any_octets(pieces: list[bytes]) -> None:
    shell = Shell()
    shell.feed(pieces)
    strict_reading(shell)
    shell.session.connection_lost()
    assert not shell.maildrop.closed
