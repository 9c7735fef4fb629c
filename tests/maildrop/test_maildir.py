from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.maildrop.kit import (
    FaultyFiles,
    Killed,
    Recorder,
    age,
    bodies,
    identity,
    mail,
    maildir_driver,
    make_maildir,
    settle,
)
from tpop3d_py.contracts import BodyInterrupted, Identity, MaildropError, MessageGone, Reason
from tpop3d_py.maildrop.maildir import seen_place
from tpop3d_py.maildrop.wire import to_wire

NEW = [mail(n) for n in range(3)]
CUR = [mail(n).replace(b"\n", b"\r\n") for n in range(3, 5)]


@pytest.fixture
def path(tmp_path: Path) -> str:
    return make_maildir(tmp_path / "Maildir", NEW, CUR)


def stored(path: str) -> list[bytes]:
    """Return every message file in either folder."""
    return sorted(file.read_bytes() for folder in ("new", "cur") for file in Path(path, folder).iterdir())


def names(path: str, folder: str) -> list[str]:
    return sorted(os.listdir(f"{path}/{folder}"))


def test_messages_sizes_and_identifiers(path: str) -> None:
    drop = maildir_driver().open(path, identity())
    assert bodies(drop) == [to_wire(message) for message in NEW + CUR]
    assert list(drop.uids) == [b"%d.M%dP1.host" % (1000 + n, n) for n in range(5)]
    drop.close()


def test_order_is_by_what_delivery_wrote(path: str) -> None:
    shutil.rmtree(path)
    make_maildir(Path(path))
    order = [
        "odd",  # placed by its file's time
        "999.M2P3.host",
        "1000.M9P1.host:2,S",
        "1000.M10P1.host,S=999,W=1",
        "1000.H11P1.host",
        "1000.V801I1M12.host",
        "1001.1234.host",
        "1001.M5P1.host",
        "10000.M1P1.host",
    ]
    for number, name in enumerate(order):
        file = Path(path, "cur" if ":" in name else "new", name)
        file.write_bytes(b"%d\n" % number)
        os.utime(file, (50 if name == "odd" else 10_000 - number,) * 2)
    drop = maildir_driver().open(path, identity())
    assert bodies(drop) == [b"%d\r\n" % number for number in range(len(order))]


def test_what_is_no_message(path: str) -> None:
    new = Path(path, "new")
    (new / ".hidden").write_bytes(b"x\n")
    (new / "dir").mkdir()
    os.mkfifo(new / "fifo")
    (new / "link").symlink_to(new / "1000.M0P1.host")
    log = Recorder()
    drop = maildir_driver(log=log).open(path, identity())
    assert len(drop.sizes) == 5
    assert sum("left out" in line for line in log.lines) == 3


def test_size_hints_are_not_believed(path: str) -> None:
    Path(path, "new", "2000.M1P1.host,S=7,W=7").write_bytes(b"a\nb")
    drop = maildir_driver().open(path, identity())
    assert drop.sizes[5] == 6
    assert b"".join(drop.open(5)) == b"a\r\nb\r\n"


def test_an_unchanged_maildir_is_not_read_again(path: str) -> None:
    driver = maildir_driver()
    first, second = driver.open(path, identity()), driver.open(path, identity())
    assert second.sizes is first.sizes
    assert second.uids is first.uids


def deliver(path: str) -> None:
    Path(path, "new", "3000.M1P1.host").write_bytes(mail(9))


def remove(path: str) -> None:
    Path(path, "new", "1000.M0P1.host").unlink()


def move(path: str) -> None:
    Path(path, "new", "1000.M0P1.host").rename(Path(path, "cur", "1000.M0P1.host:2,S"))


@pytest.mark.parametrize("change", [deliver, remove, move])
def test_every_change_is_seen_by_the_next_session(path: str, change: Callable[[str], None]) -> None:
    driver = maildir_driver()
    first = driver.open(path, identity())
    change(path)
    second = driver.open(path, identity())
    assert second.sizes is not first.sizes
    assert bodies(second) == bodies(maildir_driver().open(path, identity()))


def test_a_maildir_changed_just_now_is_not_trusted(path: str) -> None:
    os.utime(f"{path}/new")
    driver = maildir_driver()
    first = driver.open(path, identity())
    assert driver.open(path, identity()).sizes is not first.sizes
    settle(path)
    second = driver.open(path, identity())
    assert driver.open(path, identity()).sizes is second.sizes


