from __future__ import annotations

import fcntl
import multiprocessing
import os
import signal
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from tests.maildrop.kit import FaultyFiles, Recorder, identity, mail, mbox, mbox_driver
from tpop3d_py.maildrop import cclient
from tpop3d_py.maildrop.cclient import CClientLock
from tpop3d_py.maildrop.files import Files

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def box(tmp_path: Path) -> Path:
    path = tmp_path / "luser"
    path.write_bytes(mbox([mail(1), mail(2)]))
    (tmp_path / "tmp").mkdir()
    return path


def lock_of(box: Path, log: Recorder | None = None, files: Files | None = None) -> CClientLock:
    folder = str(box.parent / "tmp")
    return CClientLock(files or Files(), log or Recorder(), box.stat(), os.getuid(), folder)


def path_of(box: Path) -> Path:
    st = box.stat()
    return box.parent / "tmp" / f".{st.st_dev:x}.{st.st_ino:x}"


def imapd(path: str, pid: int, gives_up: bool, pipe: Connection) -> None:
    """Hold the lock as a c-client program does; when kissed, give it up or not."""

    def kissed(_number: int, _frame: object) -> None:
        if gives_up:
            os.unlink(path)
            os.close(fd)
        pipe.send("kissed")

    signal.signal(signal.SIGUSR2, kissed)
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    fcntl.flock(fd, fcntl.LOCK_EX)
    os.write(fd, b"%d" % (pid or os.getpid()))
    pipe.send("held")
    pipe.poll(60)


@pytest.fixture
def holders() -> Iterator[list[multiprocessing.process.BaseProcess]]:
    processes: list[multiprocessing.process.BaseProcess] = []
    yield processes
    for process in processes:
        process.kill()
        process.join()


def hold(
    box: Path,
    holders: list[multiprocessing.process.BaseProcess],
    *,
    pid: int = 0,
    gives_up: bool = True,
) -> Connection:
    ours, theirs = FORK.Pipe()
    process = FORK.Process(target=imapd, args=(str(path_of(box)), pid, gives_up, theirs))
    process.start()
    holders.append(process)
    assert ours.recv() == "held"
    return ours


def test_the_lock_is_made_locked_and_removed(box: Path) -> None:
    lock = lock_of(box)
    assert lock.attempt()
    assert path_of(box).read_text() == str(os.getpid())
    assert not lock_of(box).attempt()
    lock.release()
    lock.release()
    assert not path_of(box).exists()


def test_a_holder_is_kissed_once_and_waited_for(
    box: Path, holders: list[multiprocessing.process.BaseProcess]
) -> None:
    pipe = hold(box, holders)
    lock = lock_of(box)
    assert not lock.attempt()
    assert pipe.recv() == "kissed"
    assert lock.attempt()
    lock.release()


def test_a_holder_that_does_not_give_up_keeps_it(
    box: Path, holders: list[multiprocessing.process.BaseProcess]
) -> None:
    pipe = hold(box, holders, gives_up=False)
    lock = lock_of(box)
    assert not lock.attempt()
    assert pipe.recv() == "kissed"
    assert not lock.attempt()
    assert not pipe.poll(0.05)


def test_only_the_process_that_holds_the_lock_is_signaled(
    box: Path, holders: list[multiprocessing.process.BaseProcess]
) -> None:
    """Everybody may write any pid into the file; the kernel knows better."""
    got: list[int] = []
    before = signal.signal(signal.SIGUSR2, lambda number, _: got.append(number))
    try:
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGUSR2, signal.SIG_DFL)
            signal.pause()
        pipe = hold(box, holders, pid=child)
        assert not lock_of(box).attempt()
        assert os.waitpid(child, os.WNOHANG) == (0, 0)
        assert not pipe.poll(0.05)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert got == []


@pytest.mark.parametrize("what", ["symlink", "fifo", "directory", "hard link", "foreign"])
def test_a_lock_file_that_cannot_be_trusted_is_passed_over(
    box: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, victim = path_of(box), box.parent / "victim"
    victim.write_text("precious")
    if what == "symlink":
        path.symlink_to(victim)
    elif what == "fifo":
        os.mkfifo(path)
    elif what == "directory":
        path.mkdir()
    elif what == "hard link":
        os.link(victim, path)
    else:
        path.write_text("1")
        monkeypatch.setattr(cclient, "is_owner", lambda found, uid: False)
    log = Recorder()
    lock = lock_of(box, log)
    assert lock.attempt()
    lock.release()
    assert os.path.lexists(path)
    assert victim.read_text() == "precious"
    assert any("going on without" in line for line in log.lines)


def test_no_room_for_a_lock_keeps_nobody_out(box: Path) -> None:
    files, log = FaultyFiles(), Recorder()
    files.arm(1, error=28, sticky=True)
    assert lock_of(box, log, files).attempt()
    assert any("No space" in line for line in log.lines)


def test_an_mbox_with_all_locks(box: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cclient.CClientLock.__init__, "__defaults__", (str(box.parent / "tmp"),))
    drop = mbox_driver(methods=("dotlock", "fcntl", "flock", "c-client")).open(str(box), identity())
    drop.commit([0], [])
    drop.close()
    assert box.read_bytes() == mbox([mail(2)])
    assert os.listdir(box.parent / "tmp") == []
