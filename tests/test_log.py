"""Lines reach syslog again when it starts after us or is restarted."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tpop3d_py import log as module
from tpop3d_py.log import Log


@pytest.fixture
def where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    path = str(tmp_path / "log")
    monkeypatch.setattr(module, "SYSLOG", path)
    return path


def listen(path: str) -> socket.socket:
    Path(path).unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.bind(path)
    sock.setblocking(False)
    return sock


def test_syslog_that_starts_later(where: str) -> None:
    log = Log("pypop3d", to_stderr=False, to_syslog=True)
    log.notice("lost")
    with listen(where) as syslog:
        log.notice("kept")
        assert syslog.recv(500).endswith(b": kept")
    assert log.dropped == 1


def test_no_line_is_lost_by_a_restart(where: str) -> None:
    with listen(where) as syslog:
        log = Log("pypop3d", to_stderr=False, to_syslog=True)
        log.notice("one")
        assert syslog.recv(500).endswith(b": one")
    with listen(where) as syslog:
        log.notice("two")
        assert syslog.recv(500).endswith(b": two")
    assert log.dropped == 0


def test_a_syslog_that_does_not_read_never_blocks(where: str) -> None:
    with listen(where) as syslog:
        log = Log("pypop3d", to_stderr=False, to_syslog=True)
        for _ in range(2000):
            log.notice("x" * 100)
        assert log.dropped > 0
        assert syslog.recv(500).endswith(b"x")
