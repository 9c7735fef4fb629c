"""The accounts of separated mode."""

from __future__ import annotations

import os
import pwd

import pytest

from tpop3d_py.server.privileges import PrivilegeError
from tpop3d_py.server.separation import SeparationSettings, cast_of
from tpop3d_py.settings import declarations

UIDS = {"root": 0, "toor": 0, "vmail": 105, "net": 106, "auth": 107, "mailtoo": 105}


@pytest.fixture(autouse=True)
def accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str) -> pwd.struct_passwd:
        return pwd.struct_passwd((name, "x", UIDS[name], UIDS[name], "", "/", "/bin/false"))

    monkeypatch.setattr(pwd, "getpwnam", find)


def test_three_accounts_and_two() -> None:
    cast = cast_of(SeparationSettings(net_user="net", auth_user="auth"), "vmail")
    assert (cast.net.pw_name, cast.auth.pw_name, cast.mail.pw_name) == ("net", "auth", "vmail")
    assert cast_of(SeparationSettings(net_user="net"), "vmail").auth.pw_name == "vmail"


@pytest.mark.parametrize(
    ("net", "auth", "mail", "words"),
    [
        ("vmail", "auth", "vmail", "net-user: vmail also reads mail"),
        ("mailtoo", "auth", "vmail", "net-user: mailtoo also reads mail"),
        ("auth", "auth", "vmail", "net-user: auth also reads mail or checks passwords"),
        ("net", "root", "vmail", "auth-user: must not be root"),
        ("toor", "auth", "vmail", "net-user: must not be root"),
        ("net", "auth", "root", "run-as: must not be root"),
        ("nosuch", "auth", "vmail", "net-user: there is no Unix account 'nosuch'"),
        ("net", "nosuch", "vmail", "auth-user: there is no Unix account 'nosuch'"),
    ],
)
def test_accounts_that_would_separate_nothing(net: str, auth: str, mail: str, words: str) -> None:
    with pytest.raises(PrivilegeError, match=words):
        cast_of(SeparationSettings(net_user=net, auth_user=auth), mail)


def test_without_root_there_is_nothing_to_separate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert not SeparationSettings(enable=True).wanted
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert SeparationSettings(enable=True).wanted
    assert not SeparationSettings().wanted


@pytest.mark.parametrize("word", ["/", "//", "relative", "/ok /"])
def test_folders_that_bound_nothing(word: str) -> None:
    (kind,) = (d.kind for d in declarations(SeparationSettings) if d.name == "mail-folders")
    with pytest.raises(ValueError, match=r"must be|no bound"):
        kind.parse(word)
    assert kind.parse("/srv/mail /home") == ("/srv/mail", "/home")
