from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from tests.maildrop.kit import FROM, FaultyFiles, Recorder, age, bodies, identity, mail, mbox, mbox_driver
from tpop3d_py.contracts import BodyInterrupted, Identity, MaildropError, MessageGone, Reason
from tpop3d_py.maildrop.mbox import Mbox
from tpop3d_py.maildrop.wire import to_wire

MESSAGES = [mail(n) for n in range(4)]


@pytest.fixture
def box(tmp_path: Path) -> Path:
    path = tmp_path / "luser"
    path.write_bytes(mbox(MESSAGES))
    age(path)
    return path


def opened(path: Path) -> Mbox:
    return mbox_driver().open(str(path), identity())


def test_messages_sizes_and_identifiers(box: Path) -> None:
    drop = opened(box)
    assert bodies(drop) == [to_wire(message) for message in MESSAGES]
    assert len(set(drop.uids)) == 4
    assert all(len(uid) <= 70 for uid in drop.uids)
    drop.close()
    drop.close()


def test_a_second_session_is_refused(box: Path) -> None:
    first = opened(box)
    with pytest.raises(MaildropError) as caught:
        opened(box)
    assert caught.value.reason is Reason.LOCKED
    first.close()
    opened(box).close()


def test_of_many_threads_one_gets_in(box: Path) -> None:
    driver = mbox_driver()
    won: list[Mbox] = []
    refused: list[Reason] = []

    def work() -> None:
        try:
            won.append(driver.open(str(box), identity()))
        except MaildropError as error:
            refused.append(error.reason)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert refused == [Reason.LOCKED] * 7
    won[0].close()


def test_nothing_is_left_behind_but_the_lock_file(box: Path) -> None:
    before = box.read_bytes()
    opened(box).close()
    assert sorted(os.listdir(box.parent)) == [".luser.pypop3d-lock", "luser"]
    assert box.read_bytes() == before
    lock = box.parent / ".luser.pypop3d-lock"
    assert lock.stat().st_mode & 0o777 == 0o600
    assert lock.stat().st_uid == os.getuid()


def test_descriptors_are_given_back(box: Path) -> None:
    def count() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = count()
    drop = opened(box)
    bodies(drop)
    with pytest.raises(MaildropError):
        opened(box)
    drop.close()
    (box.parent / "bad").write_bytes(b"no mbox\n")
    with pytest.raises(MaildropError):
        opened(box.parent / "bad")
    assert count() == before


def test_mail_that_arrives_meanwhile_waits_for_the_next_session(box: Path) -> None:
    drop = opened(box)
    uids = list(drop.uids)
    with box.open("ab") as file:
        file.write(mbox([mail(9)]))
    assert bodies(drop) == [to_wire(message) for message in MESSAGES]
    drop.commit([0, 2], [0, 1, 2, 3])
    drop.close()
    again = opened(box)
    assert bodies(again) == [to_wire(message) for message in (MESSAGES[1], MESSAGES[3], mail(9))]
    assert list(again.uids)[:2] == [uids[1], uids[3]]
    again.close()


def test_identifiers_survive_status_changes(box: Path) -> None:
    drop = opened(box)
    uids = list(drop.uids)
    drop.close()
    box.write_bytes(box.read_bytes().replace(b"\n\nline 0", b"\nStatus: RO\nX-UID: 3\n\nline 0"))
    again = opened(box)
    assert list(again.uids) == uids
    again.close()


