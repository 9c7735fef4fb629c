"""The long day's own judgment: each broken promise is seen."""

from __future__ import annotations

import random

import pytest

from tests.soak.ledger import Box, Ledger, as_sent, compose, token_of

LETTER = compose("t1x1", random.Random(1))
OTHER = compose("t1x2", random.Random(2))


@pytest.fixture
def ledger() -> Ledger:
    return Ledger([Box("luser", "bsd", {"t1x1": LETTER, "t1x2": OTHER})])


def test_a_letter_is_known_by_its_token() -> None:
    assert token_of(as_sent(LETTER)) == "t1x1"
    assert token_of(as_sent(LETTER)[:-3]) == token_of(b"") == ""


def test_what_is_as_it_should_be(ledger: Ledger) -> None:
    box = ledger.boxes[0]
    for _ in range(2):
        ledger.check_listing(box, {b"a": as_sent(LETTER), b"b": as_sent(OTHER)})
    box.removed.add("t1x1")
    ledger.check_complete(box, {"t1x2"})
    box.doubtful.add("t1x2")
    ledger.check_complete(box, set())
    assert ledger.wrongs == []


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({b"a": as_sent(LETTER)[1:]}, "is not what was delivered"),
        ({b"a": as_sent(LETTER)[:-7]}, "is not what was delivered"),
        ({b"a": as_sent(LETTER), b"b": as_sent(LETTER)}, "is there twice"),
        ({b"b": as_sent(OTHER)}, "was removed and is there again"),
        ({b"c": as_sent(LETTER)}, "was b'a' and is b'c' now"),
    ],
)
def test_each_wrong(ledger: Ledger, found: dict[bytes, bytes], said: str) -> None:
    box = ledger.boxes[0]
    box.uids["t1x1"] = b"a"
    box.removed.add("t1x2")
    ledger.check_listing(box, found)
    assert any(said in wrong for wrong in ledger.wrongs), ledger.wrongs


def test_what_is_lost(ledger: Ledger) -> None:
    ledger.check_complete(ledger.boxes[0], {"t1x1"})
    assert ledger.wrongs == ["luser: t1x2 is lost"]
