"""The login cache of an authentication process in separated mode."""

from __future__ import annotations

from tpop3d_py.auth.cache import CacheSettings, LoginCache
from tpop3d_py.contracts import Credentials, Decision, Identity, Mechanism, Peer, Verdict
from tpop3d_py.server.remembering import Oblivion, Remembering

PEER = Peer("127.0.0.1", 1, "127.0.0.1", 110, "klient1.pl")
LUSER = Credentials(Mechanism.PASSWORD, "luser", b"haslo", b"", PEER)


class Checks:
    """Counts, and grants or refuses."""

    def __init__(self, verdict: Verdict = Verdict.GRANTED) -> None:
        self.count = 0
        self.verdict = verdict

    def __call__(self, credentials: Credentials) -> Decision:
        self.count += 1
        identity = Identity(credentials.user, "fake", 1, 1) if self.verdict is Verdict.GRANTED else None
        return Decision(self.verdict, identity)


def remembering(checks: Checks, oblivion: Oblivion) -> Remembering:
    return Remembering(checks, lambda: LoginCache(CacheSettings(enable=True)), oblivion)


def test_a_login_is_checked_once() -> None:
    checks = Checks()
    decide = remembering(checks, Oblivion())
    first, second = decide(LUSER), decide(LUSER)
    assert (first.identity, first.cached, second.identity, second.cached) == (
        *(Identity("luser", "fake", 1, 1), False),
        *(Identity("luser", "fake", 1, 1), True),
    )
    assert checks.count == 1


def test_all_processes_forget() -> None:
    oblivion, checks = Oblivion(), Checks()
    processes = [remembering(checks, oblivion) for _ in range(2)]
    for decide in processes * 2:
        decide(LUSER)
    oblivion.ask()
    for decide in processes * 2:
        decide(LUSER)
    assert checks.count == 4


def test_what_is_forgotten_while_it_is_checked_is_not_learnt() -> None:
    oblivion, checks = Oblivion(), Checks()

    def check(credentials: Credentials) -> Decision:
        oblivion.ask()
        return checks(credentials)

    decide = Remembering(check, lambda: LoginCache(CacheSettings(enable=True)), oblivion)
    assert not decide(LUSER).cached
    assert not decide(LUSER).cached


def test_what_could_not_be_checked_is_asked_again() -> None:
    checks = Checks(Verdict.UNAVAILABLE)
    decide = remembering(checks, Oblivion())
    decide(LUSER)
    checks.verdict = Verdict.GRANTED
    assert decide(LUSER).verdict is Verdict.GRANTED
