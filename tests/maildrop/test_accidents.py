"""What others do to a mailbox under an open session; and what lies in mailboxes that is no mail."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.maildrop.kit import (
    QuickFiles,
    Recorder,
    bodies,
    identity,
    mail,
    maildir_driver,
    make_maildir,
    mbox,
    mbox_driver,
)
from tpop3d_py.contracts import Identity, Maildrop, MaildropError
from tpop3d_py.maildrop.wire import to_wire

BIG = mail(50, 9000)  # several reads long
MESSAGES = [mail(0), BIG, mail(2), mail(3), mail(4)]


def appended(box: Path) -> None:
    with box.open("ab") as file:
        file.write(mbox([mail(90)]))


def status_set(box: Path) -> None:
    box.write_bytes(box.read_bytes().replace(b"Subject: 2\n", b"Status: RO\nSubject: 2\n"))


def same_size(box: Path) -> None:
    """Another program marks mail as read in place, within the space there is."""
    box.write_bytes(box.read_bytes().replace(b"Subject: 3\n", b"Subject: 9\n"))


def expunged(box: Path) -> None:
    octets = mbox(MESSAGES[1:])
    with box.open("r+b") as file:
        file.write(octets)
        file.truncate()


def half_expunged(box: Path) -> None:
    with box.open("r+b") as file:
        file.write(mbox(MESSAGES[1:3]))


def swapped(box: Path) -> None:
    box.write_bytes(mbox([MESSAGES[2], BIG, MESSAGES[0], *MESSAGES[3:]]))


def replaced(box: Path) -> None:
    (box.parent / "other").write_bytes(mbox([mail(70), *MESSAGES[1:]]))
    (box.parent / "other").rename(box)


def cut(box: Path) -> None:
    os.truncate(box, len(mbox(MESSAGES[:1])) + 100_000)


def emptied(box: Path) -> None:
    os.truncate(box, 0)


def removed(box: Path) -> None:
    box.unlink(missing_ok=True)


def linked(box: Path) -> None:
    box.unlink(missing_ok=True)
    (box.parent / "foreign").write_bytes(mbox([mail(80)] * 5))
    box.symlink_to(box.parent / "foreign")


MBOX_ACCIDENTS = [
    appended,
    status_set,
    same_size,
    expunged,
    half_expunged,
    swapped,
    replaced,
    cut,
    emptied,
    removed,
    linked,
]
STEP = st.one_of(
    st.tuples(st.just("retr"), st.integers(0, len(MESSAGES) - 1)),
    st.tuples(st.just("accident"), st.integers(0, len(MBOX_ACCIDENTS) - 1)),
)


def read_until_accident(drop: Maildrop, index: int, accident: Callable[[], None]) -> bytes | None:
    """Retrieve a message, with an accident behind its first chunk; None if we were told that it failed."""
    try:
        body = drop.open(index)
        octets = next(body, b"")
        accident()
        for chunk in body:
            octets += chunk
    except MaildropError:
        return None
    body.close()
    return octets


def contents(box: Path) -> bytes | None:
    return box.read_bytes() if box.exists() else None


@settings(max_examples=150, deadline=None)
@given(
    steps=st.lists(STEP, max_size=5),
    during=st.one_of(st.none(), st.integers(0, len(MBOX_ACCIDENTS) - 1)),
    deleted=st.sets(st.integers(0, len(MESSAGES) - 1), min_size=1),
)
def test_an_mbox_under_an_open_session(
    steps: list[tuple[str, int]], during: int | None, deleted: set[int]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        box = Path(folder, "luser")
        box.write_bytes(mbox(MESSAGES))
        drop = mbox_driver().open(str(box), identity())
        touched: set[str] = set()

        def accident(number: int) -> None:
            if box.exists() and not box.is_symlink():
                MBOX_ACCIDENTS[number](box)
                touched.add(MBOX_ACCIDENTS[number].__name__)

        for what, number in [*steps, ("retr", 1)]:
            if what == "accident":
                accident(number)
                continue
            got = read_until_accident(drop, number, lambda: accident(during) if during is not None else None)
            # Octets that the file has now, at the place of the message, with its size, are its octets.
            altered = to_wire(MESSAGES[number].replace(b"Subject: 3\n", b"Subject: 9\n"))
            assert got in (None, to_wire(MESSAGES[number]), altered)
            assert got is not None or touched
        before = contents(box)
        try:
            drop.commit(sorted(deleted), ())
            done = True
        except MaildropError:
            done = False
        drop.close()
        check_left(box, before, deleted, done, touched)


def check_left(box: Path, before: bytes | None, deleted: set[int], done: bool, touched: set[str]) -> None:
    """Nothing changed, or exactly the deleted messages are gone."""
    if not done:
        assert contents(box) == before
        assert touched
        return
    assert before is not None
    gone = before
    for index in deleted:
        stored = MESSAGES[index]
        for form in (stored, stored.replace(b"Subject: 3\n", b"Subject: 9\n")):
            if mbox([form]) in gone:
                gone = gone.replace(mbox([form]), b"", 1)
                break
    assert contents(box) == gone
    assert len(before) - len(gone) == sum(len(mbox([MESSAGES[index]])) for index in deleted)


def fifo(path: Path) -> None:
    os.mkfifo(path)


def unix_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(os.path.relpath(path))


def folder(path: Path) -> None:
    path.mkdir()


def symlink(path: Path) -> None:
    (path.parents[1] / "victim").write_bytes(mail(66))
    path.symlink_to(path.parents[1] / "victim")


def dangling(path: Path) -> None:
    path.symlink_to("/nowhere")


def unreadable(path: Path) -> None:
    path.write_bytes(mail(66))
    path.chmod(0)


def foreign_link(path: Path) -> None:
    victim = path.parents[1] / "victim"
    victim.write_bytes(mail(66))
    os.chown(victim, os.getuid(), os.getgid())
    os.link(victim, path)


class Refusing(QuickFiles):
    """Refuses what a process without privileges could not read."""

    def open(
        self, path: str | bytes, flags: int = os.O_RDONLY, mode: int = 0o600, folder: int | None = None
    ) -> int:
        if os.path.basename(os.fsdecode(path)).startswith("2000.") and not (
            os.stat(path, dir_fd=folder).st_mode & 0o400
        ):
            raise PermissionError(13, "Permission denied")
        return super().open(path, flags, mode, folder)


@pytest.mark.parametrize("what", [fifo, unix_socket, folder, symlink, dangling, unreadable])
@pytest.mark.parametrize("where", ["new", "cur"])
def test_what_is_no_message_is_left_out_of_a_maildir(
    tmp_path: Path, where: str, what: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = make_maildir(tmp_path / "M", [mail(1)], [mail(2)])
    odd = Path(path, where, "2000.M1P1.host" + (":2," if where == "cur" else ""))
    what(odd)
    log = Recorder()
    drop = maildir_driver(Refusing(), log).open(path, identity())
    assert bodies(drop) == [to_wire(mail(1)), to_wire(mail(2))]
    drop.commit([0], [0, 1])
    assert os.path.lexists(odd)
    assert any("left out" in line for line in log.lines)


def test_a_link_to_somebody_elses_file_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_maildir(tmp_path / "M", [mail(1)])
    foreign_link(Path(path, "new", "2000.M1P1.host"))
    assert len(bodies(maildir_driver().open(path, identity()))) == 2, "one owner: a delivery to two boxes"
    for module in ("maildir", "maildir_scan"):
        monkeypatch.setattr(
            f"tpop3d_py.maildrop.{module}.is_link_to_foreign", lambda found, uid: found.st_nlink > 1
        )
    log = Recorder()
    drop = maildir_driver(log=log).open(path, identity())
    assert bodies(drop) == [to_wire(mail(1))]
    assert any("link" in line for line in log.lines)
    file = Path(path, "new", "1000.M0P1.host")
    os.link(file, tmp_path / "second")
    with pytest.raises(MaildropError):
        drop.open(0)


@pytest.mark.parametrize("what", [fifo, unix_socket, folder, symlink, dangling])
def test_what_is_no_mbox_is_refused_at_once(
    tmp_path: Path, what: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "spool").mkdir()
    monkeypatch.chdir(tmp_path)
    box = tmp_path / "spool" / "luser"
    what(box)
    for drops in (mbox_driver(), mbox_driver(methods=("flock", "c-client"))):
        with pytest.raises(MaildropError):
            drops.open(str(box), identity())
    assert os.listdir(box.parent) == ["luser"]


def test_a_foreign_mbox_is_refused(tmp_path: Path) -> None:
    box = tmp_path / "luser"
    box.write_bytes(mbox(MESSAGES))
    with pytest.raises(MaildropError):
        mbox_driver().open(str(box), Identity("x", "test", os.getuid() + 7, os.getgid()))
