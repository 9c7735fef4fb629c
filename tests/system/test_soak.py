"""A minute of the long day: nothing lost, doubled or changed, and nothing grows."""

from __future__ import annotations

import pwd
from pathlib import Path

from tests.soak.run import Day, live_through


def test_a_minute_of_clients_deliveries_reloads_and_kills(area: Path, vmail: pwd.struct_passwd) -> None:
    day = Day(wild=40, calm=20, boxes=6, reload_every=5, kill_every=2)
    outcome = live_through(day, area / "soak", vmail, say=lambda _text: None)
    assert outcome.wrongs == []
    assert outcome.counts["visits"] > 50, outcome.counts
    assert outcome.counts["delivered"] > 50, outcome.counts
    assert outcome.counts["kills"] > 10
    assert outcome.counts["reloads"] > 5
    before, after = outcome.before, outcome.after
    assert (after.processes, after.threads) == (before.processes, before.threads), (before, after)
    assert after.descriptors <= before.descriptors + 2, (before, after)
    assert after.memory <= before.memory + 4096, (before, after)
