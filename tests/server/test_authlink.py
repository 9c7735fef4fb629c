"""What travels between a worker and an authentication process."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tpop3d_py.contracts import Credentials, Decision, Identity, Mechanism, Peer, Verdict
from tpop3d_py.server.authlink import (
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
)
def test_a_request_comes_out_as_it_went_in(
    number: int, mechanism: Mechanism, user: str, secret: bytes, domain: str
) -> None:
    peer = Peer("2001:db8::1", 65535, "192.0.2.2", 110, domain)
    request = Request(number, 3, 12345, Credentials(mechanism, user, secret, b"<s@x>", peer))
    assert unpack_request(pack_request(request)) == request


@given(number=NUMBER, texts=st.lists(TEXT, min_size=7, max_size=7), uid=st.integers(1, 2**32 - 2))
def test_a_granted_answer_comes_out_as_it_went_in(number: int, texts: list[str], uid: int) -> None:
    user, driver, mailbox, kind, local_part, domain, home = texts
    identity = Identity(user, driver, uid, uid + 1, mailbox, kind, local_part, domain, home)
    assert unpack_answer(pack_answer(number, Decision(Verdict.GRANTED, identity))) == (
        number,
        Decision(Verdict.GRANTED, identity),
    )


@pytest.mark.parametrize("verdict", [Verdict.REFUSED, Verdict.NOT_MINE, Verdict.UNAVAILABLE])
def test_other_answers(verdict: Verdict) -> None:
    number, decision = unpack_answer(pack_answer(7, Decision(verdict, detail="a\0b")))
    assert (number, decision) == (7, Decision(verdict, detail="a b"))


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"x",
        b"1\0granted\0",
        b"1\0refused\0\0u\0d\x001\x001\0\0\0\0\0",
        b"1\0maybe\0",
        b"x\0refused\0",
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
