"""Mailboxes on a real file system that is full, or out of inodes: a small tmpfs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tpop3d_py.contracts import Identity, Maildrop, MaildropError
from tpop3d_py.log import Log
from tpop3d_py.maildrop.opener import MaildropSettings, Opener

UID = 65534
MESSAGES = [b"Subject: %d\n\n" % n + b"line of message %d\n" % n * 40 for n in range(60)]


@pytest.fixture
def disk(system: None, area: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A disk of 2 MiB and 64 inodes, that belongs to whoever owns the mail."""
    path = area / f"disk-{abs(hash(request.node.name))}"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,nr_inodes=64", "tmpfs", path], check=True)
    os.chown(path, UID, UID)
    yield path
    subprocess.run(["umount", path], check=True)


def fill(disk: Path) -> None:
    """Write until not one octet more has room."""
    with (disk / "filler").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    assert not os.statvfs(disk).f_bavail


def use_up_inodes(disk: Path) -> None:
    with suppress(OSError):
        for number in range(100):
            (disk / f"inode{number}").touch()
    assert not os.statvfs(disk).f_ffree


def mbox_of(disk: Path) -> Path:
    path = disk / "luser"
    path.write_bytes(b"".join(b"From x@y.pl Tue Jun 05 19:06:13 2001\n" + m + b"\n" for m in MESSAGES))
    os.chown(path, UID, UID)
    return path


def maildir_of(disk: Path) -> Path:
    path = disk / "Maildir"
    for folder in ("", "new", "cur", "tmp"):
        (path / folder).mkdir()
        os.chown(path / folder, UID, UID)
    for number, message in enumerate(MESSAGES[:30]):
        (path / "new" / f"{1000 + number}.M1P1.host").write_bytes(message)
    return path


def opener() -> Opener:
    return Opener(MaildropSettings(), Log("test", to_stderr=True))


def opened(path: Path) -> Maildrop:
    return opener().open(Identity("luser", "test", UID, UID, str(path)))


def subjects(drop: Maildrop) -> list[int]:
    """Read every message and tell which it is; each must be whole."""
    found = []
    for index, size in enumerate(drop.sizes):
        octets = b"".join(drop.open(index))
        assert len(octets) == size
        number = int(octets.split()[1])
        assert octets == MESSAGES[number].replace(b"\n", b"\r\n")
        found.append(number)
    return found


def expunge(path: Path, deleted: list[int]) -> list[int]:
    drop = opened(path)
    before = subjects(drop)
    drop.commit(deleted, [])
    drop.close()
    drop = opened(path)
    after = subjects(drop)
    drop.close()
    assert after == [number for index, number in enumerate(before) if index not in deleted]
    return after


@pytest.mark.parametrize("trouble", [fill, use_up_inodes])
@pytest.mark.parametrize("deleted", [[0], [30], [59], list(range(0, 60, 2)), list(range(60))])
def test_an_mbox_that_was_open_before(disk: Path, trouble: object, deleted: list[int]) -> None:
    path = mbox_of(disk)
    opened(path).close()
    assert callable(trouble)
    trouble(disk)
    assert len(expunge(path, deleted)) == 60 - len(deleted)


@pytest.mark.parametrize("trouble", [fill, use_up_inodes])
def test_an_mbox_that_was_never_open(disk: Path, trouble: object) -> None:
    """The daemon was started before the disk was full."""
    folder = disk / "klient1.pl"
    folder.mkdir()
    os.chown(folder, UID, UID)
    path = mbox_of(folder)
    opener().set_aside(str(disk))
    assert callable(trouble)
    trouble(disk)
    assert len(expunge(path, [3, 40])) == 58
    assert len(expunge(path, [0, 1])) == 56


def test_without_a_reserve_nothing_is_lost_and_the_truth_is_told(disk: Path) -> None:
    path = mbox_of(disk)
    fill(disk)
    before = path.read_bytes()
    drop = opened(path)
    with pytest.raises(MaildropError, match="not removed"):
        drop.commit([0], [])
    drop.close()
    assert path.read_bytes() == before
    assert expunge(path, [58, 59]) == list(range(58)), "a cut needs no room"
    (disk / "filler").unlink()
    assert len(expunge(path, [0])) == 57


@pytest.mark.parametrize("trouble", [fill, use_up_inodes])
def test_a_maildir(disk: Path, trouble: object) -> None:
    path = maildir_of(disk)
    assert callable(trouble)
    trouble(disk)
    assert len(expunge(path, [0, 7, 29])) == 27
