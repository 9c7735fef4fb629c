from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.maildrop.kit import FaultyFiles, Killed, identity, mail, maildir_driver, make_maildir
from tpop3d_py.contracts import MaildropError, Reason
from tpop3d_py.maildrop import maildir_lock
from tpop3d_py.maildrop.maildir import Maildir
from tpop3d_py.maildrop.maildir_options import MaildirOptions

EXCLUSIVE = MaildirOptions(exclusive=True)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return make_maildir(tmp_path / "M", [mail(1), mail(2)])


def opened(path: str, files: FaultyFiles | None = None) -> Maildir:
    return maildir_driver(files, options=EXCLUSIVE).open(path, identity())


def refused(path: str) -> str:
    with pytest.raises(MaildropError) as caught:
        opened(path)
    assert caught.value.reason is Reason.LOCKED
    return caught.value.detail


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_one_session_at_a_time(path: str) -> None:
    before = descriptors()
    first = opened(path)
    assert Path(path, ".poplock").is_dir()
    assert "another session" in refused(path)
    first.close()
    first.close()
    assert not Path(path, ".poplock").exists()
    opened(path).close()
    assert descriptors() == before


def test_without_the_directive_there_is_no_lock(path: str) -> None:
    Path(path, ".poplock").mkdir()
    assert len(maildir_driver().open(path, identity()).sizes) == 2


def test_of_many_threads_one_gets_in(path: str) -> None:
    driver = maildir_driver(options=EXCLUSIVE)
    won: list[Maildir] = []
    refusals: list[Reason] = []

    def work() -> None:
        try:
            won.append(driver.open(path, identity()))
        except MaildropError as error:
            refusals.append(error.reason)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), refusals) == (1, [Reason.LOCKED] * 7)
    won[0].close()


def test_the_ancestors_lock_is_honored_until_it_is_stale(path: str) -> None:
    lock = Path(path, ".poplock")
    lock.mkdir(0o700)
    assert "another program" in refused(path)
    inode = lock.stat().st_ino
    then = time.time() - maildir_lock.STALE_SECONDS - 1
    os.utime(lock, (then, then))
    drop = opened(path)
    assert lock.stat().st_ino == inode, "taken over, not made again"
    assert time.time() - lock.stat().st_mtime < 60
    drop.close()
    assert not lock.exists()


def test_a_killed_sessions_lock_is_taken_over_at_once(path: str) -> None:
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        opened(path)
        os.write(theirs, b"x")
        signal.pause()
    os.read(ours, 1)
    assert "another session" in refused(path)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert Path(path, ".poplock").exists()
    opened(path).close()
    assert not Path(path, ".poplock").exists()
    os.close(ours)
    os.close(theirs)


def test_a_lock_is_refreshed_by_use_and_its_loss_is_noticed(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop = opened(path)
    lock = Path(path, ".poplock")
    made = lock.stat().st_mtime_ns
    drop.open(0).close()
    assert lock.stat().st_mtime_ns == made, "not more than once a minute"
    monkeypatch.setattr(maildir_lock, "_REFRESH_SECONDS", -1.0)
    drop.open(0).close()
    assert lock.stat().st_mtime_ns > made
    lock.rmdir()
    lock.mkdir()
    for attempt in (lambda: drop.open(0), lambda: drop.commit([0], [])):
        with pytest.raises(MaildropError) as caught:
            attempt()
        assert caught.value.reason is Reason.LOCKED
    drop.close()
    assert lock.exists(), "it is somebody else's"
    assert len(os.listdir(f"{path}/new")) == 2


@pytest.mark.parametrize("error", [0, 28, 122, 13])
def test_trouble_with_the_lock(path: str, error: int) -> None:
    for at in range(1, 5):
        files = FaultyFiles()
        files.arm(at, error=error, sticky=bool(error))
        try:
            drop = opened(path, files)
            assert len(drop.sizes) == 2
            refused(path)
            drop.close()
        except (Killed, MaildropError):
            assert error in (0, 13) or at > 1, "a full disk keeps nobody out"
        files.bury()
        opened(path).close()


def test_a_file_in_the_locks_place_is_trouble(path: str) -> None:
    Path(path, ".poplock").write_text("")
    with pytest.raises(MaildropError) as caught:
        opened(path)
    assert caught.value.reason is Reason.MAILBOX
