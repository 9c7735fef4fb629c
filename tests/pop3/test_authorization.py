"""STLS and SASL, as far as conversations cannot tell."""

from __future__ import annotations

import base64

import pytest

from tests.pop3.fakes import PASSWORD, PEER, Shell
from tpop3d_py.contracts import Credentials, Mechanism
from tpop3d_py.pop3 import Ending, Expected, Profile, Then, encode
from tpop3d_py.pop3.sasl import RESPONSE_LIMIT

# --- TLS -----------------------------------------------------------------------------


STLS = Profile(stls=True)


@pytest.mark.parametrize(
    "injected",
    [
        b"USER luser@klient1.pl\r\n",
        b"USER lus",
        b"\r\n",
        b"x" * 5000,
        b"APOP",
        b"AUTH PLAIN\r\n" * 50,
        b"\0\xff",
    ],
)
def test_nothing_behind_stls_is_obeyed(injected: bytes) -> None:
    shell = Shell(profile=STLS)
    assert shell.feed([b"STLS\r\n" + injected]) == b"+OK Begin TLS negotiation\r\n"
    assert shell.say(b"NOOP") == b"-ERR Not now. First log in.\r\n"
    assert shell.say(b"PASS " + PASSWORD) == b"-ERR What's your name?\r\n"
    assert shell.session.user == ""
    assert shell.login.asked == []


def test_an_overlong_line_behind_stls_does_not_swallow_the_first_one_inside() -> None:
    shell = Shell(profile=STLS)
    shell.feed([b"STLS\r\n", b"x" * 600])
    shell = Shell(profile=STLS)
    shell.feed([b"x" * 600 + b"\r\nSTLS\r\n" + b"y" * 600])
    assert shell.say(b"NOOP") == b"-ERR Not now. First log in.\r\n"


def test_mistakes_from_before_stls_stay_counted() -> None:
    shell = Shell(profile=Profile(stls=True, command_errors=3))
    shell.say(b"BOGUS", b"BOGUS", b"STLS")
    shell.say(b"BOGUS")
    assert shell.session.ending is Ending.ERRORS


def test_a_challenge_does_not_survive_stls() -> None:
    shell = Shell(profile=STLS)
    shell.say(b"AUTH PLAIN")
    # STLS is not a response: it ends the exchange and is itself not obeyed.
    assert shell.say(b"STLS") == b"-ERR Is that supposed to be an answer?\r\n"
    assert shell.say(b"STLS") == b"+OK Begin TLS negotiation\r\n"
    assert shell.session.expected is Expected.LOGIN


def test_tls_cannot_start_twice_nor_after_a_login() -> None:
    inside = Shell()
    inside.log_in()
    for shell in (Shell(secure=True), inside, Shell(profile=STLS)):
        shell.say(b"STLS")
        with pytest.raises(RuntimeError, match="TLS"):
            shell.session.tls_started()


# --- SASL ------------------------------------------------------------------------------


def test_what_the_login_port_gets_of_sasl() -> None:
    profile = Profile(mechanisms=(b"SCRAM-SHA-256-PLUS", b"PLAIN", b"LOGIN"), token_check=True, binding=b"\5")
    shell = Shell(profile=profile, secure=True)
    first = b"p=tls-server-end-point,,n=user,r=abc"
    shell.say(b"AUTH SCRAM-SHA-256-PLUS " + base64.b64encode(first), b"*")
    shell.say(b"AUTH XOAUTH2 " + base64.b64encode(b"user=jan\1auth=bearer a.b-c~d+e/f==\1\1"), b"*")
    shell.say(b"AUTH OAUTHBEARER " + base64.b64encode(b"n,a=j=2Cn=3D,\1auth=Bearer t\1\1"), b"*")
    assert shell.login.asked == [
        Credentials(Mechanism.SCRAM_PLUS, "user", b"", b"", PEER, (first,), b"\5"),
        Credentials(Mechanism.BEARER, "jan", b"a.b-c~d+e/f==", b"", PEER),
        Credentials(Mechanism.BEARER, "j,n=", b"t", b"", PEER),
    ]


def test_a_refusal_that_is_not_about_the_token_is_told_at_once() -> None:
    shell = Shell(profile=Profile(token_check=True), secure=True)
    answer = shell.say(b"AUTH XOAUTH2 " + base64.b64encode(b"user=down\1auth=Bearer x\1\1"))
    assert answer.startswith(b"-ERR [SYS/TEMP] ")
    assert shell.session.expected is Expected.LOGIN


def test_a_refusal_cannot_be_dodged_by_a_line_that_is_too_long() -> None:
    shell = Shell(profile=Profile(token_check=True), secure=True)
    for _ in range(3):
        shell.say(b"AUTH XOAUTH2 " + base64.b64encode(b"user=x\1auth=Bearer x\1\1"))
        assert shell.session.expected is Expected.RESPONSE
        assert shell.replies[-1].delay == 3.0
        assert shell.say(b"A" * RESPONSE_LIMIT).startswith(b"-ERR [AUTH] ")
    assert shell.session.ending is Ending.REFUSED


def test_a_response_that_is_too_long_ends_the_exchange() -> None:
    shell = Shell(profile=Profile(token_check=True), secure=True)
    shell.say(b"AUTH XOAUTH2")
    assert shell.session.expected is Expected.RESPONSE
    assert shell.say(b"A" * RESPONSE_LIMIT) == b"-ERR That line was too long for me.\r\n"
    assert shell.say(b"NOOP") == b"-ERR Not now. First log in.\r\n"


def test_a_hundred_thousand_aborted_exchanges_leave_nothing() -> None:
    shell = Shell(profile=Profile(command_errors=10**9))
    for _ in range(1000):
        shell.feed([b"AUTH PLAIN\r\n*\r\n" * 100])
        shell.output.clear()
        shell.replies.clear()
    assert shell.lines.pending == 0
    assert shell.session.expected is Expected.LOGIN
    assert shell.login.asked == []


def test_one_answer_for_an_unknown_user_and_a_wrong_password() -> None:
    answers = set()
    for user in (b"luser@klient1.pl", b"nobody@klient1.pl", b"\xff", b"x" * 400):
        for login in (
            [b"USER " + user, b"PASS wrong"],
            [b"AUTH PLAIN " + base64.b64encode(b"\0" + user + b"\0wrong")],
            [b"APOP " + user + b" " + b"0" * 32],
        ):
            shell = Shell()
            shell.say(*login)
            answers.add((encode(shell.replies[-1]), shell.replies[-1].delay, shell.replies[-1].then))
    assert answers == {(b"-ERR [AUTH] Lies! Try again!\r\n", 3.0, Then.CONTINUE)}
