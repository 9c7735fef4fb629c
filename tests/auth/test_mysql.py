"""The directives of auth-mysql, and the database they name."""

from __future__ import annotations

import pytest

from tpop3d_py.auth.drivers.mysql import SERVER, MysqlSettings
from tpop3d_py.directory import engine


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("db.example.net", "mysql+pymysql://vmail@db.example.net/virtualemail"),
        ("127.0.0.1:3307", "mysql+pymysql://vmail@127.0.0.1:3307/virtualemail"),
        ("[::1]:3307", "mysql+pymysql://vmail@[::1]:3307/virtualemail"),
        ("localhost:3306", "mysql+pymysql://vmail@localhost:3306/virtualemail"),
        ("/run/x.sock", "mysql+pymysql://vmail@/virtualemail?unix_socket=%2Frun%2Fx.sock"),
    ],
)
def test_the_server(text: str, url: str) -> None:
    settings = MysqlSettings(hostname=SERVER.parse(text), database="virtualemail", username="vmail")
    assert str(settings.url()) == url
    assert str(settings.hostname) == text.replace("[::1]", "::1")


def test_localhost_is_the_socket_if_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    url = MysqlSettings(database="virtualemail", username="vmail").url()
    monkeypatch.setattr(engine, "_SOCKET", "/dev/null")
    assert engine.engine_for(url).url.query == {"unix_socket": "/dev/null"}
    monkeypatch.setattr(engine, "_SOCKET", "/nonexistent")
    assert engine.engine_for(url).url.query == {}


def test_the_password_is_octets() -> None:
    assert MysqlSettings(password="zażółć").password_octets() == "zażółć".encode()


@pytest.mark.parametrize("text", ["a b", "host:99999", "host:", "a/b", "host:port"])
def test_servers_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be|several hosts"):
        SERVER.parse(text)


def test_what_is_required_when_it_is_on() -> None:
    assert [name for name, _ in MysqlSettings(enable=True).conflicts()] == [
        "auth-mysql-database",
        "auth-mysql-username",
    ]
    assert list(MysqlSettings().conflicts()) == []
