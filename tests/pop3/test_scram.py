"""What messages of SCRAM are, and in which order they come (RFC 5802)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tpop3d_py.contracts import Mechanism
from tpop3d_py.pop3.sasl import Ask, Check, Confirm
from tpop3d_py.pop3.scram import Final, First, Scram, read_final, read_first

FIRST = b"n,,n=user,r=abc"
FINAL = b"c=biws,r=abcdef,p=cHJvb2Y="


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (FIRST, First(b"n,,", b"n", b"n=user,r=abc", b"user", b"abc")),
        (b"y,a=user,n=user,r=!~", First(b"y,a=user,", b"y", b"n=user,r=!~", b"user", b"!~")),
        (b"n,,n=a=2Cb=3Dc,r=x", First(b"n,,", b"n", b"n=a=2Cb=3Dc,r=x", b"a,b=c", b"x")),
        (b"n,,n=u,r=x,t=later", First(b"n,,", b"n", b"n=u,r=x,t=later", b"u", b"x")),
        (b"p=tls-exporter,,n=u,r=x", First(b"p=tls-exporter,,", b"p=tls-exporter", b"n=u,r=x", b"u", b"x")),
        (b"n,,n=\xc5\x82,r=x", First(b"n,,", b"n", b"n=\xc5\x82,r=x", b"\xc5\x82", b"x")),
    ],
)
def test_first_messages(message: bytes, expected: First) -> None:
    assert read_first(message) == expected


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"n=user,r=abc",
        b"n,n=user,r=abc",
        b"x,,n=user,r=abc",
        b"n,,n=,r=abc",
        b"n,,n=user,r=",
        b"n,,n=user",
        b"n,,r=abc,n=user",
        b"n,,m=must,n=user,r=abc",
        b"n,a=other,n=user,r=abc",
        b"n,,n=us=er,r=abc",
        b"n,,n=us=2cer,r=abc",
        b"n,,n=us\0er,r=abc",
        b"n,,n=user,r=a b",
        b"n,,n=user,r=a\x7f",
        b"p=,,n=user,r=abc",
        b"p,,n=user,r=abc",
        b"n,,n=user,r=abc,",
        b"n,,n=user,r=abc\n",
        b"n,,n=user,r=" + b"x" * 2048,
    ],
)
def test_what_is_no_first_message(message: bytes) -> None:
    assert read_first(message) is None


def test_final_messages() -> None:
    assert read_final(FINAL) == Final(b"c=biws,r=abcdef", b"biws", b"abcdef", b"cHJvb2Y=")
    assert read_final(b"c=biws,r=a,x=y,p=AA==") == Final(b"c=biws,r=a,x=y", b"biws", b"a", b"AA==")


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"c=biws,r=a",
        b"r=a,c=biws,p=A",
        b"c=,r=a,p=A",
        b"c=biws,r=a,p=",
        b"c=biws,r=a,p=A,x=y",
        b"c=bi\0s,r=a,p=A",
    ],
)
def test_what_is_no_final_message(message: bytes) -> None:
    assert read_final(message) is None


def test_the_order_of_an_exchange() -> None:
    exchange = Scram(b"", plus_offered=False)
    assert exchange.respond(FIRST) == Check(Mechanism.SCRAM, b"user", exchange=(FIRST,))
    assert exchange.challenged(b"first") == Ask(b"first")
    assert exchange.respond(FINAL) == Check(Mechanism.SCRAM, b"user", exchange=(FIRST, b"first", FINAL))
    assert exchange.challenged(b"final") == Ask(b"final")
    assert isinstance(exchange.respond(b""), Confirm)


@pytest.mark.parametrize(
    ("binding", "plus_offered", "flag", "good"),
    [
        (b"", False, b"n", True),
        (b"", False, b"y", True),
        (b"", True, b"n", True),
        (b"", True, b"y", False),
        (b"", True, b"p=tls-server-end-point", False),
        (b"x", True, b"p=tls-server-end-point", True),
        (b"x", True, b"p=tls-unique", False),
        (b"x", True, b"p=tls-exporter", False),
        (b"x", True, b"n", False),
        (b"x", True, b"y", False),
    ],
)
def test_the_flag_must_fit_the_mechanism(binding: bytes, plus_offered: bool, flag: bytes, good: bool) -> None:
    step = Scram(binding, plus_offered).respond(flag + b",,n=user,r=abc")
    assert (step is not None) is good
    if isinstance(step, Check):
        assert step.mechanism is (Mechanism.SCRAM_PLUS if binding else Mechanism.SCRAM)
        assert step.binding == binding


@given(st.lists(st.binary(max_size=60) | st.sampled_from([FIRST, FINAL, b""]), max_size=5))
def test_any_responses_are_a_step_or_none(responses: list[bytes]) -> None:
    exchange = Scram(b"", plus_offered=False)
    for response in responses:
        step = exchange.respond(response)
        assert step is None or isinstance(step, Check | Confirm)
        if isinstance(step, Check):
            assert not any(b"\0" in said for said in step.exchange)
            exchange.challenged(b"r=abcdef,s=c2FsdA==,i=4096")
