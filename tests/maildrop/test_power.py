"""Cut the power at every moment of an mbox update, and try every state that the disk may then be in.

The model is the cautious one: of all changes since the last fsync of a file (or, for names, of the folder),
subset may have reached the disk, and the last write may be torn.
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

    def apply(self, content: bytes | None) -> bytes | None:
        if self.kind == "create":
            return b""
        if self.kind == "unlink" or content is None:
            return None
        if self.kind == "cut":
            return content[: self.offset]
        content = content.ljust(self.offset, b"\0")
        return content[: self.offset] + self.data + content[self.offset + len(self.data) :]


class Sync(NamedTuple):
    target: str  # box, journal, folder


class Film(Files):
    """Does everything and remembers it."""

    def __init__(self) -> None:
        self.scenes: list[Change | Sync] = []
        self._targets: dict[int, str] = {}

    def open(self, path: str, flags: int = os.O_RDONLY, mode: int = 0o600) -> int:
        fd = super().open(path, flags, mode)
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


Disk = tuple[bytes, bytes | None]


def states(scenes: list[Change | Sync], box: bytes) -> Iterator[Disk]:
    """Yield every state of the disk (mailbox, journal) that a power cut may leave."""
    durable: dict[str, bytes | None] = {"box": box, "journal": None}
    pending: list[Change] = []
    for scene in [*scenes, None]:
        yield from subsets(durable, pending)
        if isinstance(scene, Change):
            pending.append(scene)
        elif scene is not None:
            done = [change for change in pending if is_settled_by(change, scene)]
            # A file's octets can be on the disk before its name is: keep them for when the name comes.
            for change in done:
                durable[change.target] = change.apply(durable[change.target])
            pending = [change for change in pending if change not in done]


def is_settled_by(change: Change, sync: Sync) -> bool:
    if change.kind in ("create", "unlink"):
        # Every file system we know makes a new file's name durable with its fsync, or with the folder's.
        return sync.target == "folder" or (change.kind == "create" and sync.target == change.target)
    return sync.target == change.target


def subsets(durable: dict[str, bytes | None], pending: list[Change]) -> Iterator[Disk]:
    for chosen in product((0, 1, 2), repeat=len(pending)):
        if 2 in chosen[:-1] or (chosen and chosen[-1] == 2 and pending[-1].kind != "write"):
            continue  # only the last write can be torn
        disk = dict(durable)
        for how, change in zip(chosen, pending, strict=True):
            if how:
                data = change.data[: len(change.data) // 2] if how == 2 else change.data
                disk[change.target] = change._replace(data=data).apply(disk[change.target])
        assert disk["box"] is not None
        yield disk["box"], disk["journal"]


@pytest.mark.parametrize("deleted", [[0], [2], [5], [0, 2, 4], [1, 3], [0, 1, 2, 3, 4, 5]])
@pytest.mark.parametrize("late", [False, True])
def test_every_state_after_a_power_cut(tmp_path: Path, deleted: list[int], late: bool) -> None:
    path, film = tmp_path / "luser", Film()
    path.write_bytes(mbox(MESSAGES))
    drop = mbox_driver(film, window=120).open(str(path), identity())
    film.scenes.clear()
    drop.commit(deleted, ())
    drop.close()
    new = [message for index, message in enumerate(MESSAGES) if index not in deleted]
    seen = set(states(film.scenes, mbox(MESSAGES)))
    assert len(seen) >= 2
    came = [LATE] if late else []
    for box, journal in seen:
        path.write_bytes(box + mbox(came))  # keeps the inode
        if journal is not None:
            (tmp_path / ".luser.pypop3d-journal").write_bytes(journal)
        drop = mbox_driver(log=Recorder()).open(str(path), identity())
        found = bodies(drop)
        drop.close()
        assert found in ([to_wire(m) for m in MESSAGES + came], [to_wire(m) for m in new + came])
        assert path.read_bytes() in (mbox(MESSAGES + came), mbox(new + came))
        assert sorted(os.listdir(tmp_path)) == [".luser.pypop3d-lock", "luser"]


def test_success_is_told_only_when_it_is_on_the_disk(tmp_path: Path) -> None:
    path, film = tmp_path / "luser", Film()
    path.write_bytes(mbox(MESSAGES))
    drop = mbox_driver(film, window=120).open(str(path), identity())
    film.scenes.clear()
    drop.commit([1], ())
    drop.close()
    *_, last = states(film.scenes, mbox(MESSAGES))
    assert last == (mbox(MESSAGES[:1] + MESSAGES[2:]), None)
    assert isinstance(film.scenes[-1], Sync)
