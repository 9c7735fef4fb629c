"""What the login cache remembers, of whom, for how long, and what it must never mix up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tpop3d_py.auth.cache import CacheSettings, LoginCache
from tpop3d_py.contracts import Credentials, Decision, Identity, Mechanism, Peer, Verdict

PEER = Peer("192.0.2.1", 4000, "192.0.2.2", 110, "klient1.pl")
JAN = Credentials(Mechanism.PASSWORD, "jan@klient1.pl", b"sekret", b"", PEER)
IDENTITY = Identity("jan@klient1.pl", "directory", 500, 500, "/m/klient1.pl/jan/", "", "jan", "klient1.pl")
GRANTED = Decision(Verdict.GRANTED, IDENTITY)
REFUSED = Decision(Verdict.REFUSED, detail="wrong password")


class Clock:
    """Seconds that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def make(clock: Clock, **settings: object) -> LoginCache:
    return LoginCache(CacheSettings(**settings), clock)  # type: ignore[arg-type]


def learn(cache: LoginCache, clock: Clock, credentials: Credentials, decision: Decision) -> None:
    asked, clock.now = clock.now, clock.now + 0.25
    cache.learn(credentials, decision, asked)


def verdict(cache: LoginCache, credentials: Credentials) -> Verdict | None:
    known = cache.recall(credentials)
    return None if known is None else known.verdict


def test_a_known_login_gets_the_very_identity_that_the_driver_gave(clock: Clock) -> None:
    """The ancestor renamed the driver, and found another mailbox by that name."""
    cache = make(clock)
    assert cache.recall(JAN) is None
    learn(cache, clock, JAN, GRANTED)
    known = cache.recall(JAN)
    assert known is not None
    assert known.identity is IDENTITY
    assert known == replace(GRANTED, cached=True)


def test_a_login_is_remembered_from_its_check_on_and_no_longer(clock: Clock) -> None:
    cache = make(clock, lifetime=60)
    learn(cache, clock, JAN, GRANTED)
    for _ in range(3):
        clock.now += 19.9
        assert verdict(cache, JAN) is Verdict.GRANTED, "coming often must not make it live longer"
    clock.now += 0.4
    assert cache.recall(JAN) is None
    assert len(cache) == 0


OTHERS = {
    "another password": replace(JAN, secret=b"Sekret"),
    "no password": replace(JAN, secret=b""),
    "another name": replace(JAN, user="jana@klient1.pl"),
    "another domain": replace(JAN, peer=replace(PEER, domain="klient2.pl")),
    "another server address": replace(JAN, peer=replace(PEER, server_host="192.0.2.3")),
    "a border that moved": replace(JAN, user="jan@klient1.p", peer=replace(PEER, domain="lklient1.pl")),
    "octets that are no text": replace(JAN, user="jan@klient1.pl\udcff"),
}


@pytest.mark.parametrize("decision", [GRANTED, REFUSED])
@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS.keys())
def test_nobody_gets_the_answer_to_another_login(
    clock: Clock, other: Credentials, decision: Decision
) -> None:
    cache = make(clock)
    learn(cache, clock, JAN, decision)
    assert cache.recall(other) is None
    learn(cache, clock, other, decision)
    assert len(cache) == 2


def test_the_client_counts_only_where_that_is_asked_for(clock: Clock) -> None:
    elsewhere = replace(JAN, peer=replace(PEER, client_host="198.51.100.7"))
    another_port = replace(JAN, peer=replace(PEER, client_port=4001))
    for with_client in (False, True):
        cache = make(clock, use_client_host=with_client)
        learn(cache, clock, JAN, GRANTED)
        assert (cache.recall(elsewhere) is None) is with_client
        assert cache.recall(another_port) is not None


def test_a_wrong_password_is_known_for_a_few_seconds_and_a_right_one_meanwhile_checked(clock: Clock) -> None:
    cache = make(clock)
    wrong = replace(JAN, secret=b"secret")
    learn(cache, clock, wrong, REFUSED)
    clock.now += 4.5
    assert verdict(cache, wrong) is Verdict.REFUSED
    assert cache.recall(JAN) is None
    clock.now += 0.6
    assert cache.recall(wrong) is None


@pytest.mark.parametrize("undecided", [Verdict.UNAVAILABLE, Verdict.CONTINUE, Verdict.NOT_MINE])
def test_what_was_not_decided_is_not_kept(clock: Clock, undecided: Verdict) -> None:
    cache = make(clock)
    learn(cache, clock, JAN, Decision(undecided))
    assert cache.recall(JAN) is None
    assert len(cache) == 0


@pytest.mark.parametrize("mechanism", [m for m in Mechanism if m is not Mechanism.PASSWORD])
def test_only_passwords_are_kept(clock: Clock, mechanism: Mechanism) -> None:
    """A digest of APOP is good for one greeting, a proof of SCRAM for one exchange, a token is not ours."""
    cache = make(clock)
    other = replace(JAN, mechanism=mechanism)
    learn(cache, clock, other, GRANTED)
    assert len(cache) == 0
    learn(cache, clock, JAN, GRANTED)
    assert cache.recall(other) is None


def test_the_least_recently_used_login_goes_first(clock: Clock) -> None:
    cache = make(clock, entries=100)
    users = [replace(JAN, user=f"u{n}") for n in range(101)]
    for user in users[:100]:
        learn(cache, clock, user, GRANTED)
    assert cache.recall(users[0]) is not None
    learn(cache, clock, users[100], GRANTED)
    assert cache.recall(users[1]) is None
    assert all(cache.recall(user) is not None for user in (users[0], *users[2:]))


def test_wrong_passwords_do_not_push_out_who_is_known(clock: Clock) -> None:
    cache = make(clock, entries=100)
    learn(cache, clock, JAN, GRANTED)
    for n in range(1000):
        learn(cache, clock, replace(JAN, secret=b"%d" % n), REFUSED)
    assert verdict(cache, JAN) is Verdict.GRANTED
    assert len(cache) == 11


def test_an_account_is_forgotten_in_all_spellings_and_no_other_is(clock: Clock) -> None:
    cache = make(clock)
    spellings = [replace(JAN, user=name) for name in ("jan@klient1.pl", "JAN@klient1.pl", "jan%klient1.pl")]
    ola = replace(JAN, user="ola@klient1.pl")
    for spelling in spellings:
        learn(cache, clock, spelling, GRANTED)
    learn(cache, clock, ola, Decision(Verdict.GRANTED, replace(IDENTITY, user="ola@klient1.pl")))
    learn(cache, clock, replace(JAN, secret=b"nowe"), REFUSED)
    cache.forget("Jan@Klient1.pl")
    assert [cache.recall(spelling) for spelling in spellings] == [None] * 3
    assert cache.recall(replace(JAN, secret=b"nowe")) is None, "it may be the right one now"
    assert cache.recall(ola) is not None


def test_a_check_that_forgetting_overtook_is_not_remembered(clock: Clock) -> None:
    cache = make(clock)
    asked = clock.now
    clock.now += 1
    cache.forget("jan@klient1.pl")
    clock.now += 1
    cache.learn(JAN, GRANTED, asked)
    assert cache.recall(JAN) is None
    cache.learn(JAN, GRANTED, clock.now)
    assert cache.recall(JAN) is not None


def test_two_processes_have_two_keys_and_neither_holds_a_password(clock: Clock) -> None:
    one, other = make(clock), make(clock)
    learn(one, clock, JAN, GRANTED)
    learn(other, clock, JAN, GRANTED)
    assert one._hash(JAN) != other._hash(JAN)
    assert "sekret" not in repr(vars(one._right))
