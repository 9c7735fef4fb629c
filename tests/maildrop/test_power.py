"""Cut the power at every moment of an mbox update, and try every state that the disk may then be in.

The model is the cautious one: of all changes since the last fsync of a file (or, for names, of the folder),
any subset may have reached the disk, and the last write may be torn.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.maildrop.kit import mbox
from tests.maildrop.scenes import LATE, POWER_MESSAGES, Disk, PowerScene, Sync, states


@pytest.mark.parametrize("deleted", [[0], [2], [5], [0, 2, 4], [1, 3], [0, 1, 2, 3, 4, 5]])
@pytest.mark.parametrize("late", [False, True])
def test_every_state_after_a_power_cut(tmp_path: Path, deleted: list[int], late: bool) -> None:
    scene = PowerScene(tmp_path, deleted, [LATE] if late else [])
    assert len(scene.states) >= 2
    for disk in scene.states:
        scene.set(disk)
        scene.check()


@pytest.mark.parametrize("late", [False, True])
def test_every_state_after_a_second_power_cut(tmp_path: Path, late: bool) -> None:
    scene = PowerScene(tmp_path, [0, 3], [LATE] if late else [])
    for first in [disk for disk in scene.states if disk.has_journal]:
        found = scene.set(first)
        for second in set(states(scene.film_recovery(), found)):
            scene.restore(second)
            scene.check()


def test_success_is_told_only_when_it_is_on_the_disk(tmp_path: Path) -> None:
    scene = PowerScene(tmp_path, [1], [])
    *_, last = states(scene.scenes, Disk(mbox(POWER_MESSAGES)))
    assert last == Disk(mbox(POWER_MESSAGES[:1] + POWER_MESSAGES[2:]))
    assert isinstance(scene.scenes[-1], Sync)
