from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.maildrop.kit import FaultyFiles, Killed, bodies, identity, mail, maildir_driver, make_maildir
from tpop3d_py.maildrop import maildir_index
from tpop3d_py.maildrop.files import Files

MESSAGES = [mail(n, n % 4) for n in range(6)]


class Watching(Files):
    """Counts the messages that are read."""

    def __init__(self) -> None:
        self.read = 0

    def open(
        self, path: str | bytes, flags: int = os.O_RDONLY, mode: int = 0o600, folder: int | None = None
    ) -> int:
        self.read += folder is not None  # only messages are opened from their folder
        return super().open(path, flags, mode, folder)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(maildir_index, "_WORTH_MESSAGES", 1)
    return make_maildir(tmp_path / "Maildir", MESSAGES)


def opened(path: str) -> tuple[list[int], int]:
    """Open with an empty memory; return sizes and how many messages were read."""
    files = Watching()
    return list(maildir_driver(files).open(path, identity()).sizes), files.read


def test_a_new_process_reads_no_message_again(path: str) -> None:
    sizes, read = opened(path)
    assert read == 6
    assert opened(path) == (sizes, 0)
    index = Path(path, maildir_index.NAME)
    assert index.stat().st_mode & 0o777 == 0o600
    assert os.listdir(f"{path}/tmp") == []


def test_only_what_is_new_or_changed_is_read(path: str) -> None:
    opened(path)
    Path(path, "new", "2000.M1P1.host").write_bytes(mail(9))
    Path(path, "new", "1000.M0P1.host").write_bytes(b"\n" * len(MESSAGES[0]))
    Path(path, "new", "1001.M1P1.host").rename(Path(path, "cur", "1001.M1P1.host:2,S"))
    sizes, read = opened(path)
    assert read == 2
    assert sizes == [len(body) for body in bodies(maildir_driver().open(path, identity()))]


def test_no_flipped_octet_changes_a_size(path: str) -> None:
    sizes, _ = opened(path)
    index = Path(path, maildir_index.NAME)
    good = index.read_bytes()
    for at in range(len(good)):
        index.write_bytes(good[:at] + bytes([good[at] ^ 0x10]) + good[at + 1 :])
        assert opened(path)[0] == sizes
    for length in range(0, len(good), 7):
        index.write_bytes(good[:length])
        assert opened(path)[0] == sizes
    index.write_bytes(good)
    assert opened(path) == (sizes, 0)


@pytest.mark.parametrize("what", ["symlink", "fifo", "directory", "other version", "unwritable"])
def test_an_index_that_is_none(path: str, what: str, tmp_path: Path) -> None:
    sizes, _ = opened(path)
    index = Path(path, maildir_index.NAME)
    good = index.read_bytes()
    index.unlink()
    if what == "symlink":
        (tmp_path / "target").write_bytes(good)
        index.symlink_to(tmp_path / "target")
    elif what == "fifo":
        os.mkfifo(index)
    elif what == "directory":
        index.mkdir()
    elif what == "unwritable":
        Path(path, "tmp").rmdir()
    else:
        index.write_bytes(good.replace(b"index 3", b"index 9"))
    assert opened(path) == (sizes, 6)
    if what == "symlink":
        assert (tmp_path / "target").read_bytes() == good


def test_a_foreign_index_is_not_read(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(path)
    mine = os.getuid()
    assert maildir_index.load(Files(), path, mine) is not None
    # The process's own files and the mailbox owner's are believed; to somebody else this is neither.
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    assert maildir_index.load(Files(), path, mine) is not None
    assert maildir_index.load(Files(), path, mine + 1) is None


@pytest.mark.parametrize("error", [0, 28])
def test_an_index_that_cannot_be_written_harms_nobody(path: str, error: int) -> None:
    for at in range(1, 6):
        Path(path, maildir_index.NAME).unlink(missing_ok=True)
        files = FaultyFiles()
        files.arm(at, error=error, torn=True)
        try:
            drop = maildir_driver(files).open(path, identity())
            assert len(drop.sizes) == 6
        except Killed:
            assert not error
        files.bury()
        assert [len(body) for body in bodies(maildir_driver().open(path, identity()))] == opened(path)[0]


def test_small_maildirs_get_none(tmp_path: Path) -> None:
    small = make_maildir(tmp_path / "small", MESSAGES)
    maildir_driver().open(small, identity())
    assert not Path(small, maildir_index.NAME).exists()
    large = make_maildir(tmp_path / "large", [b"x\n"] * 100)
    maildir_driver().open(large, identity())
    assert Path(large, maildir_index.NAME).exists()
