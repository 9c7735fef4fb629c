from __future__ import annotations

from pathlib import Path

from tests.maildrop.campaign import Tally, run


def test_no_accident_loses_changes_or_doubles_a_message(tmp_path: Path) -> None:
    tally: Tally = run(tmp_path)
    assert not tally.bad[:5]
    assert tally.kills >= 1_000
    assert tally.powers >= 2_000
    assert tally.errors >= 400
