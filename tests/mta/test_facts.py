"""Facts about the database: what is read from the URL, and what Exim cannot be told."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy.engine import URL, make_url

from tpop3d_py.directory.engine import DirectorySettings
from tpop3d_py.directory.errors import DirectoryUnavailable
from tpop3d_py.mta.facts import MysqlServer, NotExpressible, SqliteFile, database, database_of


def with_password(password: str) -> URL:
    return make_url("mysql+pymysql://vmail@db.example.org/virtualemail").set(password=password)


@pytest.mark.parametrize(
    ("url", "facts"),
    [
        (
            "mysql+pymysql://vmail:sekret@db.example.org:3307/virtualemail",
            MysqlServer("db.example.org", 3307, "", "virtualemail", "vmail", "sekret"),
        ),
        # As PyMySQL would, by TCP.
        ("mysql+pymysql://vmail@localhost/v", MysqlServer("127.0.0.1", 3306, "", "v", "vmail", "")),
        ("mariadb://vmail@10.0.0.1/v?charset=utf8mb4", MysqlServer("10.0.0.1", 3306, "", "v", "vmail", "")),
        (
            "mysql://vmail@/v?unix_socket=/run/mysqld/mysqld.sock",
            MysqlServer("127.0.0.1", 3306, "/run/mysqld/mysqld.sock", "v", "vmail", ""),
        ),
        ("mysql://v%40x:a%3Ab%20c@h/v", MysqlServer("h", 3306, "", "v", "v@x", "a:b c")),
        ("sqlite:////var/lib/vmail/vmail.db", SqliteFile("/var/lib/vmail/vmail.db")),
    ],
)
def test_reads_url(url: str, facts: MysqlServer | SqliteFile) -> None:
    assert database_of(make_url(url)) == facts


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql+psycopg://vmail@h/v", "no Exim file is made for postgresql"),
        ("mysql://vmail@[::1]/v", "IPv6 address ::1"),
        ("mysql://vmail@a(b/v", "host name"),
        ("mysql://vmail@h/", "the database's name is missing"),
        ("mysql://h/v", "the database account is missing"),
        ("mysql://vmail@h/a%2Fb", "the database's name contains '/'"),
        ("mysql://v%2Fm@h/v", "the database account contains '/'"),
        ("mysql://vmail@/v?unix_socket=run/my.sock", "absolute path"),
        ("mysql://vmail@/v?unix_socket=/run/a(b)", "without brackets"),
        ("mysql://vmail@/v?unix_socket=/run/a%0Ab", "control character"),
        ("sqlite:///relative.db", "absolute path"),
        ("sqlite://", "absolute path"),
        ("sqlite:////a%0Ab", "control character"),
    ],
)
def test_refuses_what_exim_cannot_express(url: str, reason: str) -> None:
    with pytest.raises(NotExpressible, match=r"^[^\n]*$") as refusal:
        database_of(make_url(url) if "%0A" not in url else _with_newline(url))
    assert reason in str(refusal.value)


def _with_newline(url: str) -> URL:
    """Put a line end where the text says %0A, whatever the URL parser decodes."""
    parsed = make_url(url)
    if parsed.database and "%0A" in parsed.database:
        return parsed.set(database=parsed.database.replace("%0A", "\n"))
    return parsed


@pytest.mark.parametrize(
    "password",
    ["qq/zz", "/qqzz", " qqzz", "qqzz ", "\tqqzz", "qqzz\n", "qq\nzz", "qq\rzz", "qq\x00zz", "qqzz\x7f"],
)
def test_refuses_password_without_showing_it(password: str) -> None:
    with pytest.raises(NotExpressible) as refusal:
        database_of(with_password(password))
    text = str(refusal.value)
    assert text.startswith("the database password ")
    assert "Exim" in text
    assert text.isprintable()
    assert "qq" not in text
    assert "zz" not in text


@pytest.mark.parametrize(
    "password", ["", "a:b", "a b", "\\", '"', "'", "$x", "${x}", "#", ";", ",", "[](){}<>", "ż"]
)
def test_takes_other_passwords(password: str) -> None:
    facts = database_of(with_password(password))
    assert isinstance(facts, MysqlServer)
    assert facts.password == password


def test_password_comes_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_bytes("zażółć:1\nsecond line\n".encode())
    file.chmod(0o600)
    facts = database(DirectorySettings("mysql+pymysql://vmail@h/v", str(file)))
    assert isinstance(facts, MysqlServer)
    assert facts.password == "zażółć:1"


def test_password_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_bytes(b"\xff\xfe\n")
    file.chmod(0o600)
    with pytest.raises(NotExpressible, match="not UTF-8"):
        database(DirectorySettings("mysql+pymysql://vmail@h/v", str(file)))


def test_password_file_open_to_everybody_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("sekret\n")
    file.chmod(0o644)
    with pytest.raises(DirectoryUnavailable, match="chmod"):
        database(DirectorySettings("mysql+pymysql://vmail@h/v", str(file)))


def test_no_database_at_all() -> None:
    with pytest.raises(NotExpressible, match="database-url is not set"):
        database(DirectorySettings())