def test_known_sizes_are_not_counted_again(path: str) -> None:
    driver = maildir_driver()
    driver.open(path, identity())
    files = [*Path(path, "new").iterdir(), *Path(path, "cur").iterdir()]
    deliver(path)
    for file in files:
        os.chmod(file, 0)  # root may read them all the same, so look at the access times' substitute
    opened: list[tuple[str, bool]] = []

    class Watching(FaultyFiles):
        def open(
            self, path: str | bytes, flags: int = os.O_RDONLY, mode: int = 0o600, folder: int | None = None
        ) -> int:
            opened.append((os.fsdecode(path), folder is not None))
            return super().open(path, flags, mode, folder)

    watching = maildir_driver(Watching())
    watching.cache = driver.cache
    assert len(watching.open(path, identity()).sizes) == 6
    assert opened == [(f"{path}/new", False), ("3000.M1P1.host", True)]


def test_a_renamed_message_is_found(path: str) -> None:
    drop = maildir_driver().open(path, identity())
    move(path)
    Path(path, "cur", "1004.M4P1.host:2,").rename(Path(path, "cur", "1004.M4P1.host:2,FS"))
    assert bodies(drop) == [to_wire(message) for message in NEW + CUR]
    Path(path, "cur", "1000.M0P1.host:2,S").rename(Path(path, "cur", "1000.M0P1.host:2,RS"))
    drop.commit([0, 4], [])
    assert stored(path) == sorted([NEW[1], NEW[2], CUR[0]])


def test_a_vanished_message(path: str) -> None:
    drop = maildir_driver().open(path, identity())
    remove(path)
    with pytest.raises(MessageGone):
        drop.open(0)
    assert b"".join(drop.open(1)) == to_wire(NEW[1])
    drop.commit([0, 1], [])
    assert len(stored(path)) == 3


def test_a_message_that_changed_is_never_sent(path: str) -> None:
    drop = maildir_driver().open(path, identity())
    file = Path(path, "new", "1000.M0P1.host")
    file.write_bytes(NEW[0] + b"more\n")
    with pytest.raises(MessageGone):
        drop.open(0)
    file.write_bytes(b"\n" * len(NEW[0]))  # same size as stored, not on the wire
    with pytest.raises(MessageGone):
        drop.open(0)
    file.unlink()
    file.symlink_to(Path(path, "new", "1001.M1P1.host"))
    with pytest.raises(MessageGone):
        drop.open(0)
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(MessageGone):
        drop.open(0)


def test_a_large_message_that_is_cut_is_interrupted(path: str) -> None:
    big = mail(1, 30_000)
    file = Path(path, "new", "5000.M0P1.host")
    file.write_bytes(big)
    drop = maildir_driver().open(path, identity())
    body = drop.open(5)
    got = [next(body)]
    os.truncate(file, 100_000)
    with pytest.raises(BodyInterrupted):
        got.extend(body)
    assert to_wire(big).startswith(b"".join(got))


def test_descriptors_are_given_back(path: str) -> None:
    before = len(os.listdir("/proc/self/fd"))
    drop = maildir_driver().open(path, identity())
    bodies(drop)
    Path(path, "new", "5000.M0P1.host").write_bytes(mail(1, 30_000))
    body = maildir_driver().open(path, identity()).open(5)
    next(body)
    body.close()
    body.close()
    drop.commit([0], [1])
    assert len(os.listdir("/proc/self/fd")) == before


def test_only_what_was_retrieved_becomes_seen(path: str) -> None:
    drop = maildir_driver().open(path, identity())
    drop.commit([1], [0, 1, 3])
    assert names(path, "new") == ["1002.M2P1.host"]
    assert names(path, "cur") == ["1000.M0P1.host:2,S", "1003.M3P1.host:2,S", "1004.M4P1.host:2,"]
    assert stored(path) == sorted([NEW[0], NEW[2], *CUR])


def test_marking_never_replaces_a_message(path: str) -> None:
    Path(path, "cur", "1000.M0P1.host:2,S").write_bytes(b"other\n")
    drop = maildir_driver().open(path, identity())
    assert len(set(drop.uids)) == 6
    drop.commit([], list(range(6)))
    assert b"other\n" in stored(path)
    assert NEW[0] in stored(path)


