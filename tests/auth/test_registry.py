"""From settings to drivers: order, groups, patterns, and what drivers are told over their life."""

from __future__ import annotations

import grp
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tpop3d_py.auth import installed
from tpop3d_py.auth.names import Attempt, NameSettings
from tpop3d_py.auth.onlogin import login_of
from tpop3d_py.auth.plugin import LoggedIn, Plugin, Tools, enable_setting, mail_group_setting, mailbox_setting
from tpop3d_py.auth.registry import AuthSettings, NoDrivers, assemble_chain, own_account
from tpop3d_py.auth.tokens import TokenSettings
from tpop3d_py.contracts import Credentials, Decision, Identity, Mechanism, Peer, Verdict
from tpop3d_py.directory.engine import DirectorySettings
from tpop3d_py.log import Log
from tpop3d_py.maildrop.patterns import Pattern

LOG = Log("test", to_stderr=False)


@dataclass(frozen=True, slots=True)
class Settings:
    """Of a driver."""

    enable: bool = enable_setting("one", "On.")
    mailbox: tuple[Pattern, ...] = mailbox_setting("one")
    mail_group: str = mail_group_setting("one")


class Recorder:
    def __init__(self, name: str, tools: Tools, fails: bool) -> None:
        self.name = name
        self.tools = tools
        self.heard: list[str] = []
        self._fails = fails

    def check(self, attempt: Attempt, credentials: Credentials) -> Decision:
        return Decision(Verdict.NOT_MINE)

    def start(self) -> None:
        self._hear("start")

    def settle(self) -> None:
        self._hear("settle")

    def logged_in(self, login: LoggedIn) -> None:
        self._hear(login.user)

    def stop(self) -> None:
        self._hear("stop")

    def _hear(self, word: str) -> None:
        self.heard.append(word)
        if self._fails:
            raise ZeroDivisionError(word)


class Silent:
    name = "silent"

    def check(self, attempt: Attempt, credentials: Credentials) -> Decision:
        return Decision(Verdict.NOT_MINE)


def recorder(name: str, fails: bool = False) -> Plugin[Settings]:
    return Plugin(name, Settings, lambda _settings, tools: Recorder(name, tools, fails))


@pytest.fixture(autouse=True)
def drivers(monkeypatch: pytest.MonkeyPatch) -> None:
    silent = Plugin("silent", Settings, lambda _settings, _tools: Silent())
    plugins = (recorder("one", fails=True), silent, recorder("two"))
    monkeypatch.setattr(installed, "drivers", lambda: plugins)


Make = Callable[..., AuthSettings]


def settings(order: tuple[str, ...] = (), **drivers: Any) -> AuthSettings:
    return AuthSettings(NameSettings(), order, DirectorySettings(), TokenSettings(), False, drivers)


ON, OFF = Settings(enable=True), Settings()


def test_only_those_that_are_on_in_the_order_asked_for() -> None:
    made = assemble_chain(settings(("two", "one"), one=ON, silent=OFF, two=ON), LOG)
    assert [driver.name for driver in made.drivers] == ["two", "one"]


def test_nobody_to_ask() -> None:
    with pytest.raises(NoDrivers):
        assemble_chain(settings(one=OFF), LOG)


def test_the_patterns_and_groups_of_drivers() -> None:
    group = grp.getgrgid(os.getgid())
    pattern = Pattern.parse("maildir:/srv/$(user)")
    one = Settings(enable=True, mailbox=(pattern,), mail_group=group.gr_name)
    made = assemble_chain(settings(one=one, two=ON), LOG)
    assert made.mailboxes == {"one": (pattern,), "two": ()}
    assert made.groups == (group.gr_gid,)
    with pytest.raises(KeyError, match="no Unix group 'nosuchgroup'"):
        assemble_chain(settings(one=Settings(enable=True, mail_group="nosuchgroup")), LOG)


def test_drivers_are_told_what_they_want_to_hear_and_what_one_raises_hurts_no_other() -> None:
    made = assemble_chain(settings(one=ON, silent=ON, two=ON), LOG)
    made.start()
    made.settle()
    made.logged_in(LoggedIn("jan", "jan", "klient1.pl", "192.0.2.1", "192.0.2.2", "two"))
    made.stop()
    heard = [driver.heard for driver in made.drivers if isinstance(driver, Recorder)]
    assert heard == [["start", "settle", "jan", "stop"]] * 2


class Halved(Silent):
    notices = ("auth-silent: half of it is missing",)


def test_what_the_operator_should_hear(monkeypatch: pytest.MonkeyPatch) -> None:
    warns = Plugin("silent", Settings, lambda _settings, _tools: Halved())
    monkeypatch.setattr(installed, "drivers", lambda: (warns, recorder("two")))
    made = assemble_chain(settings(silent=ON, two=ON), LOG)
    assert made.notices == ("auth-silent: half of it is missing",)


class Grants(Recorder):
    def check(self, attempt: Attempt, credentials: Credentials) -> Decision:
        if credentials.secret != b"right":
            return Decision(Verdict.REFUSED)
        return Decision(Verdict.GRANTED, Identity("jan", self.name, 1, 1))


def test_checking_a_login_tells_nobody_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    grants = Plugin("grants", Settings, lambda _settings, tools: Grants("grants", tools, False))
    monkeypatch.setattr(installed, "drivers", lambda: (grants,))
    made = assemble_chain(settings(grants=ON), LOG)
    peer = Peer("192.0.2.1", 4000, "192.0.2.2", 110, "klient1.pl")
    driver = made.drivers[0]
    assert isinstance(driver, Grants)
    for secret, verdict in ((b"wrong", Verdict.REFUSED), (b"right", Verdict.GRANTED)):
        credentials = Credentials(Mechanism.PASSWORD, "Jan", secret, b"", peer)
        decision = made.decide(credentials)
        assert decision.verdict is verdict
    assert driver.heard == []
    assert not made.chores
    assert decision.identity is not None
    made.logged_in(login_of("Jan", peer, decision.identity))
    assert driver.heard == ["Jan"]


def test_all_mail_is_the_servers_own_unless_it_is_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert own_account() is None
    monkeypatch.setattr(os, "geteuid", lambda: 1)
    mine = own_account()
    assert mine is not None
    assert mine.uid == 1
