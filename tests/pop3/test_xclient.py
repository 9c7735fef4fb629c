"""XCLIENT from proxies, and what TLS tells of a client: both change the peer before a login."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pop3.fakes import PEER, STAMP, Shell
from tpop3d_py.contracts import Peer
from tpop3d_py.pop3 import Profile
from tpop3d_py.pop3.commands import Command
from tpop3d_py.pop3.xclient import introduced

PROXY = Profile(xclient=True)
WRONG_WORDS = b"-ERR " + PROXY.texts.wrong_words + b"\r\n"


def test_a_proxy_is_told_that_it_may() -> None:
    shell = Shell(profile=PROXY)
    assert bytes(shell.output) == b"+OK [XCLIENT] <" + STAMP + b"@klient1.pl>\r\n"
    assert b"\r\nXCLIENT\r\n" in shell.say(b"CAPA")
    shell.log_in()
    assert b"XCLIENT" not in shell.say(b"CAPA")


def test_nobody_else_is() -> None:
    shell = Shell()
    assert b"XCLIENT" not in bytes(shell.output) + shell.say(b"CAPA")
    assert shell.say(b"XCLIENT ADDR=192.0.2.7") == shell.say(b"NONSENSE")
    assert shell.login.introduced == []


@pytest.mark.parametrize(
    ("words", "peer"),
    [
        (b"ADDR=192.0.2.7 PORT=50123", Peer("192.0.2.7", 50123, *dataclasses.astuple(PEER)[2:])),
        (
            b"addr=2001:DB8:0::7 Port=1 DESTADDR=IPV6:2001:db8::1 DESTPORT=995 SESSION=a+b/c TTL=4 FORWARD=Z",
            Peer("2001:db8::7", 1, "2001:db8::1", 995, PEER.domain),
        ),
        (b"ADDR=::ffff:192.0.2.7", dataclasses.replace(PEER, client_host="192.0.2.7")),
        (b"SESSION=x", PEER),
        (b"PORT=65535 ", dataclasses.replace(PEER, client_port=65535)),
    ],
)
def test_who_the_client_is(words: bytes, peer: Peer) -> None:
    shell = Shell(profile=PROXY)
    assert shell.say(b"XCLIENT " + words) == b"+OK Updated\r\n"
    assert shell.login.introduced == [peer]
    shell.log_in()
    assert shell.login.asked[-1].peer == peer


@pytest.mark.parametrize(
    "words",
    [
        b"",
        b" ",
        b" ADDR",
        b" ADDR=",
        b" ADDR=localhost",
        b" ADDR=192.0.2",
        b" ADDR=192.0.2.7%eth0",
        b" ADDR=fe80::1%eth0",
        b" ADDR=[::1]",
        b" PORT=0",
        b" PORT=65536",
        b" PORT=-1",
        b" PORT=0110",
        b" PORT=1_0",
        b" ADDR=192.0.2.7  PORT=1",
        b" ADDR=192.0.2.7 =x",
        b" ADDR=192.0.2.7 nonsense",
    ],
)
def test_nonsense_changes_nothing(words: bytes) -> None:
    shell = Shell(profile=PROXY)
    assert shell.say(b"XCLIENT" + words) == WRONG_WORDS
    assert shell.login.introduced == []
    shell.log_in()
    assert shell.login.asked[-1].peer == PEER


def test_a_name_from_before_is_forgotten() -> None:
    shell = Shell(profile=PROXY)
    answers = shell.say(b"USER luser@klient1.pl", b"XCLIENT ADDR=192.0.2.7", b"PASS secret")
    assert answers.endswith(b"+OK Updated\r\n-ERR What's your name?\r\n")
    assert shell.session.user == ""


def test_it_can_be_said_again_but_not_after_a_login() -> None:
    shell = Shell(profile=PROXY)
    assert shell.say(b"XCLIENT ADDR=192.0.2.7", b"XCLIENT ADDR=192.0.2.8") == 2 * b"+OK Updated\r\n"
    shell.log_in()
    assert shell.say(b"XCLIENT ADDR=192.0.2.9").startswith(b"-ERR")
    assert [peer.client_host for peer in shell.login.introduced] == ["192.0.2.7", "192.0.2.8"]


def test_what_tls_tells_changes_the_domain_and_the_binding() -> None:
    shell = Shell(profile=Profile(mechanisms=(b"SCRAM-SHA-256-PLUS",)), secure=True)
    assert b"SASL" not in shell.say(b"CAPA")
    peer = dataclasses.replace(PEER, domain="klient2.pl")
    shell.session.introduce(peer, Profile(mechanisms=(b"SCRAM-SHA-256-PLUS",), binding=b"hash"))
    assert b"SASL SCRAM-SHA-256-PLUS\r\n" in shell.say(b"CAPA")
    shell.say(b"USER luser", b"PASS secret")
    assert shell.login.asked[-1].peer == peer


def test_after_a_login_nothing_changes_any_more() -> None:
    shell = Shell()
    shell.log_in()
    shell.session.introduce(dataclasses.replace(PEER, domain="klient2.pl"), PROXY)
    assert b"XCLIENT" not in shell.say(b"CAPA")


@given(st.binary(max_size=80))
def test_any_octets_give_an_answer(octets: bytes) -> None:
    assert isinstance(introduced(PEER, Command(b"XCLIENT", octets)), Peer | None)
