from __future__ import annotations

from pathlib import Path

import pytest

from tests.maildrop.kit import FaultyFiles, Killed, identity
from tpop3d_py.maildrop.journal import Journal, Plan, Record, State


def test_the_newest_whole_record_counts(tmp_path: Path) -> None:
    files = FaultyFiles()
    box = str(tmp_path / "box")
    plan = Plan(64, 1000, ((10, 20), (30, 40)))
    journal = Journal.create(files, box, identity(), plan)
    assert journal.latest() is None
    for n in range(5):
        journal.put(Record(State.WINDOW, 1, 1000, 900, n, n, b"x" * n))
    journal.close()
    again = Journal.load(files, box, identity())
    assert again is not None
    assert again.plan == plan
    newest = again.latest()
    assert newest == Record(State.WINDOW, 1, 1000, 900, 4, 4, b"xxxx")
    files.arm(1, torn=True)
    with pytest.raises(Killed):
        again.put(Record(State.NEWLINES, 1, 1000, 900))
    files.bury()
    third = Journal.load(FaultyFiles(), box, identity())
    assert third is not None
    assert third.latest() == newest
    third.close()


def test_a_plan_goes_on_with_new_mail() -> None:
    plan = Plan(64, 1000, ((10, 20), (30, 40)))
    assert list(plan.rest(15, 1100)) == [(15, 20), (30, 40), (1000, 1100)]
    assert list(plan.rest(1000, 1000)) == []
    assert list(plan.rest(1050, 1100)) == [(1050, 1100)]
