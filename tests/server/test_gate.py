"""Who waits for which answer."""

from __future__ import annotations

import time

from tpop3d_py.contracts import Credentials, Decision, Mechanism, Peer, Verdict
from tpop3d_py.log import Log
from tpop3d_py.server.authlink import PACKET, AuthLink, pack_answer, unpack_request
from tpop3d_py.server.gate import Gate

PEER = Peer("192.0.2.1", 1, "192.0.2.2", 110, "x.pl")
REFUSED = Decision(Verdict.REFUSED)


def credentials(user: str) -> Credentials:
    return Credentials(Mechanism.PASSWORD, user, b"p", b"", PEER)


def gate(link: AuthLink, timeout: float = 5.0) -> Gate[str]:
    return Gate(link.requests_out, link.answers_in[0], 0, timeout, Log("test", to_stderr=False))


def test_answers_find_their_waiters_in_any_order() -> None:
    link = AuthLink(1)
    door = gate(link)
    for name in "abc":
        door.submit(name, credentials(name))
    requests = [unpack_request(link.requests_in.recv(PACKET)) for _ in "abc"]
    assert [r.credentials.user for r in requests] == ["a", "b", "c"]
    for request in reversed(requests):
        link.answers_out[0].send(pack_answer(request.number, REFUSED))
    assert [door.take() for _ in "abc"] == [(name, REFUSED) for name in "cba"]
    assert door.take() is None


def test_an_answer_is_handed_out_once_and_strange_ones_never() -> None:
    link = AuthLink(1)
    door = gate(link)
    door.submit("a", credentials("a"))
    number = unpack_request(link.requests_in.recv(PACKET)).number
    for packet in (b"rubbish", pack_answer(number + 1, REFUSED), *[pack_answer(number, REFUSED)] * 2):
        link.answers_out[0].send(packet)
    assert [door.take() for _ in range(4)] == [None, None, ("a", REFUSED), None]


def test_who_waits_too_long_hears_unavailable_and_the_late_answer_is_nobodys() -> None:
    link = AuthLink(1)
    door = gate(link, timeout=10)
    door.submit("a", credentials("a"))
    assert list(door.expired(time.monotonic() + 9)) == []
    ((waiter, decision),) = door.expired(time.monotonic() + 11)
    assert (waiter, decision.verdict) == ("a", Verdict.UNAVAILABLE)
    number = unpack_request(link.requests_in.recv(PACKET)).number
    link.answers_out[0].send(pack_answer(number, REFUSED))
    assert door.take() is None


def test_more_requests_than_the_socket_holds_are_sent_later() -> None:
    link = AuthLink(1)
    door = gate(link)
    names = [str(n) for n in range(2000)]
    for name in names:
        door.submit(name, credentials(name))
    seen = []
    for _ in names:
        request = unpack_request(link.requests_in.recv(PACKET))
        seen.append(request.credentials.user)
        link.answers_out[0].send(pack_answer(request.number, REFUSED))
        assert door.take() == (request.credentials.user, REFUSED)
    assert seen == names


class Memory:
    """Knows one name, and notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Decision]] = []
        self.forgotten: list[str] = []

    def recall(self, credentials: Credentials) -> Decision | None:
        return REFUSED if credentials.user == "known" else None

    def learn(self, credentials: Credentials, decision: Decision, asked: float) -> None:
        self.told.append((credentials.user, decision))

    def forget(self, user: str) -> None:
        self.forgotten.append(user)


def test_what_the_memory_knows_is_not_asked_and_what_was_asked_is_told_to_it() -> None:
    link, memory = AuthLink(1), Memory()
    door: Gate[str] = Gate(
        link.requests_out, link.answers_in[0], 0, 5.0, Log("test", to_stderr=False), memory
    )
    assert door.submit("a", credentials("known")) is REFUSED
    assert door.submit("b", credentials("new")) is None
    request = unpack_request(link.requests_in.recv(PACKET))
    assert request.credentials.user == "new"
    link.answers_out[0].send(pack_answer(request.number, REFUSED))
    assert door.take() == ("b", REFUSED)
    assert memory.told == [("new", REFUSED)]
    door.forget("new")
    assert memory.forgotten == ["new"]


def test_what_came_too_late_is_not_told_to_the_memory() -> None:
    link, memory = AuthLink(1), Memory()
    door: Gate[str] = Gate(
        link.requests_out, link.answers_in[0], 0, 5.0, Log("test", to_stderr=False), memory
    )
    door.submit("a", credentials("a"))
    number = unpack_request(link.requests_in.recv(PACKET)).number
    assert len(list(door.expired(time.monotonic() + 6))) == 1
    link.answers_out[0].send(pack_answer(number, REFUSED))
    assert door.take() is None
    assert memory.told == []
