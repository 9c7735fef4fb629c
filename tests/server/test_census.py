"""Healthy and ready: what is missing is said, and nothing is said that is not known."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from tpop3d_py.contracts import Credentials, Decision, Mechanism, Verdict
from tpop3d_py.log import Log
from tpop3d_py.server import census as module
from tpop3d_py.server.authlink import PACKET, AuthLink, pack_answer, unpack_request
from tpop3d_py.server.census import Census, Part, asking
from tpop3d_py.server.gate import Gate
from tpop3d_py.server.slots import Slots
from tpop3d_py.server.tally import Layout, Tally, note_answer

EXPECTED = {Part.WORKER: 2, Part.AUTHENTICATOR: 1}


class Scene:
    """Two workers and an authenticator of the second reading."""

    def __init__(self, slots: Slots) -> None:
        self.slots = [slots.take() for _ in range(4)]
        self.tally = Tally(Layout(), 8)
        self.probes: list[str] = []
        self.says = ""
        for number, part in enumerate((Part.WORKER, Part.WORKER, Part.AUTHENTICATOR)):
            self.tally.settle(number, 100 + number, part, 2)
        self.census = Census(self.tally, 2, EXPECTED, self.slots, self.probe)

    def probe(self) -> str:
        self.probes.append(self.says)
        return self.says


@pytest.fixture
def scene() -> Iterator[Scene]:
    slots = Slots()
    yield Scene(slots)
    for slot in slots.living():
        slots.release(slot)


def test_all_are_there(scene: Scene) -> None:
    assert scene.census.ailment() == ""
    assert scene.census.count() == {("worker", False): 2, ("authenticator", False): 1}


def test_one_is_missing(scene: Scene) -> None:
    scene.tally.bury(1)
    assert scene.census.ailment() == "1 of 2 worker processes are running"
    assert scene.census.obstacle() == "1 of 2 worker processes are running"
    assert scene.probes == []


def test_those_of_settings_from_before_do_not_stand_in_for_it(scene: Scene) -> None:
    scene.tally.settle(1, 101, Part.WORKER, 1)
    assert scene.census.ailment() == "1 of 2 worker processes are running"
    assert scene.census.count()["worker", True] == 1


def test_one_shows_no_sign_of_life(scene: Scene) -> None:
    scene.slots[1].beats[1] -= 11_000
    assert scene.census.ailment() == "worker process 101 shows no sign of life"


def test_an_answer_of_a_moment_ago_proves_that_the_directory_answers(scene: Scene) -> None:
    scene.says = "away"
    note_answer(scene.tally.row(2))
    assert scene.census.obstacle() == ""
    assert scene.probes == []


def test_an_older_one_does_not(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    note_answer(scene.tally.row(2))
    monkeypatch.setattr(module, "FRESH", -1.0)
    scene.says = "away"
    assert scene.census.obstacle() == "away"


def test_however_many_ask_the_directory_is_asked_once_in_a_while(scene: Scene) -> None:
    scene.says = "away"
    assert {scene.census.obstacle() for _ in range(50)} == {"away"}
    assert scene.probes == ["away"]


# --- the probe -------------------------------------------------------------


def probe(
    decide: Callable[[Credentials], Decision | None], timeout: float = 5.0
) -> tuple[str, list[Credentials]]:
    """Run the probe against a made-up authentication process; return its verdict and what that was asked."""
    link = AuthLink(2)
    asked: list[Credentials] = []

    def answer() -> None:
        request = unpack_request(link.requests_in.recv(PACKET))
        asked.append(request.credentials)
        decision = decide(request.credentials)
        if decision is not None:
            link.answers_out[request.worker].send(pack_answer(request.number, decision))

    thread = threading.Thread(target=answer)
    thread.start()
    gate: Gate[str] = Gate(link.requests_out, link.answers_in[1], 1, timeout, Log("t", to_stderr=False))
    found = asking(gate, timeout, "klient1.pl")()
    thread.join()
    return found, asked


@pytest.mark.parametrize(
    ("decision", "says"),
    [
        (Decision(Verdict.REFUSED), ""),
        (Decision(Verdict.UNAVAILABLE), "the directory cannot be asked"),
        (None, "logins are not answered in time"),
    ],
)
def test_what_an_answer_means(decision: Decision | None, says: str) -> None:
    found, _ = probe(lambda _: decision, 0.2 if decision is None else 5.0)
    assert found == says


def test_nobody_has_the_name_that_is_asked_for() -> None:
    names = set()
    for _ in range(3):
        _, (credentials,) = probe(lambda _: Decision(Verdict.REFUSED))
        assert credentials.mechanism is Mechanism.PASSWORD
        assert credentials.user.endswith("@klient1.pl")
        names.add(credentials.user)
    assert len(names) == 3
