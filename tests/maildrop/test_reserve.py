"""Deleting mail on a disk that is full: with the space that was set aside."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tests.maildrop.kit import (
    FaultyFiles,
    Killed,
    QuickFiles,
    Recorder,
    bodies,
    identity,
    mail,
    mbox,
    mbox_driver,
)
from tpop3d_py.contracts import MaildropError
from tpop3d_py.maildrop import expunge
from tpop3d_py.maildrop.files import beside
from tpop3d_py.maildrop.journal import capacity
from tpop3d_py.maildrop.mbox import Mbox
from tpop3d_py.maildrop.opener import MaildropSettings, Opener
from tpop3d_py.maildrop.reserve import Reserve
from tpop3d_py.maildrop.wire import to_wire

SIZE = 16 * 1024
MESSAGES = [mail(n, 1 + n * 3 % 5) for n in range(7)]
FULL = (errno.ENOSPC, errno.EDQUOT)


class FullFiles(FaultyFiles):
    """A full disk: nothing can be made, and a file can grow neither."""

    error = errno.ENOSPC

    def open(
        self, path: str | bytes, flags: int = os.O_RDONLY, mode: int = 0o600, folder: int | None = None
    ) -> int:
        if flags & os.O_CREAT and not os.path.lexists(path):
            raise OSError(self.error, os.strerror(self.error))
        return super().open(path, flags, mode, folder)

    def pwrite(self, fd: int, data: bytes | memoryview, offset: int) -> int:
        assert offset + len(data) <= os.fstat(fd).st_size, "everything stays within space that is ours"
        return super().pwrite(fd, data, offset)

    def fallocate(self, fd: int, length: int) -> None:
        raise OSError(self.error, os.strerror(self.error))

    def link(self, old: str, new: str) -> None:
        raise OSError(self.error, os.strerror(self.error))


@pytest.fixture
def box(tmp_path: Path) -> Path:
    path = tmp_path / "luser"
    path.write_bytes(mbox(MESSAGES))
    mbox_driver(reserve=SIZE).open(str(path), identity()).close()
    return path


def reserve_of(box: Path) -> Path:
    return box.parent / f".pypop3d-reserve-{os.getuid()}"


def opened(box: Path, files: FaultyFiles | None = None, window: int | None = None) -> Mbox:
    return mbox_driver(files, reserve=SIZE, window=window).open(str(box), identity())


def names(box: Path) -> list[str]:
    return sorted(os.listdir(box.parent))


def test_the_first_session_sets_space_aside(box: Path) -> None:
    st = reserve_of(box).stat()
    assert (st.st_size, st.st_mode & 0o777) == (SIZE, 0o600)
    assert st.st_blocks * 512 >= SIZE
    inode = st.st_ino
    opened(box).close()
    assert reserve_of(box).stat().st_ino == inode


@pytest.mark.parametrize("error", FULL)
@pytest.mark.parametrize("deleted", [[0], [3], [6], [0, 2, 4, 6], list(range(7))])
def test_mail_is_deleted_on_a_full_disk(box: Path, deleted: list[int], error: int) -> None:
    files = FullFiles()
    files.error = error
    for _ in range(3):  # the reserve serves again and again
        box.write_bytes(mbox(MESSAGES))
        drop = opened(box, files)
        drop.commit(deleted, ())
        drop.close()
        assert box.read_bytes() == mbox(m for n, m in enumerate(MESSAGES) if n not in deleted)
        assert names(box) == [".luser.pypop3d-lock", reserve_of(box).name, "luser"]


def test_what_was_done_on_the_reserve_is_never_done_again(box: Path) -> None:
    drop = opened(box, FullFiles(), window=1024)  # its two records lie in different sectors
    drop.commit([0, 2], ())
    drop.close()
    with box.open("ab") as file:
        file.write(mbox([mail(50 + n, 3) for n in range(9)]))
    before = box.read_bytes()
    given_back = reserve_of(box).read_bytes()
    journal = Path(beside(str(box), "journal"))
    # It becomes a journal once more, and the power fails: of the new plan a later sector is on the disk.
    for start in range(512, len(given_back), 512):
        journal.write_bytes(given_back[:start] + b"\xff" * 512 + given_back[start + 512 :])
        opened(box).close()
        assert box.read_bytes() == before
        assert not journal.exists()


def test_the_reserve_is_blank_on_the_disk_before_it_has_its_name_again(box: Path) -> None:
    waiting: set[int] = set()
    renamed: list[str] = []

    class Watching(FullFiles):
        def pwrite(self, fd: int, data: bytes | memoryview, offset: int) -> int:
            waiting.add(os.fstat(fd).st_ino)
            return super().pwrite(fd, data, offset)

        def fsync(self, fd: int) -> None:
            waiting.discard(os.fstat(fd).st_ino)
            super().fsync(fd)

        def rename(self, old: str, new: str) -> None:
            assert os.stat(old).st_ino not in waiting
            renamed.append(new)
            super().rename(old, new)

    drop = opened(box, Watching())
    drop.commit([0], ())
    drop.close()
    assert renamed == [beside(str(box), "journal"), str(reserve_of(box))]
    assert reserve_of(box).read_bytes()[:512] == bytes(512)


def test_without_a_reserve_the_truth_is_told_and_nothing_lost(box: Path) -> None:
    reserve_of(box).unlink()
    before = box.read_bytes()
    drop = opened(box, FullFiles())
    with pytest.raises(MaildropError, match="were not removed"):
        drop.commit([0], ())
    drop.close()
    assert box.read_bytes() == before


@pytest.mark.parametrize("what", ["symlink", "fifo", "directory", "hard link", "short"])
def test_a_reserve_that_is_none_is_not_used(box: Path, what: str) -> None:
    reserve, victim = reserve_of(box), box.parent / "victim"
    reserve.rename(victim)
    if what == "symlink":
        reserve.symlink_to(victim)
    elif what == "fifo":
        os.mkfifo(reserve)
    elif what == "directory":
        reserve.mkdir()
    elif what == "hard link":
        os.link(victim, reserve)
    else:
        reserve.write_bytes(b"x")
    drop = opened(box, FullFiles())
    with pytest.raises(MaildropError):
        drop.commit([0], ())
    drop.close()
    assert victim.read_bytes() == bytes(SIZE)


def test_a_deletion_with_more_ranges_than_fit_is_done_in_parts(
    box: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expunge, "capacity", lambda size, window: 2)
    drop = opened(box, FullFiles())
    drop.commit([0, 1, 2, 4, 6], ())
    drop.close()
    assert box.read_bytes() == mbox([MESSAGES[3], MESSAGES[5]])


def test_how_many_ranges_fit() -> None:
    assert capacity(256 * 1024, 4096) > 15_000
    assert capacity(1024, 4096) == 0


def test_killed_at_every_call_on_a_full_disk(box: Path) -> None:
    """As on any disk, and the reserve is there again after the next session."""
    old, new = mbox(MESSAGES), mbox(m for n, m in enumerate(MESSAGES) if n not in (0, 3))
    outcomes = set()
    at, calls = 0, 30
    while at < calls:
        at += 1
        for torn in (False, True):
            box.write_bytes(old)
            files = FullFiles()
            drop = opened(box, files, window=100)
            files.arm(at, torn=torn)
            try:
                drop.commit([0, 3], ())
                killed = False
            except Killed:
                killed = True
                calls = at + 1
            files.bury()
            late = mbox([mail(50)]) if at % 2 else b""
            with box.open("ab") as file:
                file.write(late)
            again = mbox_driver(FullFiles(), reserve=SIZE).open(str(box), identity())
            found = bodies(again)
            again.close()
            found_octets = box.read_bytes()
            assert found_octets in ((old + late, new + late) if killed else (new + late,))
            assert found == [to_wire(m) for m in ([*MESSAGES, mail(50)]) if mbox([m]) in found_octets]
            assert names(box) == [".luser.pypop3d-lock", reserve_of(box).name, "luser"]
            outcomes.add(found_octets == new + late)
    assert calls > 20
    assert outcomes == {False, True}


@pytest.mark.parametrize("error", [*FULL, errno.EIO, errno.EMFILE])
def test_errors_at_every_call_on_a_full_disk(box: Path, error: int) -> None:
    old, new = mbox(MESSAGES), mbox(MESSAGES[1:])
    for at in range(1, 40):
        box.write_bytes(old)
        files = FullFiles()
        drop = opened(box, files, window=100)
        files.arm(at, error=error)
        try:
            drop.commit([0], ())
            failed = False
        except MaildropError:
            failed = True
        files.arm()
        drop.close()
        files.bury()
        opened(box).close()
        assert box.read_bytes() in ((old, new) if failed else (new,))


def test_an_old_record_on_the_reserve_is_not_taken_for_one_of_the_next_plan(box: Path) -> None:
    """The same deletion twice has the same ranges; only the random number tells the plans apart."""
    left: list[bool] = []
    for at in range(1, 6):  # the reserve becomes the journal, gets its plan, and has no record yet
        files = FullFiles()
        drop = opened(box, files)
        drop.commit([0], ())
        drop.close()
        box.write_bytes(mbox(MESSAGES))
        drop = opened(box, files)
        files.arm(at)
        with pytest.raises(Killed):
            drop.commit([0], ())
        files.bury()
        left.append((box.parent / ".luser.pypop3d-journal").exists())
        opened(box).close()
        assert box.read_bytes() == mbox(MESSAGES)
    assert left[-2:] == [True, True]


def test_a_mailbox_nobody_opened_before_the_disk_was_full(tmp_path: Path) -> None:
    """The daemon set space aside in the folder above when it started."""
    Opener(MaildropSettings(reserve_kilobytes=SIZE // 1024), Recorder(), QuickFiles()).set_aside(
        str(tmp_path)
    )
    box = tmp_path / "klient1.pl" / "luser"
    box.parent.mkdir()
    for _ in range(2):
        box.write_bytes(mbox(MESSAGES))
        drop = opened(box, FullFiles())
        drop.commit([1], ())
        drop.close()
        assert box.read_bytes() == mbox(MESSAGES[:1] + MESSAGES[2:])
    assert reserve_of(box).exists()
    assert not reserve_of(box.parent).exists()


def test_two_updates_at_once_get_one_reserve(tmp_path: Path) -> None:
    files = QuickFiles()
    reserve = Reserve(files, str(tmp_path / "a"), identity(), SIZE)
    reserve.make()
    error = OSError(errno.ENOSPC, "full")
    os.close(reserve.take(str(tmp_path / "ja"), error))
    with pytest.raises(OSError, match="full"):
        reserve.take(str(tmp_path / "jb"), error)
    reserve.release(str(tmp_path / "ja"))
    os.close(reserve.take(str(tmp_path / "jb"), error))
