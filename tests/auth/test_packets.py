"""The ancestor's packets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tpop3d_py.auth.packets import LONGEST, BadPacket, pack, unpack

TEXT = st.binary(max_size=20).map(lambda octets: octets.replace(b"\0", b""))
PAIRS = st.dictionaries(TEXT.filter(bool), TEXT, max_size=6)


def test_nothing_in_one_octet_where_that_will_do() -> None:
    assert unpack(b"\0") is None
    assert unpack(b"\0", terse=True) == unpack(b"\0\0", terse=True) == {}
    assert unpack(b"", terse=True) is None
    assert unpack(b"\0logmsg\0x\0\0", terse=True) == {b"logmsg": b"x"}
    assert unpack(b"logmsg\0x\0", terse=True) is None


def test_what_it_looks_like() -> None:
    assert pack({b"method": b"PASS", b"user": b"jan"}) == b"method\0PASS\0user\0jan\0\0"
    assert pack({}) == b"\0\0"


@given(pairs=PAIRS)
def test_it_comes_out_as_it_went_in_and_never_early(pairs: dict[bytes, bytes]) -> None:
    packet = pack(pairs)
    assert unpack(packet) == pairs
    assert unpack(packet + b"\0\0") == unpack(b"\0" + packet) == pairs
    for end in range(len(packet)):
        assert unpack(packet[:end]) is None


@given(octets=st.binary(max_size=100))
def test_nothing_else_is_raised(octets: bytes) -> None:
    try:
        pairs = unpack(octets)
    except BadPacket:
        return
    assert pairs is None or all(pairs)


def test_the_first_of_a_key_counts() -> None:
    assert unpack(b"result\0NO\0result\0YES\0\0") == {b"result": b"NO"}


@pytest.mark.parametrize("octets", [b"a\0b\0\0c", b"\0\0a\0b\0\0c", b"a\0\0\0b\0", b"x" * (LONGEST + 1)])
def test_what_can_become_no_packet(octets: bytes) -> None:
    with pytest.raises(BadPacket):
        unpack(octets)


def test_a_packet_is_never_too_long() -> None:
    longest = {b"k": b"v" * (LONGEST - 4)}
    assert len(pack(longest)) == LONGEST
    assert unpack(pack(longest)) == longest
    with pytest.raises(BadPacket, match="4097"):
        pack({b"k": b"v" * (LONGEST - 3)})
    with pytest.raises(BadPacket):
        unpack(b"k\0" + b"v" * (LONGEST - 3) + b"\0\0")


@pytest.mark.parametrize("pairs", [{b"a": b"b\0c"}, {b"a\0": b"b"}, {b"": b"b"}])
def test_texts_that_would_become_others(pairs: dict[bytes, bytes]) -> None:
    with pytest.raises(BadPacket):
        pack(pairs)
