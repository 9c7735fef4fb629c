"""The queue of logins that drivers hear of."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tpop3d_py.auth.onlogin import Herald, login_of, pack, unpack
from tpop3d_py.auth.plugin import LoggedIn
from tpop3d_py.contracts import Credentials, Decision, Identity, Mechanism, Peer, Verdict

PEER = Peer("192.0.2.7", 4711, "192.0.2.1", 110, "klient1.pl")
JAN = Identity("jan@klient1.pl", "directory", 8, 8, local_part="jan", domain="klient1.pl")
TOLD = LoggedIn("Jan", "jan", "klient1.pl", "192.0.2.7", "192.0.2.1", "directory")


@pytest.fixture
def herald() -> Iterator[Herald]:
    made = Herald()
    made.incoming.setblocking(False)
    yield made
    for end in made.everything():
        end.close()


def test_a_login_arrives_as_it_was_told(herald: Herald) -> None:
    herald.tell("Jan", PEER, JAN)
    assert unpack(herald.incoming.recv(4096)) == TOLD


def test_an_account_without_a_domain_has_the_listeners() -> None:
    assert login_of("root", PEER, Identity("root", "passwd", 8, 8)).local_part == "root"
    assert login_of("root", PEER, Identity("root", "passwd", 8, 8)).domain == "klient1.pl"


def test_names_of_any_octets_survive() -> None:
    login = LoggedIn("\udcff \n", "\u0105", "", "::1", "::1", "other")
    assert unpack(pack(login)) == login


@pytest.mark.parametrize("packet", [b"", b"a\0b", b"\0" * 6])
def test_damaged_packets(packet: bytes) -> None:
    with pytest.raises(ValueError, match="fields"):
        unpack(packet)


def test_nobody_waits_when_it_is_full_and_what_is_lost_is_counted(herald: Herald) -> None:
    for _ in range(20_000):
        herald.tell("Jan", PEER, JAN)
    kept = 0
    while kept < 20_000 and _next(herald):
        kept += 1
    assert kept >= 100
    assert kept + herald.lost == 20_000
    herald.tell("Jan", PEER, JAN)
    assert _next(herald)


def _next(herald: Herald) -> bool:
    try:
        return bool(herald.incoming.recv(4096))
    except BlockingIOError:
        return False


def test_losses_of_other_processes_count(herald: Herald) -> None:
    pid = os.fork()
    if not pid:
        herald.outgoing.close()
        herald.tell("Jan", PEER, JAN)
        os._exit(0)
    os.waitpid(pid, 0)
    assert herald.lost == 1


@pytest.mark.parametrize("verdict", [Verdict.GRANTED, Verdict.REFUSED])
def test_only_granted_logins_are_told_of(herald: Herald, verdict: Verdict) -> None:
    decision = Decision(verdict, JAN if verdict is Verdict.GRANTED else None, cached=True)
    credentials = Credentials(Mechanism.PASSWORD, "Jan", b"x", b"", PEER)
    assert herald.watching(lambda _: decision)(credentials) is decision
    assert _next(herald) is (verdict is Verdict.GRANTED)
