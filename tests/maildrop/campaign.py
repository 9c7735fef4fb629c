"""Every accident that we can think of, counted: kills, errors and power cuts in updates of both formats.

The unit tests run a bounded campaign.  By hand, ``python -m tests.maildrop.campaign`` runs a longer one and
prints what docs/reliability.md says.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from tests.maildrop.kit import (
    FaultyFiles,
    Killed,
    QuickFiles,
    bodies,
    identity,
    mail,
    maildir_driver,
    make_maildir,
    settle,
)
from tests.maildrop.scenes import LATE, PATTERNS, PowerScene, Scene
from tpop3d_py.contracts import MaildropError
from tpop3d_py.maildrop import mbox_index
from tpop3d_py.maildrop.wire import to_wire

ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE)
NEW = [mail(n) for n in range(4)]
CUR = [mail(n) for n in range(4, 7)]
_ENOUGH = 4
#: Octets that the mailbox's folder has in reserve for a journal; where it has none, a full disk refuses.
_RESERVE = 16 * 1024
MAILDIR_PATTERNS = ([0], [2, 4], [0, 1, 2, 3], [4, 5, 6], [0, 1, 2, 3, 4, 5, 6])


@dataclass
class Tally:
    """What was tried, and what went wrong."""

    kills: int = 0
    powers: int = 0
    errors: int = 0
    bad: list[str] = field(default_factory=list)
    slowest: float = 0.0

    @contextlib.contextmanager
    def trying(self, what: str) -> Iterator[None]:
        """Note a failure instead of raising it."""
        try:
            yield
        except (AssertionError, MaildropError) as wrong:
            self.bad.append(f"{what}: {wrong}")

    @contextlib.contextmanager
    def timing(self) -> Iterator[None]:
        """Note how long the open after an accident takes, in seconds."""
        begun = time.monotonic()
        yield
        self.slowest = max(self.slowest, time.monotonic() - begun)


@contextlib.contextmanager
def large(is_large: bool) -> Iterator[None]:
    """Let every mailbox count as large, so that it has an index."""
    if not is_large:
        yield
        return
    with mock.patch.object(mbox_index, "WORTH_OCTETS", 1):
        yield


def commit(scene: Scene) -> bool | None:
    """Update; True if that was told to be done, False if not, None if we were killed."""
    try:
        scene.drop.commit(scene.deleted, ())
    except Killed:
        return None
    except MaildropError:
        return False
    return True


def until_complete(attempt: Callable[[int], bool]) -> None:
    """Call with 1, 2, 3, ... until it tells, several times, that nothing happened any more."""
    missed = 0
    for at in itertools.count(1):
        missed = 0 if attempt(at) else missed + 1
        if missed == _ENOUGH:  # how many calls there are depends a little on the mail that comes
            return


# --- mbox --------------------------------------------------------------------


def mbox_kills(folder: Path, tally: Tally, windows: Sequence[int]) -> None:
    """Kill at every changing call, whole and torn, while an MTA delivers whenever the locks allow it."""
    for pattern, window, torn, is_large in itertools.product(
        PATTERNS.values(), windows, (False, True), (False, True)
    ):

        def attempt(at: int) -> bool:
            with large(is_large):  # noqa: B023 - called at once
                reserve = _RESERVE if at % 5 else 0
                scene = Scene(folder, pattern, early=at % 2 == 0, window=window, reserve=reserve)  # noqa: B023
                scene.may_come = [mail(300), mail(301)] if at % 3 else []
                scene.files.arm(at, torn=torn)  # noqa: B023
                killed = commit(scene) is None
                scene.files.bury()
                if at % 4 < 2:
                    scene.deliver(LATE)
                with tally.trying(f"kill {pattern} at {at}, torn {torn}"), tally.timing():  # noqa: B023
                    assert scene.look() in ((scene.old, scene.new) if killed else (scene.new,))
                scene.clean()
                tally.kills += killed
            return killed

        until_complete(attempt)


def mbox_errors(folder: Path, tally: Tally) -> None:
    """Let every call fail, for each errno; success must mean that all is done."""
    for pattern, error, sticky, reserve in itertools.product(
        PATTERNS.values(), ERRORS, (False, True), (0, _RESERVE)
    ):

        def attempt(at: int) -> bool:
            scene = Scene(folder, pattern, early=True, reserve=reserve)  # noqa: B023
            scene.files.arm(at, error=error, sticky=sticky, opens=error == errno.EMFILE)  # noqa: B023
            done = commit(scene)
            reached = scene.files.calls >= at
            scene.files.arm()
            scene.drop.close()
            scene.files.bury()
            scene.deliver(LATE)
            with tally.trying(f"errno {error} {pattern} at {at}"):  # noqa: B023
                assert scene.look() in ((scene.new,) if done else (scene.old, scene.new))
            scene.clean()
            tally.errors += reached
            return reached

        until_complete(attempt)


def mbox_powers(folder: Path, tally: Tally, windows: Sequence[int]) -> None:
    """Cut the power: try every state that the disk may then be in, also when it is cut again."""
    for deleted, window, came in itertools.product(
        ([0], [2], [5], [0, 2, 4], [1, 3], [0, 1, 2, 3, 4, 5]), windows, ([], [LATE])
    ):
        scene = PowerScene(folder, deleted, came, window)
        for disk in scene.states:
            scene.set(disk)
            with tally.trying(f"power {deleted}"), tally.timing():
                scene.check()
            tally.powers += 1
        if window == windows[0] and len(deleted) in (1, 2):
            mbox_second_cuts(scene, tally)


def mbox_second_cuts(scene: PowerScene, tally: Tally) -> None:
    """Cut the power during the recovery as well."""
    for first in [disk for disk in scene.states if disk.has_journal]:
        for second in scene.recovery_states(first):
            scene.restore(second)
            with tally.trying("second power cut"):
                scene.check()
            tally.powers += 1


# --- maildir -----------------------------------------------------------------


class Yard:
    """One maildir, one session, one accident."""

    def __init__(self, folder: Path, deleted: Sequence[int]) -> None:
        shutil.rmtree(folder / "M", ignore_errors=True)
        self.path = make_maildir(folder / "M", NEW, CUR)
        Path(self.path, "maildirsize").write_bytes(b"9S\n")
        settle(self.path)
        self.deleted = deleted
        self.files = BusyMaildir(self.path)
        self.drop = maildir_driver(self.files).open(self.path, identity())

    def commit(self) -> bool | None:
        try:
            self.drop.commit(self.deleted, [0, 1, 4])
        except Killed:
            return None
        except MaildropError:
            return False
        return True

    def check(self, *, done: bool) -> None:
        """Everything kept and everything that came is there once, octet for octet."""
        drop = maildir_driver(QuickFiles()).open(self.path, identity())
        found = bodies(drop)
        assert len(set(drop.uids)) == len(found)
        kept = [to_wire(m) for n, m in enumerate(NEW + CUR) if n not in self.deleted]
        gone = [to_wire(m) for n, m in enumerate(NEW + CUR) if n in self.deleted]
        for message in [*kept, *(to_wire(m) for m in self.files.came)]:
            assert found.count(message) == 1
        rest = [message for message in found if message in gone]
        assert len(rest) == len(set(rest))
        assert not (done and rest)
        assert len(found) == len(kept) + len(self.files.came) + len(rest)


class BusyMaildir(FaultyFiles):
    """Delivers, and moves mail from ``new`` to ``cur`` as a mail reader, before every third call."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.came: list[bytes] = []
        self._folder = path
        self._ticks = 0

    def _tick(self, *, needs_room: bool = False) -> bool:
        self._ticks += 1
        if not self.dead and self._ticks % 3 == 0 and len(self.came) < 3:
            self.deliver()
        return super()._tick(needs_room=needs_room)

    def deliver(self) -> None:
        number = 400 + len(self.came)
        Path(self._folder, "new", f"9{number}.M1P1.host").write_bytes(mail(number))
        self.came.append(mail(number))
        there = sorted(os.listdir(f"{self._folder}/new"))
        os.rename(f"{self._folder}/new/{there[0]}", f"{self._folder}/cur/{there[0]}:2,F")


