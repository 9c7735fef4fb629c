"""Ending sessions from outside, whatever they are doing just then: a real worker and a real monitor."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.server.conftest import Client, Harness


class Operator:
    """Somebody at the control socket."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def ask(self, **question: str) -> list[dict[str, Any]]:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(20)
            sock.connect(str(self._path))
            sock.sendall(json.dumps(question).encode() + b"\n")
            return [json.loads(line) for line in sock.makefile("rb")]

    def sessions(self) -> list[dict[str, Any]]:
        return [row for part in self.ask(ask="status") for row in part.get("rows", [])]

    def kick_all(self) -> int:
        return sum(self.ask(ask="kick", id=row["id"])[-1]["count"] for row in self.sessions())


@pytest.fixture
def operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Operator:
    path = tmp_path / "control"
    monkeypatch.setenv("HARNESS_CONTROL", str(path))
    return Operator(path)


@pytest.fixture
def kicked(start: Callable[..., Harness], operator: Operator) -> Harness:
    """A server with an operator; started after it."""
    return start()


def gone(client: Client) -> bool:
    """Wait for the end of a connection; whatever comes before it is read."""
    client.sock.settimeout(15)
    try:
        while client.sock.recv(1 << 20):
            pass
    except ConnectionResetError:
        pass
    return True


def ended(server: Harness, ending: str = "kicked") -> str:
    """Wait until the log tells of an end, stop the server, return what was removed."""
    end = time.monotonic() + 15
    while f"bytes read/written; {ending}" not in server.log():
        assert time.monotonic() < end, server.log()
        time.sleep(0.02)
    server.stop()
    assert server.process.stdout is not None
    return server.process.stdout.read()


def test_an_idle_session(kicked: Harness, operator: Operator) -> None:
    client = kicked.connect()
    client.log_in("ok")
    client.ask(b"DELE 1")
    assert operator.kick_all() == 1
    assert gone(client)
    assert ended(kicked) == ""


def test_an_update_under_way_is_finished(kicked: Harness, operator: Operator) -> None:
    client = kicked.connect()
    client.log_in("slowquit")
    client.ask(b"DELE 2")
    client.send(b"QUIT")
    end = time.monotonic() + 10
    while "received `QUIT'" not in kicked.log():
        assert time.monotonic() < end
        time.sleep(0.005)
    assert operator.kick_all() == 1
    assert gone(client)
    assert ended(kicked) == "committed slowquit [1] []\n"


def test_a_client_that_does_not_read(kicked: Harness, operator: Operator) -> None:
    client = kicked.connect()
    client.log_in("big")
    client.send(b"RETR 1")
    assert operator.kick_all() == 1
    assert gone(client)
    assert ended(kicked) == ""


def test_a_client_whose_refusal_is_held_back(kicked: Harness, operator: Operator) -> None:
    client = kicked.connect()
    client.send(b"USER ok", b"PASS wrong")
    client.line()
    assert operator.kick_all() == 1
    assert gone(client)
    assert ended(kicked) == ""


def test_a_client_whose_password_is_being_checked(kicked: Harness, operator: Operator) -> None:
    client = kicked.connect()
    client.send(b"USER late", b"PASS late")
    client.line()
    end = time.monotonic() + 10
    while [row["state"] for row in operator.sessions()] != ["LOGIN"]:
        assert time.monotonic() < end
        time.sleep(0.005)
    assert operator.kick_all() == 1
    assert gone(client)
    assert ended(kicked) == ""


def test_a_session_in_tls(start: Callable[..., Harness], operator: Operator, certificate: Path) -> None:
    server = start(certificate=str(certificate))
    client = server.connect_tls()
    client.log_in("ok")
    (row,) = operator.sessions()
    assert row["tls"] is True
    assert operator.kick_all() == 1
    with pytest.raises(OSError, match="EOF occurred"):  # no close_notify: it was lost, not ended in peace
        client.sock.recv(10)
    assert ended(server) == ""


def test_nobody_else_is_ended(kicked: Harness, operator: Operator) -> None:
    clients = [kicked.connect() for _ in range(8)]
    for client in clients:
        client.log_in("ok")
    row = operator.sessions()[3]
    assert operator.ask(ask="kick", id=row["id"])[-1]["count"] == 1
    answered = 0
    for client in clients:
        with contextlib.suppress(OSError):
            answered += client.ask(b"NOOP").startswith(b"+OK")
    assert answered == 7
    assert operator.ask(ask="kick", user="ok")[-1]["count"] == 7
