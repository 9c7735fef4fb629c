"""Unix accounts and groups by name and number, and how long they are remembered."""

from __future__ import annotations

import grp
import pwd
import time

import pytest

from tpop3d_py.auth.accounts import Account, Accounts, Owner

DAEMON = pwd.getpwnam("daemon")
MAIL = grp.getgrnam("mail")


@pytest.mark.parametrize("name", ["daemon", str(DAEMON.pw_uid)])
def test_an_account(name: str) -> None:
    assert Accounts().find(name) == Account(DAEMON.pw_uid, DAEMON.pw_gid, DAEMON.pw_dir)


@pytest.mark.parametrize("name", ["mail", str(MAIL.gr_gid)])
def test_a_group(name: str) -> None:
    assert Accounts().group(name) == MAIL.gr_gid


@pytest.mark.parametrize(
    "name", ["nosuchname", "", "-1", "4294967295", "9" * 30, "9" * 5000, "\u0661", "1 ", "a\0b"]
)
def test_what_does_not_exist(name: str) -> None:
    with pytest.raises(KeyError, match="there is no Unix account"):
        Accounts().find(name)
    with pytest.raises(KeyError, match="there is no Unix group"):
        Accounts().group(name)


def test_they_are_remembered_for_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def look_up(name: str) -> pwd.struct_passwd:
        asked.append(name)
        return DAEMON

    now = time.monotonic()
    monkeypatch.setattr(pwd, "getpwnam", look_up)
    monkeypatch.setattr(time, "monotonic", lambda: now)
    known = Accounts()
    for _ in range(3):
        known.find("daemon")
    assert asked == ["daemon"]
    now += 61
    known.find("daemon")
    assert asked == ["daemon"] * 2


def test_who_decides_about_the_group() -> None:
    mine = Account(1234, 1235, "/home/me")
    known = Accounts()
    assert Owner(known).of("daemon").gid == DAEMON.pw_gid
    assert Owner(known).of("daemon", "mail").gid == MAIL.gr_gid
    assert Owner(known, group=77).of("daemon", "mail").gid == 77
    assert Owner(known, fixed=mine).of("nosuchuser", "nosuchgroup") == mine
    assert Owner(known, fixed=mine, group=77).of("x") == Account(1234, 77, "/home/me")