def maildir_kills(folder: Path, tally: Tally) -> None:
    """Kill at every changing call, before and after it took effect."""
    for deleted, torn in itertools.product(MAILDIR_PATTERNS, (False, True)):

        def attempt(at: int) -> bool:
            yard = Yard(folder, deleted)  # noqa: B023
            yard.files.arm(at, torn=torn)  # noqa: B023
            done = yard.commit()
            yard.files.bury()
            with tally.trying(f"maildir kill {deleted} at {at}"), tally.timing():  # noqa: B023
                yard.check(done=bool(done))
            tally.kills += done is None
            return done is None

        until_complete(attempt)


def maildir_errors(folder: Path, tally: Tally) -> None:
    """Let every call fail; success must mean that all is removed."""
    for deleted, error, sticky in itertools.product(MAILDIR_PATTERNS, ERRORS, (False, True)):

        def attempt(at: int) -> bool:
            yard = Yard(folder, deleted)  # noqa: B023
            yard.files.arm(at, error=error, sticky=sticky, opens=error == errno.EMFILE)  # noqa: B023
            done = yard.commit()
            reached = yard.files.calls >= at
            yard.files.bury()
            with tally.trying(f"maildir errno {error} {deleted} at {at}"):  # noqa: B023
                yard.check(done=bool(done))
            tally.errors += reached
            return reached

        until_complete(attempt)


