"""Stop or fail an mbox update at every call that changes something, and look at what the next open shows."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.maildrop.kit import FaultyFiles, Killed, Recorder, bodies, identity, mbox, mbox_driver
from tests.maildrop.scenes import EARLY, LATE, MESSAGES, PATTERNS, Scene
from tpop3d_py.contracts import MaildropError
from tpop3d_py.maildrop.wire import to_wire


def count(folder: Path, deleted: Sequence[int], *, early: bool, reserve: int = 0) -> int:
    scene = Scene(folder, deleted, early=early, reserve=reserve)
    scene.files.arm()
    scene.drop.commit(deleted, ())
    calls = scene.files.calls
    scene.drop.close()
    assert scene.look() == scene.new
    scene.clean()
    return calls


def fails(scene: Scene) -> MaildropError | None:
    try:
        scene.drop.commit(scene.deleted, ())
    except MaildropError as error:
        return error
    return None


@pytest.mark.parametrize(
    ("code", "sticky"), [(errno.EIO, False), (errno.ENOSPC, True), (errno.EDQUOT, False)]
)
@pytest.mark.parametrize("reserve", [0, 16 * 1024])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_errors_at_every_call(tmp_path: Path, pattern: str, reserve: int, sticky: bool, code: int) -> None:
    deleted = PATTERNS[pattern]
    for at in range(1, count(tmp_path, deleted, early=True, reserve=reserve) + 1):
        scene = Scene(tmp_path, deleted, early=True, reserve=reserve)
        scene.files.arm(at, error=code, sticky=sticky)
        failure = fails(scene)
        assert failure is None or f"{len(deleted)} messages" in failure.detail or "locking" in failure.detail
        scene.files.arm()
        scene.drop.close()
        scene.files.bury()
        scene.deliver(LATE)
        shown = scene.look()
        assert shown == scene.new if failure is None else shown in (scene.old, scene.new)
        scene.clean()


def test_killed_again_during_recovery(tmp_path: Path) -> None:
    deleted = [2, 5]
    for first in range(5, count(tmp_path, deleted, early=False) + 1, 2):
        second = 0
        killed = True
        while killed:
            second += 1
            scene = Scene(tmp_path, deleted, early=False)
            scene.files.arm(first, torn=True)
            with pytest.raises(Killed):
                scene.drop.commit(deleted, ())
            scene.files.bury()
            scene.deliver(EARLY)
            files = FaultyFiles()
            files.arm(second, torn=second % 2 == 0)
            try:
                mbox_driver(files).open(str(scene.path), identity()).close()
                killed = False
            except Killed:
                pass
            files.bury()
            scene.deliver(LATE)
            assert scene.look() in (scene.old, scene.new)
            scene.clean()


def test_no_room_for_the_journal_leaves_the_mailbox_whole(tmp_path: Path) -> None:
    scene = Scene(tmp_path, [0], early=False)
    scene.files.arm(3, error=errno.ENOSPC, sticky=True)
    with pytest.raises(MaildropError, match="were not removed"):
        scene.drop.commit([0], ())
    scene.files.arm()
    scene.drop.commit([0], ())
    scene.drop.close()
    assert scene.look() == scene.new


def test_mode_and_owner_stay(tmp_path: Path) -> None:
    scene = Scene(tmp_path, [1], early=False)
    scene.path.chmod(0o660)
    before = scene.path.stat()
    scene.drop.commit([1], ())
    scene.drop.close()
    after = scene.path.stat()
    assert (after.st_mode, after.st_uid, after.st_gid, after.st_nlink) == (
        before.st_mode,
        before.st_uid,
        before.st_gid,
        1,
    )


def test_the_default_window_gives_the_same(tmp_path: Path) -> None:
    scene = Scene(tmp_path, [1, 3], early=True)
    drop = scene.drop
    drop.close()
    drop = mbox_driver().open(str(scene.path), identity())
    drop.commit([1, 3], ())
    drop.close()
    assert scene.look() == scene.new


def interrupted(folder: Path) -> Scene:
    """Return a scene whose journal holds a window."""
    scene = Scene(folder, [0], early=False)
    scene.files.arm(12)
    with pytest.raises(Killed):
        scene.drop.commit([0], ())
    scene.files.bury()
    assert (folder / ".luser.pypop3d-journal").exists()
    return scene


@pytest.mark.parametrize("how", ["replaced", "cut"])
def test_a_journal_of_another_mailbox_is_put_aside(tmp_path: Path, how: str) -> None:
    scene = interrupted(tmp_path)
    octets = mbox(MESSAGES[:2])
    if how == "replaced":
        other = tmp_path / "other"
        other.write_bytes(octets)
        other.rename(scene.path)
    else:
        scene.path.write_bytes(octets)
    log = Recorder()
    drop = mbox_driver(log=log).open(str(scene.path), identity())
    assert bodies(drop) == [to_wire(m) for m in MESSAGES[:2]]
    drop.close()
    assert scene.path.read_bytes() == octets
    assert any("salvage" in name for name in os.listdir(tmp_path))
    assert any("rewritten by another program" in line for line in log.lines)


def test_a_damaged_journal_never_harms(tmp_path: Path) -> None:
    """Whatever octet flips in the journal's slots, the mailbox is completed or the damage is noticed."""
    scene = interrupted(tmp_path)
    journal = tmp_path / ".luser.pypop3d-journal"
    good, box = journal.read_bytes(), scene.path.read_bytes()
    for at in range(0, len(good), 9):
        (tmp_path / "luser.lock").unlink(missing_ok=True)
        journal.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        scene.path.write_bytes(box)
        mbox_driver().open(str(scene.path), identity()).close()
        assert not journal.exists()
        kept = scene.path.read_bytes()
        assert all(message in kept for message in MESSAGES[1:])
