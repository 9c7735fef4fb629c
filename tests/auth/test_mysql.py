"""The directives of auth-mysql and auth-pgsql, and the databases they name."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from tpop3d_py.auth.drivers import sqlserver
from tpop3d_py.auth.drivers.mysql import MysqlSettings
from tpop3d_py.auth.drivers.pgsql import PgsqlSettings, _options
from tpop3d_py.auth.drivers.sqlserver import SERVERS, Tls, tls_context
from tpop3d_py.auth.plugin import DriverError
from tpop3d_py.directory import dialects


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("db.example.net", ["mysql+pymysql://vmail@db.example.net/virtualemail"]),
        ("127.0.0.1:3307", ["mysql+pymysql://vmail@127.0.0.1:3307/virtualemail"]),
        ("[::1]:3307", ["mysql+pymysql://vmail@[::1]:3307/virtualemail"]),
        ("localhost:3306", ["mysql+pymysql://vmail@localhost:3306/virtualemail"]),
        ("/run/x.sock", ["mysql+pymysql://vmail@/virtualemail?unix_socket=%2Frun%2Fx.sock"]),
        ("one two:1", ["mysql+pymysql://vmail@one/virtualemail", "mysql+pymysql://vmail@two:1/virtualemail"]),
    ],
)
def test_the_servers(text: str, urls: list[str]) -> None:
    settings = MysqlSettings(hostname=SERVERS.parse(text), database="virtualemail", username="vmail")
    assert list(map(str, settings.urls())) == urls
    assert SERVERS.show(settings.hostname) == text


def test_localhost_is_the_socket_if_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    [url] = MysqlSettings(database="virtualemail", username="vmail").urls()
    monkeypatch.setattr(dialects, "_SOCKET", "/dev/null")
    assert dialects.engine_for(url).url.query == {"unix_socket": "/dev/null"}
    monkeypatch.setattr(dialects, "_SOCKET", "/nonexistent")
    assert dialects.engine_for(url).url.query == {}


@pytest.mark.parametrize("text", ["a a", "host:99999", "host:", "a/b", "host:port", ""])
def test_servers_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="must"):
        SERVERS.parse(text)


@pytest.mark.parametrize(("group", "name"), [(MysqlSettings, "mysql"), (PgsqlSettings, "pgsql")])
def test_what_is_required_when_it_is_on(group: type[MysqlSettings | PgsqlSettings], name: str) -> None:
    assert [directive for directive, _ in group(enable=True).conflicts()] == [
        f"auth-{name}-database",
        f"auth-{name}-username",
    ]
    assert list(group().conflicts()) == []
    lonely = group(enable=True, database="x", username="x", tls_key="/etc/key")
    assert [directive for directive, _ in lonely.conflicts()] == [f"auth-{name}-tls-key-file"]


def test_tls_is_verified_unless_somebody_says_no(tmp_path: Path) -> None:
    assert tls_context("mysql", Tls()) is None
    strict, lax = tls_context("mysql", Tls(on=True)), tls_context("mysql", Tls(on=True, verify=False))
    assert strict is not None
    assert lax is not None
    assert (strict.check_hostname, strict.verify_mode) == (True, ssl.CERT_REQUIRED)
    assert (lax.check_hostname, lax.verify_mode) == (False, ssl.CERT_NONE)
    (tmp_path / "x.pem").write_text("nothing")
    for tls in (Tls(on=True, ca=str(tmp_path / "x.pem")), Tls(on=True, cert=str(tmp_path / "gone.pem"))):
        with pytest.raises(DriverError, match="auth-mysql-tls: a certificate or key cannot be used"):
            tls_context("mysql", tls)


def test_the_same_in_the_words_of_postgresql() -> None:
    assert _options(Tls()) == {"sslmode": "disable"}
    assert _options(Tls(on=True)) == {"sslmode": "verify-full", "sslrootcert": "system"}
    assert _options(Tls(on=True, verify=False, cert="/c")) == {
        "sslmode": "require",
        "sslcert": "/c",
        "sslkey": "/c",
    }
    assert _options(Tls(on=True, ca="/ca", cert="/c", key="/k")) == {
        "sslmode": "verify-full",
        "sslrootcert": "/ca",
        "sslcert": "/c",
        "sslkey": "/k",
    }


def test_no_directive_shows_a_password() -> None:
    from tpop3d_py.settings import declarations

    for group in (MysqlSettings, PgsqlSettings):
        assert [d.field for d in declarations(group) if d.secret] == ["password"]
    assert "$(user)" in sqlserver.PASS_QUERY