def maildir_powers(folder: Path, tally: Tally) -> None:
    """Cut the power before the folders are synced: any of the changed names may be as they were."""
    for deleted in MAILDIR_PATTERNS:
        yard = Yard(folder, deleted)
        before = snapshot(yard.path)
        yard.files.came.append(b"")  # nobody delivers here
        yard.files.came.clear()
        yard.drop = maildir_driver(QuickFiles()).open(yard.path, identity())
        assert yard.commit()
        after = snapshot(yard.path)
        changed = [base for base in before if before[base] != after.get(base)]
        for taken in itertools.product((False, True), repeat=len(changed)):
            state = before | {base: after.get(base) for base, new in zip(changed, taken, strict=True) if new}
            restore(yard.path, before, state)
            with tally.trying(f"maildir power {deleted}"), tally.timing():
                yard.check(done=False)
            tally.powers += 1


def snapshot(path: str) -> dict[str, str | None]:
    """Return where each message lies, by base name."""
    places = (f"{folder}/{name}" for folder in ("new", "cur") for name in os.listdir(f"{path}/{folder}"))
    return {place[4:].partition(":")[0]: place for place in places}


def restore(path: str, octets: dict[str, str | None], state: dict[str, str | None]) -> None:
    """Make a maildir's names be those of a state."""
    for folder in ("new", "cur"):
        for name in os.listdir(f"{path}/{folder}"):
            os.unlink(f"{path}/{folder}/{name}")
    for number, (base, place) in enumerate(sorted(state.items())):
        assert base in octets
        if place is not None:
            Path(path, place).write_bytes((NEW + CUR)[number])


def run(folder: Path, windows: Sequence[int] = (100,)) -> Tally:
    """Run everything in an empty folder."""
    tally = Tally()
    mbox_kills(folder, tally, windows)
    mbox_errors(folder, tally)
    mbox_powers(folder, tally, [window + 20 for window in windows])
    for name in os.listdir(folder):
        os.unlink(folder / name)
    maildir_kills(folder, tally)
    maildir_errors(folder, tally)
    maildir_powers(folder, tally)
    return tally


def main() -> int:
    """Run the long campaign and print its figures."""
    with tempfile.TemporaryDirectory() as folder:
        tally = run(Path(folder), (64, 100, 150, 333, 4096))
    for line in tally.bad[:20]:
        print(line)
    print(f"kill points {tally.kills}, power states {tally.powers}, failed calls {tally.errors}")
    print(f"bad {len(tally.bad)}; slowest open after an accident {1000 * tally.slowest:.0f} ms")
    return 1 if tally.bad else 0


if __name__ == "__main__":
    sys.exit(main())
