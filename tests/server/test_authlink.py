"""What travels between a worker and an authentication process."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tpop3d_py.contracts import Credentials, Decision, Identity, Mechanism, Peer, Verdict
from tpop3d_py.pop3.sasl import RESPONSE_LIMIT
from tpop3d_py.server.authlink import (
    PACKET,
    AuthLink,
    Request,
    pack_answer,
    pack_request,
    unpack_answer,
    unpack_request,
)

TEXT = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=40)
NUMBER = st.integers(0, 2**63)
OCTETS = st.binary(max_size=60).map(lambda b: b.replace(b"\0", b""))


@given(
    number=NUMBER,
    mechanism=st.sampled_from(Mechanism),
    user=OCTETS.map(lambda b: b.decode("utf-8", "surrogateescape")),
    secret=OCTETS,
    domain=TEXT,
    exchange=st.lists(OCTETS, max_size=3).map(tuple),
    binding=st.binary(max_size=64),
)
def test_a_request_comes_out_as_it_went_in(
    number: int,
    mechanism: Mechanism,
    user: str,
    secret: bytes,
    domain: str,
    exchange: tuple[bytes, ...],
    binding: bytes,
) -> None:
    peer = Peer("2001:db8::1", 65535, "192.0.2.2", 110, domain)
    credentials = Credentials(mechanism, user, secret, b"<s@x>", peer, exchange, binding)
    request = Request(number, 3, 12345, credentials)
    assert unpack_request(pack_request(request)) == request


@given(number=NUMBER, texts=st.lists(TEXT, min_size=7, max_size=7), uid=st.integers(1, 2**32 - 2))
def test_a_granted_answer_comes_out_as_it_went_in(number: int, texts: list[str], uid: int) -> None:
    user, driver, mailbox, kind, local_part, domain, home = texts
    identity = Identity(user, driver, uid, uid + 1, mailbox, kind, local_part, domain, home)
    for decision in (
        Decision(Verdict.GRANTED, identity),
        Decision(Verdict.GRANTED, identity, challenge=b"v="),
    ):
        assert unpack_answer(pack_answer(number, decision)) == (number, decision)


def test_the_largest_request_fits_a_packet() -> None:
    peer = Peer("f" * 39, 65535, "f" * 39, 65535, "x" * 255)
    token = Credentials(Mechanism.BEARER, "u" * RESPONSE_LIMIT, b"t" * RESPONSE_LIMIT, b"", peer)
    # Name and token come out of one response in base64: together they are at most three quarters of it.
    packet = pack_request(Request(2**64, 255, 2**63, token))
    assert len(packet) - 2 * RESPONSE_LIMIT + RESPONSE_LIMIT * 3 // 4 < PACKET
    said = (b"a" * 2048, b"b" * 2100, b"c" * 2048)
    scram = Credentials(Mechanism.SCRAM_PLUS, "u" * 2048, b"", b"", peer, said, b"x" * 64)
    assert len(pack_request(Request(2**64, 255, 2**63, scram))) < PACKET


@given(OCTETS)
def test_a_challenge_comes_out_as_it_went_in(octets: bytes) -> None:
    decision = Decision(Verdict.CONTINUE, challenge=octets)
    assert unpack_answer(pack_answer(7, decision)) == (7, decision)


@pytest.mark.parametrize("verdict", [Verdict.REFUSED, Verdict.NOT_MINE, Verdict.UNAVAILABLE])
def test_other_answers(verdict: Verdict) -> None:
    number, decision = unpack_answer(pack_answer(7, Decision(verdict, detail="a\0b")))
    assert (number, decision) == (7, Decision(verdict, detail="a b"))


def test_a_row_that_no_packet_can_carry_is_unavailable_at_once() -> None:
    identity = Identity("jan", "fake", 5000, 5000, "/srv/a\0b")
    number, decision = unpack_answer(pack_answer(7, Decision(Verdict.GRANTED, identity)))
    assert (number, decision.verdict) == (7, Verdict.UNAVAILABLE)


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"x",
        b"1\0granted\0\0",
        b"1\0refused\0\0\0u\0d\x001\x001\0\0\0\0\0",
        b"1\0maybe\0\0",
        b"x\0refused\0\0",
        b"1\0refused\0",
        b"1\0refused",
    ],
)
def test_damaged_answers(packet: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        unpack_answer(packet)


@given(st.binary(max_size=100))
def test_any_octets_are_a_request_or_a_value_error(packet: bytes) -> None:
    try:
        unpack_request(packet)
    except ValueError:
        return
    raise AssertionError("twelve fields with numbers by accident?")


def test_drain_forgets_what_a_dead_worker_never_read() -> None:
    link = AuthLink(2)
    for n in range(3):
        link.answers_out[1].send(b"%d" % n)
    link.drain(1)
    with pytest.raises(BlockingIOError):
        link.answers_in[1].recv(10)
    link.drain(0)
