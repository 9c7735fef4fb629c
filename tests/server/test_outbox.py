"""What waits to be sent: collected, cut where the client cuts it, read no further than that."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.server.test_connection import FakeTransport
from tpop3d_py.contracts import BodyInterrupted, Reason
from tpop3d_py.pop3.replies import Outgoing
from tpop3d_py.server.outbox import Outbox
from tpop3d_py.server.waits import Next

CHUNK = b"x" * 65_534 + b"\r\n"


class Message:
    """A body that counts how much of it was read."""

    def __init__(self, chunks: int, good: int | None = None) -> None:
        self.left, self.good, self.read, self.closed = chunks, good, 0, 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self.read == self.good:
            raise BodyInterrupted(Reason.MAILBOX, "it shrank")
        if self.read == self.left:
            raise StopIteration
        self.read += 1
        return CHUNK

    def close(self) -> None:
        self.closed += 1


def test_replies_leave_together_and_nothing_is_left() -> None:
    box, transport = Outbox(), FakeTransport([])
    assert not box
    box.put(b"+OK 1\r\n")
    box.put(b"+OK 2\r\n")
    assert box
    assert box.push(transport) is None
    assert (transport.sent, box.sent, bool(box)) == (b"+OK 1\r\n+OK 2\r\n", 14, False)
    assert box.push(transport) is None


def test_what_is_not_taken_stays_and_more_may_be_added_behind_it() -> None:
    box, transport = Outbox(), FakeTransport([])
    transport.room = [3, 0]
    box.put(b"+OK 1\r\n")
    assert box.push(transport) is Next.SOCKET
    box.put(b"+OK 2\r\n")
    transport.room = [5, 0]
    assert box.push(transport) is Next.SOCKET
    assert box.push(transport) is None
    assert transport.sent == b"+OK 1\r\n+OK 2\r\n"


def test_collecting_ends_before_it_becomes_much() -> None:
    box = Outbox()
    box.put(b"x" * 16_383)
    assert not box.is_full
    box.put(b"x")
    assert box.is_full


def test_a_client_that_stops_reading_costs_one_chunk() -> None:
    box, transport, message = Outbox(), FakeTransport([]), Message(100)
    transport.room = [1000, 0]
    box.put(Outgoing(b"+OK\r\n", message))
    assert box.is_full
    assert box.push(transport) is Next.SOCKET
    assert message.read == 1
    box.close()
    assert message.closed
    assert transport.sent == (b"+OK\r\n" + CHUNK)[:1000]


def test_others_get_their_turn_after_a_megabyte() -> None:
    box, transport, message = Outbox(), FakeTransport([]), Message(40)
    box.put(Outgoing(b"+OK\r\n", message))
    assert box.push(transport) is Next.TURN
    assert 1 << 20 < box.sent < (1 << 20) + 2 * len(CHUNK)
    while box.push(transport) is Next.TURN:
        pass
    assert transport.sent == b"+OK\r\n" + 40 * CHUNK + b".\r\n"


def test_a_client_that_is_gone_is_told() -> None:
    box, transport = Outbox(), FakeTransport([])
    transport.room = [-1]
    box.put(b"+OK\r\n")
    assert box.push(transport) is Next.CLOSE


def test_a_message_that_breaks_off_is_no_finished_one() -> None:
    box, transport, message = Outbox(), FakeTransport([]), Message(9, good=3)
    box.put(Outgoing(b"+OK\r\n", message))
    with pytest.raises(BodyInterrupted):
        box.push(transport)
    assert box, "there is something left, and so nothing else may be sent"
    assert not transport.sent.endswith(b".\r\n")
