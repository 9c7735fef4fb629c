"""Tickets and the words of mail processes, on the wire."""

from __future__ import annotations

import dataclasses
import random

import pytest

from tpop3d_py.contracts import Credentials, Decision, Identity, Mechanism, Peer, Reason, Refusal, Verdict
from tpop3d_py.server import tickets
from tpop3d_py.server.authlink import Request, pack_answer
from tpop3d_py.server.tickets import Opened, Opening

PEER = Peer("2001:db8::1", 65535, "::1", 110, "klient1.pl")
IDENTITY = Identity(
    "luser@klient1.pl",
    "directory",
    105,
    65534,
    "/mail/klient1.pl/łuser/",
    "maildir",
    "luser",
    "klient1.pl",
    "/h",
)
CREDENTIALS = Credentials(Mechanism.SCRAM, "luser\udcff", b"secret", b"<stamp>", PEER)
REQUEST = Request(2**62 - 1, 3, 0, CREDENTIALS)


def ticket(identity: Identity = IDENTITY) -> tickets.Ticket:
    decision = Decision(Verdict.GRANTED, identity, challenge=b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=", cached=True)
    return tickets.make_ticket(REQUEST, decision, identity)


def test_a_ticket_comes_out_as_it_went_in() -> None:
    made = ticket()
    packet = tickets.pack_ticket(made)
    assert tickets.unpack_ticket(packet) == made
    assert (made.request, made.worker, made.user, made.peer) == (2**62 - 1, 3, "luser\udcff", PEER)
    assert len(made.id) == tickets.TICKET
    assert 0 <= made.age < tickets.LIFE
    assert b"secret" not in packet


def test_a_ticket_with_nothing_in_its_fields() -> None:
    bare = ticket(Identity("x", "d", 1, 1))
    assert tickets.unpack_ticket(tickets.pack_ticket(bare)) == bare


def test_no_two_tickets_have_one_number() -> None:
    assert len({ticket().id for _ in range(1000)}) == 1000


@pytest.mark.parametrize("field", ["user", "mailbox", "mailbox_type", "local_part", "domain", "home"])
def test_a_row_with_a_nul_makes_no_ticket(field: str) -> None:
    """It would move the fields behind it, uid and gid among them."""
    with pytest.raises(ValueError, match="NUL"):
        tickets.pack_ticket(ticket(dataclasses.replace(IDENTITY, **{field: "a\0b"})))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "word",
    [Opened(b"0" * 16), Opened(bytes(range(16)), b"v=abc"), Opening()]
    + [Refusal(reason, "detail: zażółć \udcff") for reason in Reason],
)
def test_words_come_out_as_they_went_in(word: tickets.Word) -> None:
    packet = tickets.pack_word(2**62, word)
    assert tickets.unpack_word(packet) == (2**62, word)
    assert tickets.is_word(packet)


def test_answers_of_authentication_are_no_words() -> None:
    assert not tickets.is_word(pack_answer(7, Decision(Verdict.REFUSED)))


def test_a_detail_cannot_add_fields() -> None:
    packet = tickets.pack_word(1, Refusal(Reason.MAILBOX, "a\0b" + "x" * 5000))
    _, word = tickets.unpack_word(packet)
    assert isinstance(word, Refusal)
    assert word.detail == "a b" + "x" * 997


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"opened",
        b"opened\0x\0" + b"00" * 16 + b"\0",
        b"opened\0001\0" + b"00" * 15 + b"\0",
        b"opened\0001\0" + b"zz" * 16 + b"\0",
        b"opened\0001\0" + b"00" * 16,
        b"denied\0001\0NOSUCH\0x",
        b"denied\0001\0__class__\0x",
        b"denied\0001\0\xff\0x",
        b"opening\0",
        b"open\0001",
        b"granted\0001",
    ],
)
def test_words_of_another_form(packet: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        tickets.unpack_word(packet)


def test_any_octets_are_a_ticket_or_a_value_error() -> None:
    packet, dice = tickets.pack_ticket(ticket()), random.Random(1)
    for _ in range(3000):
        broken = bytearray(packet[: dice.randrange(len(packet) + 1)])
        for _ in range(dice.randrange(4)):
            if broken:
                broken[dice.randrange(len(broken))] = dice.choice((0, 0, dice.randrange(256)))
        try:
            tickets.unpack_ticket(bytes(broken))
        except ValueError:
            continue
