"""Reading the settings in a child: what the master gets, and what it does not."""

from __future__ import annotations

import os
import pickle
import pwd
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.server import pems
from tpop3d_py.assemble import rehearsal
from tpop3d_py.assemble.certificates import laid_out
from tpop3d_py.assemble.groups import StartError, daemon_groups
from tpop3d_py.auth.drivers.mysql import MysqlSettings
from tpop3d_py.config import Configuration, load
from tpop3d_py.server import certificates
from tpop3d_py.server.separation import Cast, SeparationSettings
from tpop3d_py.server.settings import ServerSettings

SECRET = "nobody-shall-know"


@pytest.fixture(autouse=True)
def as_if_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take any test run for root's; nothing here needs to be."""
    own = pwd.getpwuid(os.getuid())
    monkeypatch.setattr(SeparationSettings, "wanted", property(lambda settings: settings.enable))
    monkeypatch.setattr(rehearsal, "cast_of", lambda settings, run_as: Cast(own, own, own))


def reading(folder: Path, *lines: str) -> Callable[[], Configuration]:
    file = folder / "tpop3d.conf"
    file.write_text("\n".join(("listen-address: 127.0.0.1:1(klient1.pl)", *lines)) + "\n")
    return lambda: load(str(file), daemon_groups())


MYSQL = (
    "auth-mysql-enable: yes",
    "auth-mysql-database: mail",
    "auth-mysql-username: vmail",
    f'auth-mysql-password: "{SECRET}"',
)


def test_the_master_gets_everything_but_secrets(tmp_path: Path) -> None:
    found = rehearsal.rehearse(reading(tmp_path, "privilege-separation: yes", "worker-processes: 7", *MYSQL))
    assert found is not None
    outcome, secrets = found
    sealed = secrets.settings
    assert outcome.conf.get(ServerSettings).workers == 7
    mysql = outcome.conf.get(MysqlSettings)
    assert (mysql.database, mysql.username) == ("mail", "vmail")
    assert not mysql.password
    assert outcome.drivers == ["mysql"]
    for _ in range(2):  # by each process that begins
        assert sealed.open().get(MysqlSettings).password == SECRET
    sealed.close()
    sealed.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        sealed.open()


def test_plain_mode_is_none_of_its_business(tmp_path: Path) -> None:
    assert rehearsal.rehearse(reading(tmp_path, *MYSQL)) is None


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (("privilege-separation: yes", "nonsense: 1"), "unknown directive 'nonsense'"),
        (("privilege-separation: yes",), "no authentication driver is on"),
        (("privilege-separation: perhaps", *MYSQL), "must be yes or no"),
        (("privilege-separation: yes", "auth-mysql-mail-group: nosuch", *MYSQL), "no Unix group 'nosuch'"),
        (
            ("privilege-separation: yes", "auth-flatfile-enable: yes", "auth-flatfile-mail-user: nosuch"),
            "nosuch|required",
        ),
    ],
)
def test_mistakes_come_back_as_text(tmp_path: Path, lines: tuple[str, ...], words: str) -> None:
    with pytest.raises(StartError, match=words):
        rehearsal.rehearse(reading(tmp_path, *lines))


def test_faults_of_ours_come_back_as_text(tmp_path: Path) -> None:
    def broken() -> Configuration:
        raise ZeroDivisionError("a bug")

    with pytest.raises(StartError, match=r"internal error: .*a bug"):
        rehearsal.rehearse(broken)


def test_a_child_that_dies() -> None:
    def killed() -> Configuration:
        os.kill(os.getpid(), 9)
        raise AssertionError

    with pytest.raises(StartError, match="has died"):
        rehearsal.rehearse(killed)


def test_no_descriptor_is_left(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    found = rehearsal.rehearse(reading(tmp_path, "privilege-separation: yes", *MYSQL))
    assert found is not None
    assert len(os.listdir("/proc/self/fd")) == before + 2
    found[1].settings.close()
    found[1].keys.close()


def test_keys_are_what_they_were_when_they_were_looked_at(tmp_path: Path) -> None:
    """A worker that is made much later must not find half of a renewal in the files."""
    own = pems.write_pair(tmp_path / "own.pem", "klient1.pl")
    others = tmp_path / "others"
    others.mkdir()
    customer = pems.write_pair(others / "customer.pem", "drugi.pl", number=1)
    line = f"listen-address: 127.0.0.1:1(klient1.pl);tls=immediate,{own}"
    read = reading(tmp_path, "privilege-separation: yes", f"tls-certificates: {others}", *MYSQL)
    file = tmp_path / "tpop3d.conf"
    file.write_text(file.read_text().replace("listen-address: 127.0.0.1:1(klient1.pl)", line))
    found = rehearsal.rehearse(read)
    assert found is not None
    outcome, secrets = found
    private = own.read_bytes().partition(b"-----BEGIN CERT")[0]
    assert private not in pickle.dumps(outcome)
    contents = secrets.keys.open()
    assert contents == {str(path): path.read_bytes() for path in (own, customer)}
    own.unlink()
    customer.write_bytes(b"half of a renewal")
    with laid_out(outcome.known, contents) as known:
        assert {pair.certificate for pair in known.certificates} == {str(own), str(customer)}
        for certificate in known.certificates.values():
            certificates.load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), certificate)
