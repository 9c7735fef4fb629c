"""Lines of passwd and shadow, and what they mean."""

from __future__ import annotations

import pwd

import pytest

from tests.auth.kit import PEER, tools
from tests.maildrop.kit import Recorder
from tpop3d_py.auth.coprocess import HelperLost, Unanswered
from tpop3d_py.auth.drivers import passwd
from tpop3d_py.auth.drivers.passwd import Line, Passwd, read_line
from tpop3d_py.auth.names import Attempt
from tpop3d_py.auth.rootlink import Answer, RootLink
from tpop3d_py.contracts import Credentials, Decision, Mechanism, Verdict

#: Made by: openssl passwd -6 -salt abc haslo
CRYPT = "$6$abc$Ph7xEvzwm4jmLUAawcBglvr9pOB4ktntayCkgQ1TEAbPodgaJjoFNv2iGX3PDY3lDddrTlOYd60VyoEcpj36M/"
TODAY = 20000


@pytest.mark.parametrize(
    ("changed", "most", "expires", "problem"),
    [
        (19000, 99999, -1, ""),
        (19000, -1, -1, ""),
        (-1, -1, -1, ""),
        (-1, 10, -1, ""),
        (19990, 10, -1, ""),
        (19989, 10, -1, "the password has expired"),
        (19999, 0, -1, "the password has expired"),
        (20000, 0, -1, ""),
        (20005, 0, -1, ""),  # a clock was wrong
        (0, 99999, -1, "the password must be changed"),
        (0, -1, -1, "the password must be changed"),
        (19000, 99999, 20001, ""),
        (19000, 99999, 20000, "the account has expired"),
        (19000, 99999, 1, "the account has expired"),
        (19000, 99999, 0, "the account has expired"),
        (0, 10, 5, "the account has expired"),
    ],
)
def test_days(changed: int, most: int, expires: int, problem: str) -> None:
    assert read_line(f"{changed}:{most}:{expires}:{CRYPT}", TODAY) == Line(CRYPT, problem)


@pytest.mark.parametrize("stored", ["", "!", "*", "!!", "!*", f"!{CRYPT}", "*LK*"])
def test_marks_of_locked_accounts(stored: str) -> None:
    assert read_line(f"19000:99999:-1:{stored}", TODAY) == Line("")


class Shadow(RootLink):
    def __init__(self, said: str | Exception) -> None:
        super().__init__("shadow", "", lambda: 1)
        self.said = said
        self.asked: list[str] = []

    def ask(self, name: str, password: bytes | None = None, address: str = "") -> Answer:
        self.asked.append(name)
        if isinstance(self.said, Exception):
            raise self.said
        return Answer(0, 0, name if self.said else "", self.said)


def entry(name: str, uid: int = 4000, stored: str = "x") -> pwd.struct_passwd:
    return pwd.struct_passwd((name, stored, uid, 4001, "", f"/home/{name}", "/bin/sh"))


@pytest.fixture(autouse=True)
def users(monkeypatch: pytest.MonkeyPatch) -> dict[str, pwd.struct_passwd]:
    known = {
        "jan": entry("jan"),
        "JAN": entry("jan"),
        "old": entry("old", stored=CRYPT),
        "open": entry("open", stored=""),
        "root": entry("root", 0),
        "toor": entry("toor", 0),
    }
    monkeypatch.setattr(pwd, "getpwnam", known.__getitem__)
    return known


def login(
    link: Shadow, user: str, password: str = "haslo", log: Recorder | None = None, **how: object
) -> Decision:
    attempt = Attempt(user, None, "klient1.pl")
    if domain := how.get("domain"):
        attempt = Attempt(f"{user}@{domain}", user, str(domain))
    mechanism = how.get("mechanism", Mechanism.PASSWORD)
    assert isinstance(mechanism, Mechanism)
    credentials = Credentials(mechanism, attempt.user, password.encode(), b"", PEER)
    return Passwd(link, None, tools(log)).check(attempt, credentials)


GOOD = f"19000:99999:-1:{CRYPT}"


@pytest.mark.parametrize("name", ["jan", "JAN", "old"])
def test_who_gets_in_and_whose_mail_he_reads(name: str) -> None:
    link = Shadow(GOOD)
    decision = login(link, name)
    assert decision.verdict is Verdict.GRANTED
    who = decision.identity
    assert who is not None
    assert (who.user, who.uid, who.gid, who.home) == (
        name.lower(),
        4000,
        4001,
        f"/home/{name.lower()}",
    )
    assert (who.local_part, who.domain, who.mailbox) == ("", "klient1.pl", "")
    assert login(link, name, "Haslo").verdict is Verdict.REFUSED
    assert link.asked == ([] if name == "old" else ["jan", "jan"])


@pytest.mark.parametrize("name", ["root", "toor", "nobody"])
def test_whom_nobody_asks_about(name: str) -> None:
    link = Shadow(GOOD)
    assert login(link, name).verdict is Verdict.NOT_MINE
    assert login(link, "jan", domain="klient1.pl").verdict is Verdict.NOT_MINE
    for mechanism in (Mechanism.APOP, Mechanism.SCRAM, Mechanism.SCRAM_PLUS):
        assert login(link, "jan", mechanism=mechanism).verdict is Verdict.NOT_MINE
    assert link.asked == []


def test_an_account_without_a_password_lets_nobody_in() -> None:
    for password in ("", "x"):
        assert login(Shadow(GOOD), "open", password).verdict is Verdict.REFUSED
        assert login(Shadow("19000:99999:-1:"), "jan", password).verdict is Verdict.REFUSED
        assert login(Shadow(""), "jan", password).verdict is Verdict.REFUSED


def test_an_expired_account_is_told_of_in_the_log_only_to_who_knows_the_password() -> None:
    log = Recorder()
    link = Shadow(f"19000:99999:1:{CRYPT}")
    assert login(link, "jan", "Haslo", log).verdict is Verdict.REFUSED
    assert log.lines == []
    assert login(link, "jan", log=log).verdict is Verdict.REFUSED
    assert log.lines == ["auth-passwd: `jan': the account has expired"]
    assert login(link, "jan", mechanism=Mechanism.BEARER).verdict is Verdict.REFUSED


def test_a_bearer_only_has_to_exist() -> None:
    assert login(Shadow(GOOD), "jan", "token", mechanism=Mechanism.BEARER).verdict is Verdict.GRANTED


def test_what_cannot_be_read_is_no_wrong_password(monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[int] = []
    monkeypatch.setattr(passwd.signal, "raise_signal", raised.append)  # type: ignore[attr-defined]
    assert login(Shadow(Unanswered("it hangs")), "jan").verdict is Verdict.UNAVAILABLE
    assert raised == []
    assert login(Shadow(HelperLost("it is gone")), "jan").verdict is Verdict.UNAVAILABLE
    assert len(raised) == 1
    strange = login(Shadow("19000:99999:-1:$99$x$y"), "jan")
    assert strange.verdict is Verdict.UNAVAILABLE
    assert "x$y" not in strange.detail
