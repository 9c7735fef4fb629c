from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tpop3d_py.maildrop.wire import SizeCounter, WireFilter, to_wire, wire_size

AWKWARD = st.lists(st.sampled_from([b"\r", b"\n", b".", b"x"]), max_size=12).map(b"".join)


def slowly(stored: bytes) -> bytes:
    """The rule, octet by octet."""
    wire = bytearray()
    for at, octet in enumerate(stored):
        if octet == 10 and not (at and stored[at - 1] == 13):
            wire += b"\r\n"
        else:
            wire.append(octet)
    if stored and not stored.endswith(b"\n"):
        wire += b"\r\n"
    return bytes(wire)


@pytest.mark.parametrize(
    ("stored", "wire"),
    [
        (b"", b""),
        (b"\n", b"\r\n"),
        (b"\r", b"\r\r\n"),
        (b"a", b"a\r\n"),
        (b"a\r\nb\n", b"a\r\nb\r\n"),
        (b"a\r\r\n", b"a\r\r\n"),
        (b"a\rb\n", b"a\rb\r\n"),
        (b"\n.\n", b"\r\n.\r\n"),
        (b".", b".\r\n"),
    ],
)
def test_rows(stored: bytes, wire: bytes) -> None:
    assert to_wire(stored) == wire == slowly(stored)
    assert wire_size(stored) == len(wire)


@given(AWKWARD, st.integers(1, 12))
def test_any_octets_in_any_chunks(stored: bytes, step: int) -> None:
    wire, counter = WireFilter(), SizeCounter()
    made = b""
    for at in range(0, len(stored), step):
        made += wire.feed(stored[at : at + step])
        counter.feed(stored[at : at + step])
    made += wire.finish()
    assert made == slowly(stored) == to_wire(stored)
    assert counter.total() == len(made) == wire_size(stored)


@given(AWKWARD)
def test_canonical_octets_stay(stored: bytes) -> None:
    once = to_wire(stored)
    assert to_wire(once) == once
    assert not once or once.endswith(b"\r\n")
    assert b"\n" not in once.replace(b"\r\n", b"")
