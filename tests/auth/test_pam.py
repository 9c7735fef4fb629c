"""What PAM's answers mean, and whose mail those are who are no Unix users."""

from __future__ import annotations

import pwd
import signal

import pytest

from tests.auth.kit import PEER, tools
from tests.maildrop.kit import Recorder
from tpop3d_py.auth.accounts import Account
from tpop3d_py.auth.coprocess import HelperLost, Unanswered
from tpop3d_py.auth.drivers import pam
from tpop3d_py.auth.drivers.pam import Pam, PamSettings, make
from tpop3d_py.auth.names import Attempt
from tpop3d_py.auth.rootlink import Answer, RootLink, TooLong
from tpop3d_py.auth.rootside import ACCOUNT, AUTHENTICATION
from tpop3d_py.contracts import Credentials, Decision, Mechanism, Verdict

GENERIC = Account(5000, 5001, "/var/vmail")
YES = Answer(ACCOUNT, 0, "jan", "Success")


class Stack(RootLink):
    def __init__(self, said: Answer | Exception = YES) -> None:
        super().__init__("pam", "x", lambda: 1)
        self.said = said
        self.asked: list[tuple[str, bytes | None, str]] = []

    def ask(self, name: str, password: bytes | None = None, address: str = "") -> Answer:
        self.asked.append((name, password, address))
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


@pytest.fixture(autouse=True)
def users(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {
        name: pwd.struct_passwd((name, "x", uid, uid + 1, "", f"/home/{name}", "/bin/sh"))
        for name, uid in (("jan", 4000), ("ola", 4002), ("root", 0))
    }
    monkeypatch.setattr(pwd, "getpwnam", known.__getitem__)


def login(
    stack: Stack,
    user: str = "jan",
    *,
    generic: Account | None = None,
    group: int | None = None,
    log: Recorder | None = None,
    mechanism: Mechanism = Mechanism.PASSWORD,
) -> Decision:
    credentials = Credentials(mechanism, user, b"haslo", b"", PEER)
    driver = Pam(stack, generic, group, log or Recorder())
    return driver.check(Attempt(user, None, "klient1.pl"), credentials)


def test_what_pam_is_asked_and_whose_mail_it_is() -> None:
    stack = Stack()
    decision = login(stack)
    assert stack.asked == [("jan", b"haslo", "192.0.2.1")]
    who = decision.identity
    assert who is not None
    assert (who.user, who.uid, who.gid, who.home, who.domain) == (
        "jan",
        4000,
        4001,
        "/home/jan",
        "klient1.pl",
    )
    who = login(Stack(), group=8).identity
    assert who is not None
    assert who.gid == 8


def test_modules_may_take_a_client_for_another() -> None:
    who = login(Stack(Answer(ACCOUNT, 0, "ola", "Success"))).identity
    assert who is not None
    assert (who.user, who.uid) == ("ola", 4002)
    for name in ("root", "nobody", "", "a\nb"):
        for generic in (None, GENERIC):
            decision = login(Stack(Answer(ACCOUNT, 0, name, "Success")), generic=generic)
            granted = generic is not None and name == "nobody"
            assert decision.verdict is (Verdict.GRANTED if granted else Verdict.REFUSED)


@pytest.mark.parametrize(
    ("phase", "result", "verdict"),
    [
        (AUTHENTICATION, 7, Verdict.REFUSED),
        (AUTHENTICATION, 6, Verdict.REFUSED),
        (AUTHENTICATION, 10, Verdict.NOT_MINE),
        (AUTHENTICATION, 11, Verdict.REFUSED),
        (ACCOUNT, 10, Verdict.REFUSED),
        (ACCOUNT, 12, Verdict.REFUSED),
        (ACCOUNT, 13, Verdict.REFUSED),
        (AUTHENTICATION, 9, Verdict.UNAVAILABLE),
        (AUTHENTICATION, 4, Verdict.UNAVAILABLE),
        (ACCOUNT, 26, Verdict.UNAVAILABLE),
        (AUTHENTICATION, 28, Verdict.UNAVAILABLE),
        (AUTHENTICATION, 19, Verdict.UNAVAILABLE),
        (AUTHENTICATION, -1, Verdict.UNAVAILABLE),
        (AUTHENTICATION, 99, Verdict.UNAVAILABLE),
    ],
)
def test_what_results_mean(phase: int, result: int, verdict: Verdict) -> None:
    log = Recorder()
    assert login(Stack(Answer(phase, result, "jan", "Something")), log=log).verdict is verdict
    told = verdict is Verdict.UNAVAILABLE or phase == ACCOUNT
    assert [f"Something ({result})" in line for line in log.lines] == [True] * told


def test_names_that_are_no_unix_users() -> None:
    for name in ("virtual", "root"):
        assert login(stack := Stack(), name).verdict is Verdict.NOT_MINE
        assert stack.asked == []
    assert login(stack := Stack(), "root", generic=GENERIC).verdict is Verdict.NOT_MINE
    assert stack.asked == []
    who = login(Stack(Answer(ACCOUNT, 0, "virtual", "")), "virtual", generic=GENERIC).identity
    assert who is not None
    assert (who.user, who.uid, who.gid, who.home) == ("virtual", 5000, 5001, "/var/vmail")


def test_what_is_not_for_pam() -> None:
    stack = Stack()
    for mechanism in (Mechanism.APOP, Mechanism.SCRAM, Mechanism.SCRAM_PLUS):
        assert login(stack, mechanism=mechanism).verdict is Verdict.NOT_MINE
    credentials = Credentials(Mechanism.PASSWORD, "jan@klient1.pl", b"haslo", b"", PEER)
    named = Attempt("jan@klient1.pl", "jan", "klient1.pl")
    assert Pam(stack, GENERIC, None, Recorder()).check(named, credentials).verdict is Verdict.NOT_MINE
    assert stack.asked == []


def test_a_bearer_is_asked_about_without_a_password() -> None:
    stack = Stack()
    assert login(stack, mechanism=Mechanism.BEARER).verdict is Verdict.GRANTED
    assert stack.asked == [("jan", None, "192.0.2.1")]


def test_what_pam_cannot_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[int] = []
    monkeypatch.setattr(signal, "raise_signal", raised.append)
    assert login(Stack(Unanswered("it did not answer in time"))).verdict is Verdict.UNAVAILABLE
    assert raised == []
    assert login(Stack(HelperLost("gone"))).verdict is Verdict.UNAVAILABLE
    assert raised == [signal.SIGTERM]
    assert login(Stack(TooLong("the password is too long"))).verdict is Verdict.REFUSED


@pytest.mark.parametrize("text", ["", "../x", "/etc/pam.d/x", "a b", ".x", "a\0b"])
def test_services_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="name of a PAM service"):
        pam._service(text)


def test_a_service_without_a_file_is_told_of() -> None:
    made = make(PamSettings(True, "tpop3d-no-such-service"), tools())
    assert isinstance(made, Pam)
    assert made.notices[0].startswith("auth-pam-facility: there is no /etc/pam.d/tpop3d-no-such-service")
    known = make(PamSettings(True, "other"), tools())
    assert isinstance(known, Pam)
    assert known.notices == ()
