"""Addresses of the monitor: what may be written, and sockets that others have left behind."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from tpop3d_py.server.ears import Ear, EarError, MonitorSettings, listen, parse_ear


@pytest.mark.parametrize(
    ("text", "ear"),
    [
        ("127.0.0.1:9110", Ear(host="127.0.0.1", port=9110)),
        ("[::1]:9110", Ear(host="::1", port=9110)),
        ("unix:/run/x", Ear(path="/run/x")),
    ],
)
def test_what_may_be_written(text: str, ear: Ear) -> None:
    assert parse_ear(text) == ear
    assert str(ear) == text
    assert parse_ear(str(ear)).key == ear.key


@pytest.mark.parametrize(
    "text",
    [
        *("", "9110", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:x", ":9110"),
        *(
            "localhost:9110",
            "127.0.0.1:٣",
            "unix:",
            "unix:run/x",
            "unix:/" + "x" * 107,
            "[::1:9110",
            "1.2.3:5",
        ),
    ],
)
def test_what_may_not(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be|not a numeric"):
        parse_ear(text)


def test_settings_that_contradict_each_other() -> None:
    assert list(MonitorSettings(metrics=Ear(path="/run/x"), control="/run/x").conflicts())
    assert list(MonitorSettings(metrics=None, control="/" + "x" * 107).conflicts())
    assert not list(MonitorSettings(metrics=Ear(path="/run/y"), control="/run/x").conflicts())


def test_a_socket_is_never_open_for_others(tmp_path: Path) -> None:
    path = tmp_path / "run" / "control"
    before = os.umask(0)
    try:
        with listen(Ear(path=str(path)), 0o600):
            assert path.stat().st_mode & 0o777 == 0o600
    finally:
        assert os.umask(before) == 0


def test_what_a_dead_daemon_left_is_replaced(tmp_path: Path) -> None:
    ear = Ear(path=str(tmp_path / "control"))
    listen(ear, 0o600).close()
    with listen(ear, 0o600), socket.socket(socket.AF_UNIX) as client:
        client.connect(ear.path)


def test_what_a_living_one_uses_is_not(tmp_path: Path) -> None:
    ear = Ear(path=str(tmp_path / "control"))
    with listen(ear, 0o600), socket.socket(socket.AF_UNIX) as client:
        with pytest.raises(EarError, match="Address already in use"):
            listen(ear, 0o600)
        client.connect(ear.path)


def test_a_file_in_the_way_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "control"
    path.write_text("mail")
    with pytest.raises(EarError, match="Address already in use"):
        listen(Ear(path=str(path)), 0o600)
    assert path.read_text() == "mail"


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(EarError, match="No such file"):
        listen(Ear(path=str(tmp_path / "a" / "b" / "control")), 0o600)


def test_tcp() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        taken.listen()
        with pytest.raises(EarError, match=rf"cannot listen on 127.0.0.1:{port}: Address already in use"):
            listen(Ear(host="127.0.0.1", port=port), 0)
    with listen(Ear(host="127.0.0.1", port=port), 0) as sock, socket.create_connection(sock.getsockname()):
        pass
