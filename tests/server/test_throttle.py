"""Who has to wait, who is refused, and who is spared."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tpop3d_py.contracts import Credentials, Mechanism, Peer, Verdict
from tpop3d_py.log import Log
from tpop3d_py.server.networks import NETWORKS
from tpop3d_py.server.throttle import Memory, Step, Throttle, ThrottleSettings

HERE, THERE = "192.0.2.7", "198.51.100.9"


class Lines(Log):
    """A log that keeps its lines."""

    def __init__(self) -> None:
        super().__init__("test", to_stderr=False)
        self.lines: list[str] = []

    def warning(self, text: str, *_: object) -> None:
        self.lines.append(text)


class Scene:
    """A throttle with a clock of its own."""

    def __init__(self, **settings: Any) -> None:
        self.now = 1000.0
        self.log = Lines()
        # A fixed key: with others some passwords fall together now and then, which is no fault.
        self.memory = Memory(key=b"k" * 32)
        group = ThrottleSettings(**settings)
        self.throttle = Throttle(group, self.memory, self.log, lambda: self.now)

    def login(self, user: str = "luser", password: bytes = b"x", host: str = HERE) -> Credentials:
        peer = Peer(host, 4711, "192.0.2.1", 110, "klient1.pl")
        return Credentials(Mechanism.PASSWORD, user, password, b"", peer)

    def wrong(self, count: int, user: str = "luser", host: str = HERE) -> None:
        for n in range(count):
            self.throttle.learn(self.login(user, b"guess %d" % n, host), Verdict.REFUSED)

    def wrong_users(self, count: int, host: str = HERE) -> None:
        for n in range(count):
            self.wrong(1, f"user{n}", host)

    def step(self, user: str = "luser", host: str = HERE) -> Step:
        return self.throttle.judge(self.login(user, b"right", host))


def test_nobody_waits_who_has_done_nothing() -> None:
    assert Scene().step() == (0.0, False)


def test_the_same_wrong_password_counts_once() -> None:
    scene = Scene()
    for _ in range(1000):
        scene.wrong(1)
    assert scene.step() == (0.0, False)
    assert scene.log.lines == []


def test_different_ones_wait_longer_and_longer_and_are_refused_last() -> None:
    scene = Scene()
    steps = []
    for n in range(1, 200):
        scene.throttle.learn(scene.login(password=b"%d" % n), Verdict.REFUSED)
        if scene.step() not in steps:
            steps.append(scene.step())
    assert steps == [(0.0, False), (2.0, False), (4.0, False), (8.0, False), (15.0, False), (15.0, True)]


def test_five_are_free() -> None:
    scene = Scene(passwords=5)
    scene.wrong(5)
    assert scene.step().delay == 0.0


def test_another_network_is_not_affected() -> None:
    scene = Scene()
    scene.wrong(300)
    assert scene.step().refused
    assert scene.step(host=THERE) == (0.0, False)
    assert scene.step("other") == (0.0, False)  # nor is another user, by one user's wrong passwords


def test_many_users_count_against_their_network_as_a_whole() -> None:
    scene = Scene(users=10)
    scene.wrong_users(14)
    assert scene.step("newcomer").delay == 2.0
    scene.wrong_users(500)
    assert scene.step("newcomer").refused
    assert scene.step("newcomer", THERE) == (0.0, False)


def test_where_a_user_has_logged_in_lately_he_is_spared_and_nobody_else() -> None:
    scene = Scene()
    scene.throttle.learn(scene.login(), Verdict.GRANTED)
    scene.wrong(300)
    scene.wrong_users(500)
    assert scene.step() == (0.0, False)
    assert scene.step("other").refused
    scene.now += 1_209_601
    scene.wrong(300)
    assert scene.step().refused


def test_a_right_password_clears_what_its_user_did_and_not_the_network() -> None:
    scene = Scene(known=0)
    scene.wrong(20)
    scene.wrong_users(40)
    scene.throttle.learn(scene.login(), Verdict.GRANTED)
    scene.now += 1
    assert scene.step().delay  # or an own account would make guessing free
    fresh = Scene(known=0)
    fresh.wrong(20)
    fresh.throttle.learn(fresh.login(), Verdict.GRANTED)
    fresh.now += 1
    assert fresh.step() == (0.0, False)


@pytest.mark.parametrize("verdict", [Verdict.UNAVAILABLE, Verdict.CONTINUE, Verdict.FORBIDDEN])
def test_what_was_not_decided_counts_for_nothing(verdict: Verdict) -> None:
    scene = Scene()
    for n in range(300):
        scene.throttle.learn(scene.login(password=b"%d" % n), verdict)
    assert scene.step() == (0.0, False)


def test_all_is_forgiven_after_a_while() -> None:
    scene = Scene(seconds=900)
    scene.wrong(300)
    scene.now += 899
    assert scene.step().refused
    scene.now += 2
    assert scene.step() == (0.0, False)


def test_a_network_of_ipv6_is_64_bits() -> None:
    scene = Scene()
    for n in range(300):
        login = scene.login(password=b"%d" % n, host=f"2001:db8::{n:x}")
        scene.throttle.learn(login, Verdict.REFUSED)
    assert scene.step(host="2001:db8::ffff:1").refused
    assert scene.step(host="2001:db8:0:1::1") == (0.0, False)


def test_what_is_no_address_is_a_network_of_its_own() -> None:
    scene = Scene()
    scene.wrong(300, host="somewhere")
    assert scene.step(host="somewhere").refused
    assert scene.step(host="elsewhere") == (0.0, False)


def test_an_ipv4_address_inside_ipv6_is_the_same_network() -> None:
    scene = Scene()
    scene.wrong(300, host=f"::ffff:{HERE}")
    assert scene.step().refused


def test_a_network_of_many_addresses() -> None:
    scene = Scene(ipv4=24)
    scene.wrong(300, host="192.0.2.200")
    assert scene.step().refused


def test_in_a_shared_network_nobody_is_refused_and_only_the_attacked_user_waits() -> None:
    scene = Scene(shared=NETWORKS.parse(HERE))
    scene.wrong(300)
    scene.wrong_users(500)
    assert scene.step() == (15.0, False)
    assert scene.step("newcomer") == (0.0, False)
    assert not any("refused" in line for line in scene.log.lines)


def test_loopback_is_shared_unless_configured() -> None:
    scene = Scene()
    scene.wrong_users(500, "127.0.0.1")
    scene.wrong_users(500, "::1")
    assert scene.step(host="127.0.0.1") == scene.step(host="::1") == (0.0, False)


def test_upper_case_and_the_default_domain_are_no_other_user() -> None:
    scene = Scene()
    for n, name in enumerate(("luser", "LUSER", "luser@klient1.pl", "Luser@Klient1.PL") * 60):
        scene.throttle.learn(scene.login(name, b"%d" % n), Verdict.REFUSED)
    assert scene.step().refused
    assert scene.step("luser@klient2.pl") == (0.0, False)


def test_digests_count_as_different_ones() -> None:
    scene = Scene()
    for n in range(300):
        login = dataclasses.replace(
            scene.login(password=b"0" * 32), mechanism=Mechanism.APOP, timestamp=b"<%d@x>" % n
        )
        scene.throttle.learn(login, Verdict.REFUSED)
    assert scene.step().refused


def test_one_line_for_each_step_with_the_address_before_the_name() -> None:
    scene = Scene()
    scene.wrong(300, "lu'ser 203.0.113.5")
    assert len(scene.log.lines) == 10
    first, *_, last = scene.log.lines
    head = "throttle: client 192.0.2.7: network 192.0.2.7/32: about "
    assert first.startswith(f"{head}6 different wrong passwords; logins as `")
    assert first.endswith("from there wait 2 s")
    assert last.endswith("from there are refused")
    assert "lu'ser" not in first
    assert " 203.0.113.5" not in first


def test_names_of_octets_that_are_no_text_do_no_harm() -> None:
    scene = Scene()
    scene.wrong(20, "\udcff")
    assert scene.step("\udcff").delay


@pytest.mark.parametrize("whom", [HERE, f"{HERE}/32", "luser@klient1.pl", "Luser@klient1.pl"])
def test_forgiving(whom: str) -> None:
    scene = Scene()
    scene.wrong(300)
    assert scene.throttle.forgive("198.51.100.1") == scene.throttle.forgive("nobody@klient1.pl") == 0
    assert scene.throttle.forgive(whom) >= 1
    assert scene.step() == (0.0, False)


def test_what_is_stored_tells_no_password_without_the_key() -> None:
    one, two = Scene(), Scene()
    two.memory = Memory()
    two.throttle = Throttle(ThrottleSettings(), two.memory, two.log, lambda: two.now)
    assert one.memory.hash(b"x") != two.memory.hash(b"x")
    assert Memory().key != Memory().key
