"""Accidents in the middle of mbox updates: one mailbox, one session, and what must be left of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

from tests.maildrop.kit import FaultyFiles, Recorder, bodies, identity, mail, mbox, mbox_driver
from tpop3d_py.maildrop.files import Files
from tpop3d_py.maildrop.locking import FcntlLock
from tpop3d_py.maildrop.wire import to_wire

MESSAGES = [mail(n, 1 + n * 3 % 5) for n in range(7)]
PATTERNS = {
    "first": [0],
    "middle": [3],
    "last": [6],
    "all": [0, 1, 2, 3, 4, 5, 6],
    "alternating": [0, 2, 4, 6],
    "others": [1, 3, 5],
    "tail": [4, 5, 6],
    "head": [0, 1, 2],
}
EARLY, LATE = mail(100), mail(200)
POWER_MESSAGES = [mail(n, 1 + n * 3 % 5) for n in range(6)]


class BusyFiles(FaultyFiles):
    """Lets an MTA that honors locks deliver a message before every call at which it finds none."""

    def __init__(self) -> None:
        super().__init__()
        self.deliver: Callable[[], None] = lambda: None

    def _tick(self, *, needs_room: bool = False) -> bool:
        if not self.dead:
            self.deliver()
        return super()._tick(needs_room=needs_room)


class Scene:
    """One mailbox, one session, one accident."""

    def __init__(
        self, folder: Path, deleted: Sequence[int], *, early: bool, window: int = 100, reserve: int = 0
    ) -> None:
        self.path = folder / "luser"
        self.reserve = reserve
        self.deleted = deleted
        self.path.write_bytes(mbox(MESSAGES))
        self.inode = self.path.stat().st_ino
        self.files = BusyFiles()
        self.drop = mbox_driver(self.files, window=window, reserve=reserve).open(str(self.path), identity())
        self.came: list[bytes] = []
        self.may_come: list[bytes] = []
        self.files.deliver = self.deliver_if_free
        if early:
            self.deliver(EARLY)

    def deliver(self, message: bytes) -> None:
        """Append as an MTA that takes no dotlock."""
        with self.path.open("ab") as box:
            box.write(mbox([message]))
        self.came.append(message)

    def deliver_if_free(self) -> None:
        """Append as an MTA that takes the dotlock and the fcntl lock, if there is something to deliver."""
        if not self.may_come or os.path.lexists(f"{self.path}.lock"):
            return
        with self.path.open("ab") as box:
            lock = FcntlLock(box.fileno())
            if lock.attempt():
                box.write(mbox([self.may_come[0]]))
                box.flush()
                self.came.append(self.may_come.pop(0))
                lock.release()

    @property
    def old(self) -> list[bytes]:
        return MESSAGES + self.came

    @property
    def new(self) -> list[bytes]:
        return [m for n, m in enumerate(MESSAGES) if n not in self.deleted] + self.came

    def look(self) -> list[bytes]:
        """Open the mailbox in a new process, so to say, and return the stored messages."""
        drop = mbox_driver(reserve=self.reserve).open(str(self.path), identity())
        found = bodies(drop)
        assert len(set(drop.uids)) == len(found)
        drop.close()
        shown = [m for m in self.old if to_wire(m) in found]
        assert [to_wire(m) for m in shown] == found, "every message once, in order, octet for octet"
        assert self.path.read_bytes() == mbox(shown)
        assert self.path.stat().st_ino == self.inode
        known = {".luser.pypop3d-lock", ".luser.pypop3d-index", "luser", f".pypop3d-reserve-{os.getuid()}"}
        assert set(os.listdir(self.path.parent)) <= known
        return shown

    def clean(self) -> None:
        for name in os.listdir(self.path.parent):
            (self.path.parent / name).unlink()


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

    def open(
        self, path: str | bytes, flags: int = os.O_RDONLY, mode: int = 0o600, folder: int | None = None
    ) -> int:
        fd = super().open(path, flags, mode, folder)
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


class PowerScene:
    """An mbox, an update of it, and what any state of the disk must lead to."""

    def __init__(self, folder: Path, deleted: list[int], came: list[bytes], window: int = 120) -> None:
        self.folder = folder
        self.path = folder / "luser"
        self.came = came
        kept = [message for index, message in enumerate(POWER_MESSAGES) if index not in deleted]
        self.allowed = [POWER_MESSAGES + came, kept + came]
        self.path.write_bytes(mbox(POWER_MESSAGES))
        film = Film()
        drop = mbox_driver(film, window=window).open(str(self.path), identity())
        film.scenes.clear()
        drop.commit(deleted, ())
        drop.close()
        self.scenes = film.scenes
        self.states = sorted(set(states(film.scenes, Disk(mbox(POWER_MESSAGES)))))

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

    def recovery_states(self, first: Disk) -> frozenset[Disk]:
        """Return every state that a power cut during the recovery from a state may leave."""
        found = self.set(first)
        return frozenset(states(self.film_recovery(), found))

    def check(self) -> None:
        drop = mbox_driver(log=Recorder()).open(str(self.path), identity())
        found = bodies(drop)
        drop.close()
        assert found in [[to_wire(message) for message in allowed] for allowed in self.allowed]
        assert self.path.read_bytes() in [mbox(allowed) for allowed in self.allowed]
        assert sorted(os.listdir(self.folder)) == [".luser.pypop3d-lock", "luser"]
