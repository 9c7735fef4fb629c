"""What a worker in separated mode makes of what comes from the processes behind it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from tpop3d_py.log import Log
from tpop3d_py.server import handover
from tpop3d_py.server.authlink import AuthLink
from tpop3d_py.server.lobby import Hall


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def link() -> AuthLink:
    return AuthLink(1)


@pytest.fixture
def hall(link: AuthLink) -> Hall:
    return Hall(link.requests_out, link.answers_in[0], 0, 4.0, Log("test", to_stderr=True))


def test_a_closed_way_fills_no_log(hall: Hall, link: AuthLink, capfd: pytest.CaptureFixture[str]) -> None:
    link.answers_out[0].shutdown(socket.SHUT_WR)
    assert [hall.take_word() for _ in range(3)] == [None] * 3
    assert not capfd.readouterr().err


@pytest.mark.parametrize("named", [os.devnull, ""])
@pytest.mark.parametrize("packet", [b"", b"opened", b"denied\0007\0NOTHING\0", b"opening\0x", b"rubbish"])
def test_descriptors_of_odd_packets_are_closed(hall: Hall, link: AuthLink, packet: bytes, named: str) -> None:
    before = _open_files()
    with open(named, "rb") if named else socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as end:
        handover.send(link.answers_out[0], packet, end.fileno())
    assert hall.take_word() is None
    assert _open_files() == before
