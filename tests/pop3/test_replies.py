from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.pop3.client import read_message
from tests.pop3.fakes import FakeBody
from tpop3d_py.contracts import BodyInterrupted, Reason, ResponseCode, Whole
from tpop3d_py.pop3.replies import LARGE_PIECE, Outgoing, Reply, Then, encode

STATUS = b"+OK Message follows\r\n"


class Pieces(FakeBody):
    """A body whose chunks are given, not cut."""

    def __init__(self, chunks: list[bytes]) -> None:
        super().__init__(b"".join(chunks), 1, None)
        self._chunks = iter(chunks)

    def __next__(self) -> bytes:
        return next(self._chunks)


def send(chunks: list[bytes]) -> bytes:
    """Encode a message that comes in chunks; one that comes whole must give the same octets."""
    sent = encode(Reply(True, b"Message follows", body=Pieces(chunks)))
    assert isinstance(sent, Outgoing)
    octets = b"".join(sent)
    assert encode(Reply(True, b"Message follows", body=Whole(b"".join(chunks)))) == octets
    return octets


def slow_stuff(message: bytes) -> bytes:
    """Dot-stuffing as RFC 1939 section 3 tells it: line by line."""
    lines = message.split(b"\n")
    return STATUS + b"\n".join(b"." + line if line.startswith(b".") else line for line in lines) + b".\r\n"


def splits(message: bytes, pieces: int) -> list[list[bytes]]:
    """All ways to cut a message into so many chunks, empty ones included."""
    cuts = itertools.combinations_with_replacement(range(len(message) + 1), pieces - 1)
    return [
        [message[start:end] for start, end in itertools.pairwise((0, *cut, len(message)))] for cut in cuts
    ]


@pytest.mark.parametrize(
    ("reply", "octets"),
    [
        (Reply(True, b"Done."), b"+OK Done.\r\n"),
        (Reply(False, b"No."), b"-ERR No.\r\n"),
        (Reply(False, b"No.", ResponseCode.SYS_TEMP), b"-ERR [SYS/TEMP] No.\r\n"),
        (Reply(False, b"No.", ResponseCode.IN_USE, then=Then.CLOSE), b"-ERR [IN-USE] No.\r\n"),
        (Reply(True, b"List", listing=b""), b"+OK List\r\n.\r\n"),
        (Reply(True, b"List", listing=b"1 2\r\n"), b"+OK List\r\n1 2\r\n.\r\n"),
        (Reply(True, b"", then=Then.WAIT), b""),
        (Reply(False, b"No.", delay=3.0, detail="secret"), b"-ERR No.\r\n"),
    ],
)
def test_simple_replies_are_one_piece(reply: Reply, octets: bytes) -> None:
    assert encode(reply) == octets


@pytest.mark.parametrize("code", ResponseCode)
def test_every_code_goes_out_in_brackets(code: ResponseCode) -> None:
    assert encode(Reply(False, b"x", code)) == b"-ERR [" + code.value.encode() + b"] x\r\n"


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\r\n",
        b".\r\n",
        b"..\r\n",
        b".\r\n.\r\n",
        b"a\r\n.\r\nb\r\n",
        b"a\r\n..\r\n",
        b"a\n.\n\r\n",
        b"a\r.\r\n",
        b"\r.\r\n.\r.\r\n",
        b"\n.\r\n",
    ],
)
def test_dots_wherever_the_chunks_are_cut(message: bytes) -> None:
    expected = slow_stuff(message)
    for chunks in splits(message, 3):
        assert send(chunks) == expected


@pytest.mark.parametrize("mix", list(itertools.product([b"\r", b"\n", b"."], repeat=5)), ids=b"".join)
def test_no_mix_of_line_ends_and_dots_ends_a_message_early(mix: tuple[bytes, ...]) -> None:
    """Read as the most lenient client would: a lone LF ends a line, too."""
    message = b"".join(mix) + b"x\r\n"
    sent = send([message]).removeprefix(STATUS)
    assert sent.endswith(b"x\r\n.\r\n")
    lines = [line.removesuffix(b"\r") for line in sent.split(b"\n")]
    assert lines.index(b".") == len(lines) - 2
    assert b"\n".join(line[line.startswith(b".") :] for line in sent.split(b"\n")[:-2]) + b"\n" == message


wire_lines = st.lists(
    st.sampled_from([b"", b".", b"..", b"text", b".x", b"\r", b"\r."])
    | st.binary(max_size=9).map(lambda b: b.replace(b"\n", b"")),
    max_size=12,
).map(lambda lines: b"".join(line.rstrip(b"\r") + b"\r\n" for line in lines))


@given(wire_lines, st.lists(st.integers(0, 120), max_size=6))
@example(b"\r\n.\r\n", [1, 2, 3, 4])
def test_a_strict_client_gets_the_message_back(message: bytes, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(message)) for cut in cuts), len(message)]
    sent = send([message[start:end] for start, end in itertools.pairwise(places)])
    assert sent == slow_stuff(message)
    assert read_message(sent) == message


def test_an_unfinished_last_line_does_not_swallow_the_final_dot() -> None:
    assert send([b"no line end"]) == STATUS + b"no line end\r\n.\r\n"


def test_a_small_message_is_one_piece_and_closed_at_its_end() -> None:
    body = FakeBody(b"a\r\n" * 100, 7, None)
    sent = encode(Reply(True, b"Message follows", body=body))
    assert isinstance(sent, Outgoing)
    assert len(list(sent)) == 1
    assert body.closed
    assert list(sent) == []


def test_large_messages_go_out_in_large_pieces() -> None:
    line = b"x" * 98 + b"\r\n"
    pieces = list(Outgoing(STATUS, FakeBody(line * 10_000, 4096, None)))
    assert all(len(piece) >= LARGE_PIECE for piece in pieces[:-1])
    assert max(map(len, pieces)) < 2 * LARGE_PIECE
    assert read_message(b"".join(pieces)) == line * 10_000


def test_a_message_that_breaks_off_gets_no_dot_and_is_closed() -> None:
    body = FakeBody((b"x" * 98 + b"\r\n") * 10_000, 4096, 100_000)
    outgoing = Outgoing(STATUS, body)
    sent: list[bytes] = []
    with pytest.raises(BodyInterrupted) as caught:
        sent.extend(outgoing)
    assert caught.value.reason is Reason.MAILBOX
    assert sent
    assert not sent[-1].endswith(b".\r\n")
    assert body.closed
    assert list(outgoing) == []


def test_closing_before_the_first_piece_releases_the_message() -> None:
    body = FakeBody(b"a\r\n", 7, None)
    outgoing = Outgoing(STATUS, body)
    outgoing.close()
    outgoing.close()
    assert body.closed
    assert list(outgoing) == []
