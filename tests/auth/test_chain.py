"""The chain: a refusal goes on, an unavailable driver stops, root is nobody."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from tpop3d_py.auth import passwords
from tpop3d_py.auth.chain import Chain
from tpop3d_py.auth.names import Attempt, NameSettings
from tpop3d_py.contracts import Credentials, Decision, Identity, Mechanism, Peer, Verdict
from tpop3d_py.log import Log

PEER = Peer("192.0.2.1", 4000, "192.0.2.2", 110, "klient1.pl")
JAN = Identity("jan@klient1.pl", "fake", 5000, 5000)
REFUSED, NOT_MINE = Decision(Verdict.REFUSED), Decision(Verdict.NOT_MINE)
UNAVAILABLE, GRANTED = Decision(Verdict.UNAVAILABLE, detail="down"), Decision(Verdict.GRANTED, JAN)


@dataclass
class Fake:
    answer: Decision | Exception
    name: str = "fake"
    asked: list[Attempt] = field(default_factory=list)

    def check(self, attempt: Attempt, credentials: Credentials) -> Decision:
        self.asked.append(attempt)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def decide(*drivers: Fake, user: str = "jan", names: NameSettings | None = None) -> Decision:
    chain = Chain(drivers, names or NameSettings(), Log("test", to_stderr=False))
    return chain.decide(Credentials(Mechanism.PASSWORD, user, b"secret", b"", PEER))


@pytest.fixture(autouse=True)
def burned(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    spent: list[bytes] = []
    monkeypatch.setattr(passwords, "burn_time", spent.append)
    return spent


def test_the_first_yes_wins() -> None:
    third = Fake(GRANTED)
    assert decide(Fake(REFUSED), Fake(GRANTED), third).identity == JAN
    assert not third.asked


@pytest.mark.parametrize("verdict", [Verdict.UNAVAILABLE, Verdict.FORBIDDEN])
def test_what_stops_the_search_and_is_not_a_refusal(verdict: Verdict) -> None:
    answer, last = Decision(verdict, detail="down"), Fake(GRANTED)
    assert decide(Fake(NOT_MINE), Fake(answer), last) == answer
    assert not last.asked


def test_a_driver_that_raises_is_unavailable() -> None:
    assert decide(Fake(ZeroDivisionError("x"))).verdict is Verdict.UNAVAILABLE


def test_every_driver_is_asked_about_every_reading() -> None:
    one, two = Fake(NOT_MINE), Fake(NOT_MINE)
    decide(one, two, names=NameSettings(append_domain=True))
    assert one.asked == two.asked
    assert [a.local_part for a in one.asked] == [None, "jan"]


def test_unknown_users_cost_time_and_wrong_passwords_do_not_cost_it_twice(burned: list[bytes]) -> None:
    assert decide(Fake(NOT_MINE)).detail == "unknown user"
    assert burned == [b"secret"]
    assert decide(Fake(REFUSED), Fake(NOT_MINE)).detail == "wrong password"
    assert burned == [b"secret"]


@pytest.mark.parametrize("user", ["", "a\nb", "a\x00b", "\udcff", "a\x7fb"])
def test_names_that_are_not_text_reach_no_driver(user: str, burned: list[bytes]) -> None:
    driver = Fake(GRANTED)
    assert decide(driver, user=user).verdict is Verdict.REFUSED
    assert not driver.asked
    assert burned


def test_an_empty_password_is_wrong_unless_it_is_permitted(burned: list[bytes]) -> None:
    login = Credentials(Mechanism.PASSWORD, "jan", b"", b"", PEER)
    for permitted, verdict in ((False, Verdict.REFUSED), (True, Verdict.GRANTED)):
        chain = Chain(
            [Fake(GRANTED)], NameSettings(), Log("test", to_stderr=False), empty_passwords=permitted
        )
        assert chain.decide(login).verdict is verdict
    assert burned == [b""]


def scram(chain: Chain, user: str, *said: bytes) -> Decision:
    return chain.decide(Credentials(Mechanism.SCRAM, user, b"", b"", PEER, said))


FIRST = b"n,,n=jan,r=abc"


@pytest.mark.parametrize("answer", [REFUSED, NOT_MINE])
def test_scram_begins_for_everybody_and_always_alike(answer: Decision) -> None:
    chain = Chain([Fake(answer)], NameSettings(append_domain=True), Log("test", to_stderr=False))
    messages = []
    for user in ("jan", "JAN", "jan@klient1.pl", "Jan!klient1.pl", "jan\n", "\udcff"):
        decision = scram(chain, user, FIRST)
        assert decision.verdict is Verdict.CONTINUE
        messages.append(decision.challenge)
    salts = [message.split(b",")[1] for message in messages]
    # All ways to write one name have one salt: the real account's has that, too.
    assert len(set(salts[:4])) == 1
    assert len(set(salts)) == 3


def test_a_real_answer_of_scram_is_passed_on() -> None:
    real = Decision(Verdict.CONTINUE, challenge=b"r=x,s=y,i=1")
    assert decide(Fake(NOT_MINE), Fake(real)) == real


def test_scram_fails_late_and_costs_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    spent: list[Credentials] = []
    monkeypatch.setattr("tpop3d_py.auth.scram.spend", spent.append)
    said = (FIRST, b"r=abcdef,s=c2FsdA==,i=4096", b"c=biws,r=abcdef,p=AAAA")
    chain = Chain([Fake(NOT_MINE)], NameSettings(), Log("test", to_stderr=False))
    assert scram(chain, "jan", *said).verdict is Verdict.REFUSED
    assert len(spent) == 1
    chain = Chain([Fake(REFUSED)], NameSettings(), Log("test", to_stderr=False))
    assert scram(chain, "jan", *said).verdict is Verdict.REFUSED
    assert len(spent) == 1


def test_scram_is_unavailable_when_the_directory_is() -> None:
    chain = Chain([Fake(UNAVAILABLE)], NameSettings(), Log("test", to_stderr=False))
    assert scram(chain, "jan", FIRST).verdict is Verdict.UNAVAILABLE


def test_uid_0_is_refused() -> None:
    root = Decision(Verdict.GRANTED, Identity("root", "fake", 0, 0))
    assert decide(Fake(root)).verdict is Verdict.REFUSED
