from __future__ import annotations

import fcntl
import multiprocessing
import os
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from tests.maildrop.kit import FaultyFiles, Killed, Recorder, identity, mail, mbox, mbox_driver
from tpop3d_py.contracts import MaildropError, Reason
from tpop3d_py.maildrop import locking
from tpop3d_py.maildrop.files import Files
from tpop3d_py.maildrop.locking import Dotlock, FcntlLock, MtaLock
from tpop3d_py.maildrop.session_lock import SessionLock


@pytest.fixture
def box(tmp_path: Path) -> Path:
    path = tmp_path / "luser"
    path.write_bytes(mbox([mail(1), mail(2)]))
    return path


@pytest.fixture
def fd(box: Path) -> Iterator[int]:
    descriptor = os.open(box, os.O_RDWR)
    yield descriptor
    os.close(descriptor)


def try_as_mta(path: str, answer: Connection) -> None:
    with open(path, "r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            answer.send("free")
        except OSError:
            answer.send("locked")


def hold_as_mta(path: str, pipe: Connection) -> None:
    with open(path, "r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        pipe.send("held")
        pipe.recv()


def mta_finds(path: Path) -> str:
    """Ask another process, which locks as Exim and Postfix do."""
    ours, theirs = multiprocessing.get_context("fork").Pipe()
    process = multiprocessing.get_context("fork").Process(target=try_as_mta, args=(str(path), theirs))
    process.start()
    found: str = ours.recv()
    process.join()
    return found


def test_fcntl_lock_and_an_mta_exclude_each_other(box: Path, fd: int) -> None:
    lock = FcntlLock(fd)
    assert lock.attempt()
    assert mta_finds(box) == "locked"
    # Closing another descriptor of the file drops POSIX locks, not ours.
    os.close(os.open(box, os.O_RDWR))
    assert mta_finds(box) == "locked"
    lock.release()
    lock.release()
    assert mta_finds(box) == "free"


def test_an_mta_that_delivers_is_waited_for_and_then_reported(box: Path) -> None:
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=hold_as_mta, args=(str(box), theirs))
    process.start()
    assert ours.recv() == "held"
    with pytest.raises(MaildropError) as caught:
        mbox_driver().open(str(box), identity())
    assert caught.value.reason is Reason.LOCKED
    assert not (box.parent / "luser.lock").exists()
    ours.send("let go")
    drop = mbox_driver(timeout=10.0).open(str(box), identity())
    process.join()
    drop.close()


def test_no_lock_is_held_between_opening_and_commit(box: Path) -> None:
    drop = mbox_driver().open(str(box), identity())
    assert mta_finds(box) == "free"
    assert not (box.parent / "luser.lock").exists()
    drop.commit([0], ())
    assert mta_finds(box) == "free"
    drop.close()


def session(box: Path, fd: int) -> SessionLock:
    return SessionLock(Files(), str(box), fd, identity())


def dotlock(box: Path, fd: int, log: Recorder | None = None) -> Dotlock:
    return Dotlock(Files(), log or Recorder(), str(box), session(box, fd))


def test_dotlock_is_there_while_held_and_names_us(box: Path, fd: int) -> None:
    lock = dotlock(box, fd)
    assert lock.attempt()
    path = box.parent / "luser.lock"
    assert int(path.read_text()) == os.getpid()
    lock.release()
    lock.release()
    assert not path.exists()


def test_a_fresh_foreign_dotlock_is_respected(box: Path, fd: int) -> None:
    path = box.parent / "luser.lock"
    path.write_text("999999\n")  # no such process, but not ours to judge
    os.utime(path, (0, 0))  # mtime proves nothing
    lock = dotlock(box, fd)
    assert not lock.attempt()
    lock.release()
    assert path.exists()


def test_an_old_foreign_dotlock_is_broken(box: Path, fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    path = box.parent / "luser.lock"
    path.write_text("")
    later = time.time() + locking.STALE_SECONDS + 1
    monkeypatch.setattr(time, "time", lambda: later)
    log = Recorder()
    lock = dotlock(box, fd, log)
    assert not lock.attempt()
    assert lock.attempt()
    assert any("breaking" in line for line in log.lines)
    lock.release()


def test_a_dotlock_of_a_killed_session_is_taken_over(box: Path) -> None:
    files = FaultyFiles()
    drop = mbox_driver(files).open(str(box), identity())
    files.arm(3)
    with pytest.raises(Killed):
        drop.commit([0], ())
    files.bury()
    assert (box.parent / "luser.lock").exists()
    mbox_driver().open(str(box), identity()).close()
    assert not (box.parent / "luser.lock").exists()


def test_where_no_dotlock_can_be_made_fcntl_must_do(box: Path, fd: int) -> None:
    class Full(Files):
        def link(self, old: str, new: str) -> None:
            raise OSError(28, "No space left on device")

    log = Recorder()
    files = Full()
    lock = Dotlock(files, log, str(box), SessionLock(files, str(box), fd, identity()))
    assert lock.attempt()
    lock.release()
    assert any("going on without" in line for line in log.lines)


def test_methods_are_released_in_reverse_even_if_one_fails(box: Path) -> None:
    events: list[str] = []

    class Fake:
        def __init__(self, name: str, ok: bool) -> None:
            self.name, self.ok = name, ok

        def attempt(self) -> bool:
            events.append(f"+{self.name}")
            return self.ok

        def release(self) -> None:
            events.append(f"-{self.name}")

    with MtaLock(Recorder(), str(box), [Fake("a", True), Fake("b", True)], 0.0):
        pass
    assert events == ["+a", "+b", "-b", "-a"]
    events.clear()
    with pytest.raises(MaildropError), MtaLock(Recorder(), "x", [Fake("a", True), Fake("b", False)], 0.0):
        pass
    assert events == ["+a", "+b", "-b", "-a"]


@pytest.mark.parametrize("what", ["symlink", "fifo", "directory"])
def test_a_lock_file_that_is_none(box: Path, what: str) -> None:
    path = box.parent / ".luser.pypop3d-lock"
    if what == "symlink":
        path.symlink_to(box)
    elif what == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(MaildropError) as caught:
        mbox_driver().open(str(box), identity())
    assert caught.value.reason is Reason.MAILBOX


def test_a_lock_file_that_vanishes_is_made_again(box: Path, fd: int) -> None:
    lock = session(box, fd)
    (box.parent / ".luser.pypop3d-lock").unlink()
    lock.release()
    again = session(box, fd)
    assert (box.parent / ".luser.pypop3d-lock").exists()
    again.release()
