"""Cut the power at every moment of an mbox update, and try every state that the disk may then be in.

The model is the cautious one: of all changes since the last fsync of a file (or, for names, of the folder),
any subset may have reached the disk, and the last write may be torn.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.maildrop.kit import Recorder, bodies, identity, mail, mbox, mbox_driver
from tpop3d_py.maildrop.files import Files
from tpop3d_py.maildrop.wire import to_wire

MESSAGES = [mail(n, 1 + n * 3 % 5) for n in range(6)]
LATE = mail(200)


class Change(NamedTuple):
    kind: str  # write, cut, create, unlink
    target: str  # box, journal
    offset: int = 0
    data: bytes = b""

    @property
    def is_of_names(self) -> bool:
        return self.kind in ("create", "unlink")

    def apply(self, disk: Disk) -> Disk:
        if self.is_of_names:
            return disk._replace(has_journal=self.kind == "create")
        content = disk.box if self.target == "box" else disk.journal
        if self.kind == "cut":
            content = content[: self.offset]
        else:
            content = content.ljust(self.offset, b"\0")
            content = content[: self.offset] + self.data + content[self.offset + len(self.data) :]
        if self.target == "box":
            return disk._replace(box=content)
        return disk._replace(journal=content)


class Disk(NamedTuple):
    box: bytes
    journal: bytes = b""  # what is on the disk, whether or not its name is there too
    has_journal: bool = False


class Sync(NamedTuple):
    target: str  # box, journal, folder


class Film(Files):
    """Does everything and remembers it."""

    def __init__(self) -> None:
        self.scenes: list[Change | Sync] = []
        self._targets: dict[int, str] = {}

    def open(self, path: str | bytes, flags: int = os.O_RDONLY, mode: int = 0o600) -> int:
        fd = super().open(path, flags, mode)
        path = os.fsdecode(path)
        self._targets[fd] = "folder" if flags & os.O_DIRECTORY == os.O_DIRECTORY else name(path)
        if flags & os.O_CREAT:
            self._add(Change("create", name(path)))
        return fd

    def pwrite(self, fd: int, data: bytes | memoryview, offset: int) -> int:
        self._add(Change("write", self._targets[fd], offset, bytes(data)))
        return super().pwrite(fd, data, offset)

    def fallocate(self, fd: int, length: int) -> None:
        self._add(Change("write", self._targets[fd], length - 1, b"\0"))
        super().fallocate(fd, length)

    def ftruncate(self, fd: int, length: int) -> None:
        self._add(Change("cut", self._targets[fd], length))
        super().ftruncate(fd, length)

    def fsync(self, fd: int) -> None:
        self._add(Sync(self._targets[fd]))

    def unlink(self, path: str) -> None:
        self._add(Change("unlink", name(path)))
        super().unlink(path)

    def _add(self, scene: Change | Sync) -> None:
        if scene.target in ("box", "journal", "folder"):
            self.scenes.append(scene)


def name(path: str) -> str:
    return {"luser": "box", ".luser.pypop3d-journal": "journal"}.get(os.path.basename(path), "other")


def states(scenes: list[Change | Sync], disk: Disk) -> Iterator[Disk]:
    """Yield every state of the disk that a power cut may leave, from first to last."""
    pending: list[Change] = []
    for scene in [*scenes, None]:
        yield from subsets(disk, pending)
        if isinstance(scene, Change):
            pending.append(scene)
        elif scene is not None:
            for change in pending:
                disk = change.apply(disk) if is_settled_by(change, scene) else disk
            pending = [change for change in pending if not is_settled_by(change, scene)]


def is_settled_by(change: Change, sync: Sync) -> bool:
    return sync.target == ("folder" if change.is_of_names else change.target)


def subsets(durable: Disk, pending: list[Change]) -> Iterator[Disk]:
    for chosen in product((0, 1, 2), repeat=len(pending)):
        if 2 in chosen[:-1] or (chosen and chosen[-1] == 2 and pending[-1].kind != "write"):
            continue  # only the last write can be torn
        disk = durable
        for how, change in zip(chosen, pending, strict=True):
            if how:
                data = change.data[: len(change.data) // 2] if how == 2 else change.data
                disk = change._replace(data=data).apply(disk)
        yield disk if disk.has_journal else disk._replace(journal=b"")


class Scene:
    """An mbox, an update of it, and what any state of the disk must lead to."""

    def __init__(self, folder: Path, deleted: list[int], came: list[bytes]) -> None:
        self.folder = folder
        self.path = folder / "luser"
        self.came = came
        kept = [message for index, message in enumerate(MESSAGES) if index not in deleted]
        self.allowed = [MESSAGES + came, kept + came]
        self.path.write_bytes(mbox(MESSAGES))
        film = Film()
        drop = mbox_driver(film, window=120).open(str(self.path), identity())
        film.scenes.clear()
        drop.commit(deleted, ())
        drop.close()
        self.scenes = film.scenes
        self.states = sorted(set(states(film.scenes, Disk(mbox(MESSAGES)))))

    def set(self, disk: Disk) -> Disk:
        """Make the disk so, and append the mail that came; the inode stays."""
        disk = disk._replace(box=disk.box + mbox(self.came))
        self.restore(disk)
        return disk

    def restore(self, disk: Disk) -> None:
        self.path.write_bytes(disk.box)
        journal = self.folder / ".luser.pypop3d-journal"
        if disk.has_journal:
            journal.write_bytes(disk.journal)
        else:
            journal.unlink(missing_ok=True)

    def film_recovery(self) -> list[Change | Sync]:
        film = Film()
        mbox_driver(film).open(str(self.path), identity()).close()
        return film.scenes

    def check(self) -> None:
        drop = mbox_driver(log=Recorder()).open(str(self.path), identity())
        found = bodies(drop)
        drop.close()
        assert found in [[to_wire(message) for message in allowed] for allowed in self.allowed]
        assert self.path.read_bytes() in [mbox(allowed) for allowed in self.allowed]
        assert sorted(os.listdir(self.folder)) == [".luser.pypop3d-lock", "luser"]


@pytest.mark.parametrize("deleted", [[0], [2], [5], [0, 2, 4], [1, 3], [0, 1, 2, 3, 4, 5]])
@pytest.mark.parametrize("late", [False, True])
def test_every_state_after_a_power_cut(tmp_path: Path, deleted: list[int], late: bool) -> None:
    scene = Scene(tmp_path, deleted, [LATE] if late else [])
    assert len(scene.states) >= 2
    for disk in scene.states:
        scene.set(disk)
        scene.check()


@pytest.mark.parametrize("late", [False, True])
def test_every_state_after_a_second_power_cut(tmp_path: Path, late: bool) -> None:
    scene = Scene(tmp_path, [0, 3], [LATE] if late else [])
    for first in [disk for disk in scene.states if disk.has_journal]:
        found = scene.set(first)
        for second in set(states(scene.film_recovery(), found)):
            scene.restore(second)
            scene.check()


def test_success_is_told_only_when_it_is_on_the_disk(tmp_path: Path) -> None:
    scene = Scene(tmp_path, [1], [])
    *_, last = states(scene.scenes, Disk(mbox(MESSAGES)))
    assert last == Disk(mbox(MESSAGES[:1] + MESSAGES[2:]))
    assert isinstance(scene.scenes[-1], Sync)
