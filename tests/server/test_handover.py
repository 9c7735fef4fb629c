"""Passing connections on: what is carried, and descriptors of every kind."""

from __future__ import annotations

import array
import os
import socket
from collections.abc import Iterator

import pytest

from tpop3d_py.pop3.handover import Carried
from tpop3d_py.server import handover
from tpop3d_py.server.handover import Berth, Luggage, connection_of, pack_luggage, unpack_luggage

CARRIED = Carried(2, True, True, True, 2, True, 17, 3)
LUGGAGE = Luggage(
    b"t" * 16, 511, True, 2**40, 99, 123_456, 123_789, CARRIED, b"STAT\r\nLI", b"+OK \0\xff\r\n"
)

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def packets() -> Iterator[Pair]:
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    yield ends
    for end in ends:
        end.close()


@pytest.fixture
def stream() -> Iterator[Pair]:
    ends = socket.socketpair()
    yield ends
    for end in ends:
        end.close()


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_luggage_comes_out_as_it_went_in() -> None:
    assert unpack_luggage(pack_luggage(LUGGAGE)) == LUGGAGE


def test_luggage_that_is_cut_off_at_any_octet() -> None:
    packet = pack_luggage(LUGGAGE)
    shortest = len(packet) - len(LUGGAGE.unsent)
    for length in range(shortest):
        with pytest.raises(ValueError, match=r"."):
            unpack_luggage(packet[:length])
    assert unpack_luggage(packet[:shortest]).unsent == b""


def test_too_much_luggage() -> None:
    with pytest.raises(ValueError, match="unsent"):
        pack_luggage(Luggage(*(b"t" * 16, 1, False, 0, 0, 0, 0), CARRIED, b"", b"x" * handover.PACKET))


def test_a_descriptor_comes_along(packets: Pair, stream: Pair) -> None:
    handover.send(packets[0], b"packet", stream[0].fileno())
    packet, descriptor = handover.receive(packets[1])
    assert packet == b"packet"
    assert descriptor is not None
    assert not os.get_inheritable(descriptor)
    transport = connection_of(descriptor, relayed=True)
    stream[1].sendall(b"octets")
    assert transport.receive() == b"octets"
    transport.close()


def test_nothing_waits(packets: Pair) -> None:
    with pytest.raises(BlockingIOError):
        handover.receive(packets[1])
    with pytest.raises(BlockingIOError):
        _send_many(packets[0])


def _send_many(sock: socket.socket) -> None:
    for _ in range(10_000):
        handover.send(sock, b"x" * 1000)


def test_surplus_descriptors_are_closed(packets: Pair, stream: Pair) -> None:
    before = open_descriptors()
    several = array.array("i", [end.fileno() for end in (*stream, *stream)])
    packets[0].sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, several)])
    _, descriptor = handover.receive(packets[1])
    assert descriptor is not None
    os.close(descriptor)
    assert open_descriptors() == before


def test_what_is_no_connection_is_closed(packets: Pair, stream: Pair) -> None:
    before = open_descriptors()
    for other, relayed in ((os.open(os.devnull, os.O_RDWR), False), (os.dup(packets[0].fileno()), True)):
        with pytest.raises(ValueError, match="socket"):
            connection_of(other, relayed=relayed)
    with pytest.raises(ValueError, match="another kind"):
        connection_of(os.dup(stream[0].fileno()), relayed=False)
    assert open_descriptors() == before


def test_a_connection_that_its_sender_makes_wait_is_not_waited_for(stream: Pair) -> None:
    transport = connection_of(os.dup(stream[0].fileno()), relayed=True)
    stream[0].setblocking(True)  # a property of the connection, not of the descriptor
    assert transport.receive() is None
    while transport.send(b"x" * 65536) > 0:
        pass
    stream[1].close()
    assert transport.send(b"x") == -1
    transport.cut()
    transport.close()


def test_a_berth_is_boarded_once_or_given_back(packets: Pair, stream: Pair) -> None:
    berth = Berth(b"t" * 16, b"", packets[0])
    berth.board(lambda ticket: LUGGAGE, stream[0].fileno())
    packet, descriptor = handover.receive(packets[1])
    assert unpack_luggage(packet) == LUGGAGE
    assert descriptor is not None
    os.close(descriptor)
    assert handover.receive(packets[1]) == (b"", None)  # and its socket is closed


def test_a_berth_that_is_given_back(packets: Pair) -> None:
    berth = Berth(b"t" * 16, b"", packets[0])
    berth.give_back()
    assert handover.receive(packets[1]) == (b"t" * 16, None)
    berth.give_back()  # nobody hears it, and nothing is raised
