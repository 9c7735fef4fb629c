"""Text files of passwords, and names that try to be other files."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from tests.auth.kit import PEER, tools
from tests.maildrop.kit import Recorder
from tpop3d_py.auth.drivers.flatfile import FlatFiles, FlatfileSettings, _path, make
from tpop3d_py.auth.drivers.hashfile import Unreadable
from tpop3d_py.auth.names import Attempt
from tpop3d_py.auth.plugin import Driver
from tpop3d_py.contracts import Credentials, Decision, Mechanism, Verdict

#: Made by: openssl passwd -6 -salt abc haslo
CRYPT = "$6$abc$Ph7xEvzwm4jmLUAawcBglvr9pOB4ktntayCkgQ1TEAbPodgaJjoFNv2iGX3PDY3lDddrTlOYd60VyoEcpj36M/"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "klient1.pl").write_text(
        f"nonsense\njan:{CRYPT}\nopen:{{plaintext}}haslo:ignored:too\n\njan:{{plaintext}}second\nnobody:\n"
        "ządło:{plaintext}haslo\ncrlf:{plaintext}haslo\r\n"
    )
    return tmp_path


def driver(folder: Path, log: Recorder | None = None, name: str = "$(domain)") -> Driver:
    settings = FlatfileSettings(True, _path(f"{folder}/{name}"), "daemon")
    return make(settings, tools(log))


def login(
    to: Driver, local_part: str | None, password: str = "haslo", domain: str = "klient1.pl"
) -> Decision:
    attempt = Attempt(f"{local_part}@{domain}", local_part, domain)
    return to.check(attempt, Credentials(Mechanism.PASSWORD, attempt.user, password.encode(), b"", PEER))


@pytest.mark.parametrize("name", ["jan", "open", "ządło", "crlf"])
def test_who_is_in_the_file(folder: Path, name: str) -> None:
    decision = login(driver(folder), name)
    assert decision.identity is not None
    assert (decision.identity.user, decision.identity.uid) == (f"{name}@klient1.pl", 1)
    assert (decision.identity.local_part, decision.identity.domain) == (name, "klient1.pl")
    assert login(driver(folder), name, "Haslo").verdict is Verdict.REFUSED


def test_the_first_line_counts(folder: Path) -> None:
    assert login(driver(folder), "jan", "second").verdict is Verdict.REFUSED


@pytest.mark.parametrize("name", ["Jan", "ja", "", "nonsense", "jan:x", None])
def test_who_is_not(folder: Path, name: str | None) -> None:
    assert login(driver(folder), name).verdict is Verdict.NOT_MINE


def test_a_line_without_a_password_lets_nobody_in(folder: Path) -> None:
    assert login(driver(folder), "nobody", "").verdict is Verdict.REFUSED


def test_apop_where_the_password_is_stored_as_it_is(folder: Path) -> None:
    digest = hashlib.md5(b"<1@x>haslo").hexdigest().encode()
    for name, verdict in (("open", Verdict.GRANTED), ("jan", Verdict.REFUSED)):
        attempt = Attempt(f"{name}@klient1.pl", name, "klient1.pl")
        apop = Credentials(Mechanism.APOP, attempt.user, digest, b"<1@x>", PEER)
        assert driver(folder).check(attempt, apop).verdict is verdict


@pytest.mark.parametrize(
    "domain",
    [
        "../evil",
        "..",
        ".",
        "",
        "../../../../../tmp/evil",
        "a/../../evil",
        "/evil",
        ".hidden",
        "sub/evil",
        "a\0b",
    ],
)
def test_a_domain_is_no_way_out_of_the_folder(folder: Path, domain: str) -> None:
    """The reference's attack: USER x@../../../../../tmp/evil."""
    inside = folder / "inside"
    inside.mkdir()
    for place in (folder / "evil", inside / ".hidden", inside / "sub" / "evil"):
        place.parent.mkdir(exist_ok=True)
        place.write_text("jan:{plaintext}haslo\n")
    assert login(driver(inside), "jan", domain=domain).verdict is Verdict.NOT_MINE


def test_a_domain_without_a_file_and_a_file_that_should_be_there(folder: Path) -> None:
    assert login(driver(folder), "jan", domain="klient2.pl").verdict is Verdict.NOT_MINE
    missing = login(driver(folder, name="nosuch"), "jan")
    assert (missing.verdict, missing.detail) == (
        Verdict.UNAVAILABLE,
        f"auth-flatfile: {folder}/nosuch: No such file or directory",
    )


@pytest.mark.parametrize("kind", ["fifo", "folder"])
def test_what_is_no_file_is_not_waited_for(folder: Path, kind: str) -> None:
    path = folder / "strange.pl"
    os.mkfifo(path) if kind == "fifo" else path.mkdir()
    assert login(driver(folder), "jan", domain="strange.pl").verdict is Verdict.UNAVAILABLE


def test_lines_that_make_no_sense_are_told_of_with_their_number(folder: Path) -> None:
    log = Recorder()
    assert login(driver(folder, log), "ządło").verdict is Verdict.GRANTED
    place = f"auth-flatfile: {folder}/klient1.pl, line 1"
    assert log.lines == [f"{place}: there is no colon, in 2 lines; they are passed over"]


@pytest.mark.parametrize("text", ["passwd", "/etc/../passwd", "/etc/$(user)", "/etc/$(domain", "/a /b"])
def test_paths_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be|unknown variable|unfinished"):
        _path(text)


def test_a_file_that_may_not_be_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(Unreadable, match="Permission denied"):
        FlatFiles(_path(f"{folder}/$(domain)"), Recorder()).find("jan", "klient1.pl")


def test_what_is_required() -> None:
    names = [name for name, _ in FlatfileSettings(enable=True).conflicts()]
    assert names == ["auth-flatfile-passwd-file", "auth-flatfile-mail-user"]
    assert not list(FlatfileSettings().conflicts())
