from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import IntegrityError

from tpop3d_py.directory import engine, statements
from tpop3d_py.directory.engine import DATABASE_URL, Directory, DirectorySettings, make_engine, read_password
from tpop3d_py.directory.errors import DirectoryUnavailable

GOOD_URLS = [
    "mysql+pymysql://vmail@localhost/virtualemail",
    "mysql://vmail@db.example:3307/virtualemail",
    "mariadb+pymysql://vmail@localhost/virtualemail?unix_socket=/run/s",
    "sqlite:////var/lib/vmail.db",
]
BAD_URLS = [
    ("mysql+pymysql://vmail:sekret@localhost/virtualemail", "password"),
    ("mysql+pymysql://vmail@localhost", "name a database"),
    ("sqlite:///vmail.db", "absolute path"),
    ("sqlite://", "absolute path"),
    ("sqlite:///:memory:", "absolute path"),
    ("oracle+oracledb://localhost/x", "must start with"),
    ("virtualemail", "must look like"),
    ("mysql+pymysql://vmail@localhost:port/x", "must look like"),
]


@pytest.mark.parametrize("text", GOOD_URLS)
def test_a_good_url_is_kept_as_it_was_written(text: str) -> None:
    assert DATABASE_URL.parse(text) == text


@pytest.mark.parametrize(("text", "why"), BAD_URLS)
def test_a_bad_url_is_refused_without_showing_a_password(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        DATABASE_URL.parse(text)
    assert "sekret" not in str(caught.value)


def test_without_a_url_there_is_no_directory() -> None:
    with pytest.raises(DirectoryUnavailable, match="database-url is not set"):
        make_engine(DirectorySettings())


def test_a_missing_sqlite_file_is_not_made(settings: DirectorySettings, tmp_path: Path) -> None:
    made = make_engine(settings)
    with pytest.raises(DirectoryUnavailable, match=r"vmail\.db: unable to open"), engine.reading(made):
        pass
    assert not os.path.exists(tmp_path / "vmail.db")


def test_missing_tables_say_what_to_do(empty: Directory) -> None:
    with pytest.raises(DirectoryUnavailable, match="vmail db init"), empty.reading() as connection:
        connection.execute(statements.domains())


def test_a_path_with_odd_characters_is_one_file(tmp_path: Path) -> None:
    path = tmp_path / "a?b#c%64.db"
    path.touch()
    # SQLAlchemy splits at "?", so such a file can only be named by its object form.
    made = engine.engine_for(make_url("sqlite://").set(database=str(path)))
    with engine.writing(made) as connection:
        connection.exec_driver_sql("CREATE TABLE t (x)")
    assert path.stat().st_size > 0
    assert engine.location(made) == str(path)


def test_a_failed_block_is_rolled_back(directory: Directory) -> None:
    def fail() -> None:
        with directory.writing() as connection:
            connection.execute(statements.add_domain("klient1.pl", "vmail", "/x"))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with directory.reading() as connection:
        assert connection.execute(statements.domain_names()).all() == []


def test_foreign_keys_are_enforced(directory: Directory) -> None:
    with directory.writing() as connection, pytest.raises(IntegrityError):
        connection.execute(statements.add_popbox("nowhere.pl", "luser", "luser"))


def test_a_writer_waits_its_time_and_then_says_so(settings: DirectorySettings, directory: Directory) -> None:
    hasty = make_engine(settings, answer_seconds=0.01)
    with directory.writing(), pytest.raises(DirectoryUnavailable, match="locked"), engine.writing(hasty):
        pass
    with directory.writing(), engine.reading(hasty) as connection:  # a reader does not wait
        assert connection.execute(statements.domain_names()).all() == []


def test_an_unreachable_server_is_named_without_its_password() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        made = engine.engine_for(make_url(f"mysql+pymysql://vmail:sekret@127.0.0.1:{port}/virtualemail"))
        with pytest.raises(DirectoryUnavailable) as caught, engine.reading(made):
            pass
    text = str(caught.value)
    assert text.startswith(f"directory virtualemail at 127.0.0.1:{port}: ")
    assert "sekret" not in text
    assert text.isprintable()


def test_a_server_that_says_nothing_is_given_up() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = make_url(f"mysql+pymysql://vmail@127.0.0.1:{silent.getsockname()[1]}/virtualemail")
        made = engine.engine_for(url, answer_seconds=0.05)
        with pytest.raises(DirectoryUnavailable, match="timed out"), engine.reading(made):
            pass


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o400])
def test_a_password_is_the_first_line_of_a_private_file(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "password"
    path.write_bytes("zażółć #:/ x \nsecond line\n".encode())
    path.chmod(mode)
    assert read_password(str(path)) == "zażółć #:/ x ".encode()


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o660, 0o641])
def test_a_password_file_that_others_can_use_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "password"
    path.write_text("sekret\n")
    path.chmod(mode)
    with pytest.raises(DirectoryUnavailable, match="chmod") as caught:
        read_password(str(path))
    assert "sekret" not in str(caught.value)


def test_a_password_file_must_hold_a_password(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("\n")
    path.chmod(0o600)
    for bad, why in ((path, "empty"), (tmp_path, "directory"), (tmp_path / "none", "No such file")):
        with pytest.raises(DirectoryUnavailable, match=why):
            read_password(str(bad))