def test_an_unchanged_mailbox_is_not_read_again(box: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = mbox_driver()
    os.utime(box)
    # ctime cannot be set back: let the driver believe that it was long ago.
    monkeypatch.setattr("tpop3d_py.maildrop.mbox_memory.RACY_NS", -1)
    first = driver.open(str(box), identity())
    uids = first.uids
    first.close()
    second = driver.open(str(box), identity())
    assert second.sizes is first.sizes
    assert second.uids is uids
    second.close()
    with box.open("ab") as file:
        file.write(mbox([mail(9)]))
    third = driver.open(str(box), identity())
    assert len(third.sizes) == 5
    assert list(third.uids)[:4] == list(uids)
    third.close()


def test_a_mailbox_changed_just_now_is_read_again(box: Path) -> None:
    driver = mbox_driver()
    os.utime(box)
    first = driver.open(str(box), identity())
    first.close()
    second = driver.open(str(box), identity())
    assert second.sizes is not first.sizes
    second.close()


def test_a_commit_forgets_what_was_known(box: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tpop3d_py.maildrop.mbox_memory.RACY_NS", -1)
    driver = mbox_driver()
    drop = driver.open(str(box), identity())
    drop.commit([0], ())
    drop.close()
    again = driver.open(str(box), identity())
    assert bodies(again) == [to_wire(message) for message in MESSAGES[1:]]
    again.close()


def test_deleting_all_empties_the_file(box: Path) -> None:
    drop = opened(box)
    inode = box.stat().st_ino
    drop.commit([0, 1, 2, 3], ())
    drop.close()
    assert box.stat().st_size == 0
    assert box.stat().st_ino == inode
    empty = opened(box)
    assert (len(empty.sizes), len(empty.uids)) == (0, 0)
    empty.close()


def test_the_internal_message_survives(box: Path) -> None:
    internal = b"X-IMAP: 1 2\nSubject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\n\ntext\n"
    kept = mbox([internal])
    box.write_bytes(kept + mbox(MESSAGES))
    drop = opened(box)
    assert len(drop.sizes) == 4
    drop.commit([0, 1, 2, 3], ())
    drop.close()
    assert box.read_bytes() == kept


def rewritten(box: Path) -> None:
    box.write_bytes(mbox([*MESSAGES[1:], mail(7), mail(8)]))


def renamed_over(box: Path) -> None:
    other = box.parent / "other"
    other.write_bytes(box.read_bytes())
    other.rename(box)


def cut(box: Path) -> None:
    os.truncate(box, 10)


def removed(box: Path) -> None:
    box.unlink()


@pytest.mark.parametrize("accident", [rewritten, renamed_over, cut, removed])
def test_accidents_under_an_open_session(box: Path, accident: object) -> None:
    drop = opened(box)
    assert callable(accident)
    accident(box)
    after = box.read_bytes() if box.exists() else None
    for index in range(4):
        with pytest.raises(MessageGone):
            drop.open(index)
    with pytest.raises(MaildropError):
        drop.commit([0], ())
    drop.close()
    assert (box.read_bytes() if box.exists() else None) == after


def test_a_large_message_that_is_cut_is_interrupted(box: Path) -> None:
    big = mail(1, 20_000)
    box.write_bytes(mbox([big, mail(2)]))
    drop = opened(box)
    body = drop.open(0)
    got = [next(body)]
    os.truncate(box, 100_000)
    with pytest.raises(BodyInterrupted):
        got.extend(body)
    assert to_wire(big).startswith(b"".join(got))
    drop.close()


def test_a_large_message_that_is_moved_is_interrupted(box: Path) -> None:
    octets = mbox([mail(0), mail(1, 20_000), mail(2)])
    box.write_bytes(octets)
    drop = opened(box)
    body = drop.open(1)
    got = [next(body)]
    with box.open("r+b") as file:
        file.write(octets[len(mbox([mail(0)])) :])
    with pytest.raises(BodyInterrupted):
        got.extend(body)
    assert to_wire(mail(1, 20_000)).startswith(b"".join(got))
    drop.close()


def test_a_body_outlives_nothing(box: Path) -> None:
    box.write_bytes(mbox([mail(1, 20_000)]))
    drop = opened(box)
    body = drop.open(0)
    next(body)
    drop.close()
    with pytest.raises(BodyInterrupted):
        next(body)
    body.close()


def check_refused(path: Path, who: Identity | None = None) -> None:
    with pytest.raises(MaildropError) as caught:
        mbox_driver().open(str(path), who or identity())
    assert caught.value.reason is Reason.MAILBOX


def test_unfit_files_are_refused(box: Path) -> None:
    folder = box.parent
    (folder / "dir").mkdir()
    os.mkfifo(folder / "fifo")
    (folder / "symlink").symlink_to(box)
    (folder / "text").write_bytes(b"\n" + FROM)
    for name in ("dir", "fifo", "symlink", "text"):
        check_refused(folder / name)
    os.link(box, folder / "hard")
    check_refused(folder / "hard")
    check_refused(box)


def test_a_foreign_mailbox_is_refused(box: Path) -> None:
    check_refused(box, Identity("x", "test", os.getuid() + 1, os.getgid()))


def test_a_text_file_is_not_touched(box: Path) -> None:
    box.write_bytes(b"just text\n")
    before = box.stat()
    check_refused(box)
    after = box.stat()
    assert (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size)


def test_a_full_disk_does_not_stop_a_login(box: Path) -> None:
    files, log = FaultyFiles(), Recorder()
    files.arm(1, error=28, sticky=True)
    drop = mbox_driver(files, log).open(str(box), identity())
    assert len(drop.sizes) == 4
    with pytest.raises(MaildropError) as caught:
        mbox_driver(files).open(str(box), identity())
    assert caught.value.reason is Reason.LOCKED
    with pytest.raises(MaildropError) as caught:
        opened(box)  # this one has room for its lock file
    assert caught.value.reason is Reason.LOCKED
    drop.close()


def test_nothing_deleted_changes_nothing(box: Path) -> None:
    drop = opened(box)
    before = box.stat()
    drop.commit([], [0, 1])
    after = box.stat()
    assert before == after
    drop.close()


@pytest.mark.parametrize("messages", [[mail(7), *MESSAGES[1:]], MESSAGES[1:], [*MESSAGES, mail(9)], []])
def test_identifiers_do_not_depend_on_memory(box: Path, messages: list[bytes]) -> None:
    driver = mbox_driver()
    drop = driver.open(str(box), identity())
    assert len(drop.uids) == 4
    drop.close()
    box.write_bytes(mbox(messages))
    remembering: list[bytes] = []
    fresh: list[bytes] = []
    for found, where in ((remembering, driver), (fresh, mbox_driver())):
        drop = where.open(str(box), identity())
        found.extend(drop.uids)
        drop.close()
    assert remembering == fresh
