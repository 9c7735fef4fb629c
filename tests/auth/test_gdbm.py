"""What is done with GNU dbm files; that real ones are read is shown in tests/system."""

from __future__ import annotations

from pathlib import Path

import pytest

from tpop3d_py.auth.drivers import gdbm
from tpop3d_py.auth.drivers.gdbm import GdbmSettings, PasswordFile
from tpop3d_py.auth.drivers.hashfile import Unreadable
from tpop3d_py.auth.gdbm import GdbmBusy, GdbmError, GdbmFile, Library


class Fake(Library):
    """A library whose files hold one name, and which counts."""

    def __init__(self, *faults: GdbmError) -> None:
        self.faults = list(faults)
        self.opened = self.closed = 0
        self.value: bytes | GdbmError = b"{plaintext}haslo\0"

    def open(self, path: str) -> GdbmFile:
        if self.faults:
            raise self.faults.pop(0)
        self.opened += 1
        return GdbmFile(self, self.opened)

    def fetch(self, handle: int, key: bytes) -> bytes | None:
        if isinstance(self.value, GdbmError):
            raise self.value
        return self.value if key == b"jan@klient1.pl" else None

    def close(self, handle: int) -> None:
        self.closed += 1


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "passwd").touch()
    return tmp_path / "passwd"


@pytest.mark.parametrize("stored", [b"{plaintext}haslo\0", b"{plaintext}haslo", b"{plaintext}haslo\0more"])
def test_a_stored_password(path: Path, stored: bytes) -> None:
    library = Fake()
    library.value = stored
    file = PasswordFile(library, str(path), persistent=False)
    assert file.find("jan", "klient1.pl") == "{plaintext}haslo"
    assert file.find("Jan", "klient1.pl") is None
    assert (library.opened, library.closed) == (2, 2)


def test_a_file_that_is_kept_open_until_another_has_its_name(path: Path) -> None:
    library = Fake()
    file = PasswordFile(library, str(path), persistent=True)
    for _ in range(3):
        assert file.find("jan", "klient1.pl")
    assert (library.opened, library.closed) == (1, 0)
    (path.parent / "new").touch()
    (path.parent / "new").rename(path)
    assert file.find("jan", "klient1.pl")
    assert (library.opened, library.closed) == (2, 1)


def test_who_writes_is_waited_for(path: Path) -> None:
    library = Fake(GdbmBusy("busy"), GdbmBusy("busy"))
    assert PasswordFile(library, str(path), persistent=False).find("jan", "klient1.pl")


def test_but_not_for_ever(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gdbm, "_PATIENCE", 0.0)
    with pytest.raises(Unreadable, match="busy"):
        PasswordFile(Fake(GdbmBusy("busy")), str(path), persistent=False).find("jan", "klient1.pl")


def test_a_damaged_file_is_opened_anew_the_next_time(path: Path) -> None:
    library = Fake()
    library.value = GdbmError("Bad magic number")
    file = PasswordFile(library, str(path), persistent=True)
    with pytest.raises(Unreadable, match="Bad magic number"):
        file.find("jan", "klient1.pl")
    library.value = b"x"
    assert file.find("jan", "klient1.pl") == "x"
    assert (library.opened, library.closed) == (2, 1)


def test_a_file_that_is_not_there(path: Path) -> None:
    with pytest.raises(Unreadable, match="No such file"):
        PasswordFile(Fake(), f"{path}x", persistent=False).find("jan", "klient1.pl")


def test_what_is_required() -> None:
    names = [name for name, _ in GdbmSettings(enable=True).conflicts()]
    assert names == ["auth-gdbm-passwd-file", "auth-gdbm-mail-user"]