@pytest.mark.parametrize(
    ("place", "seen"),
    [
        (b"new/a", b"cur/a:2,S"),
        (b"cur/a", b"cur/a:2,S"),
        (b"cur/a:2,", b"cur/a:2,S"),
        (b"cur/a:2,RF", b"cur/a:2,FRS"),
        (b"cur/a:2,FS", b"cur/a:2,FS"),
        (b"cur/a:1,x", b"cur/a:1,x"),
        (b"new/a:2,", b"cur/a:2,S"),
    ],
)
def test_where_seen_messages_lie(place: bytes, seen: bytes) -> None:
    assert seen_place(place) == seen


def test_a_fresh_maildir_without_folders_is_empty(tmp_path: Path) -> None:
    drop = maildir_driver().open(str(tmp_path), identity())
    assert (len(drop.sizes), len(drop.uids)) == (0, 0)
    drop.commit([], [])


def test_unfit_maildirs_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "new").write_bytes(b"")
    make_maildir(tmp_path / "good", NEW)
    (tmp_path / "link").symlink_to(tmp_path / "good")
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "cur").mkdir()
    (tmp_path / "half" / "new").symlink_to(tmp_path / "good" / "new")
    for name in ("file", "odd", "link", "half"):
        with pytest.raises(MaildropError) as caught:
            maildir_driver().open(str(tmp_path / name), identity())
        assert caught.value.reason is Reason.MAILBOX


def test_a_foreign_maildir_is_refused_also_from_memory(path: str) -> None:
    driver = maildir_driver()
    driver.open(path, identity())
    with pytest.raises(MaildropError) as caught:
        driver.open(path, Identity("x", "test", os.getuid() + 1, os.getgid()))
    assert caught.value.reason is Reason.MAILBOX


def check(path: str, deleted: list[int]) -> None:
    """No message outside `deleted` is lost, changed or doubled."""
    everything = NEW + CUR
    kept = [message for index, message in enumerate(everything) if index not in deleted]
    found = stored(path)
    assert all(found.count(message) == 1 for message in kept)
    assert all(message in everything for message in found)
    drop = maildir_driver().open(path, identity())
    assert sorted(bodies(drop)) == sorted(map(to_wire, found))
    assert len(set(drop.uids)) == len(found)


@pytest.mark.parametrize("deleted", [[0], [0, 1, 2, 3, 4], [4], [1, 3]])
@pytest.mark.parametrize("how", ["kill", "torn", "error", "full"])
def test_every_call_of_an_update(tmp_path: Path, deleted: list[int], how: str) -> None:
    at = calls = 0
    while at <= calls:
        at += 1
        path = make_maildir(tmp_path / f"M{at}", NEW, CUR)
        files = FaultyFiles()
        drop = maildir_driver(files).open(path, identity())
        error = {"error": errno.EIO, "full": errno.EDQUOT}.get(how, 0)
        files.arm(at, error=error, torn=how == "torn", sticky=how == "full")
        complete = False
        try:
            drop.commit(deleted, [0, 1, 2, 3])
            complete = True
        except (Killed, MaildropError):
            pass
        calls = max(calls, files.calls)
        files.bury()
        check(path, deleted)
        if complete:
            assert len(stored(path)) == 5 - len(deleted)


def test_errors_do_not_stop_the_rest_and_are_told(path: str) -> None:
    files = FaultyFiles()
    drop = maildir_driver(files).open(path, identity())
    files.arm(1, error=errno.EIO)
    with pytest.raises(MaildropError, match="1 of 3 messages were not removed") as caught:
        drop.commit([0, 1, 2], [])
    assert caught.value.reason is Reason.UNAVAILABLE
    assert stored(path) == sorted([NEW[0], *CUR])


def test_folders_are_on_the_disk_before_success(path: str) -> None:
    files = FaultyFiles()
    drop = maildir_driver(files).open(path, identity())
    for at in (2, 3):  # unlink, fsync, fsync
        files.arm(at, error=errno.EIO)
        with pytest.raises(MaildropError, match="disk"):
            drop.commit([0], [])


def test_a_message_that_appears_twice_while_it_moves(path: str) -> None:
    age(f"{path}/new")
    os.link(f"{path}/new/1000.M0P1.host", f"{path}/cur/1000.M0P1.host:2,")
    drop = maildir_driver().open(path, identity())
    assert len(set(drop.uids)) == len(drop.sizes) == 6
