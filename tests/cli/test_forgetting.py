"""A running daemon hears of changed passwords and deleted boxes, and none is needed."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.shell import Shell
from tpop3d_py.cli import forgetting, ve_passwd, ve_popbox


class Daemon:
    """Listens as the monitor does, and keeps what it was asked."""

    def __init__(self, path: Path) -> None:
        self.asked: list[dict[str, str]] = []
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._sock.bind(str(path))
        self._sock.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            client, _ = self._sock.accept()
            with client, client.makefile("rb") as file:
                line = file.readline()
                if not line:
                    return
                self.asked.append(json.loads(line))
                client.sendall(b'{"last":true,"count":1,"silent":0}\n')

    def close(self, path: Path) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as last:
            last.connect(str(path))
        self._thread.join()
        self._sock.close()


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "control"
    for module in (ve_passwd, ve_popbox):
        monkeypatch.setattr(module, "forget", lambda address: forgetting.forget(address, str(path)))
    return path


@pytest.fixture
def daemon(path: Path) -> Iterator[Daemon]:
    made = Daemon(path)
    yield made
    made.close(path)


def test_a_changed_password_and_a_deleted_box_are_told(klient1: Shell, daemon: Daemon) -> None:
    assert klient1("VE-passwd Luser@Klient1.PL", "-", stdin=b"new").code == 0
    assert klient1("VE-popbox delete klient1.pl luser --yes").code == 0
    assert daemon.asked == [{"ask": "forget", "user": "luser@klient1.pl"}] * 2


def test_a_refused_change_and_a_domains_password_are_not(klient1: Shell, daemon: Daemon) -> None:
    klient1.refuses("VE-passwd nobody@klient1.pl", "-", stdin=b"new")
    assert klient1("VE-passwd klient1.pl", "-", stdin=b"new").code == 0
    assert daemon.asked == []


def test_without_a_daemon_nothing_is_different(klient1: Shell, path: Path) -> None:
    path.write_text("no socket")
    outcome = klient1("VE-passwd luser@klient1.pl", "-", stdin=b"new")
    assert (outcome.code, outcome.out, outcome.err) == (0, "Done\n", "")
    path.unlink()
    assert klient1("VE-passwd luser@klient1.pl", "-", stdin=b"newer").code == 0


def test_a_daemon_that_says_nothing_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgetting, "_PATIENCE", 0.05)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as silent:
        silent.bind(str(tmp_path / "control"))
        silent.listen()
        forgetting.forget("luser@klient1.pl", str(tmp_path / "control"))
