"""pypop3d status, kick and forget, against a daemon that is made up."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tpop3d_py.cli import pypop3d

ROW = {
    "id": "812.17.3fa2",
    "user": "luser@klient1.pl",
    "host": "10.0.0.7",
    "port": 40112,
    "domain": "klient1.pl",
    "state": "TRANSACTION",
    "tls": True,
    "received": 312,
    "sent": 48210,
    "age": 3725.2,
    "idle": None,
    "commands": 9,
    "slot": 0,
    "draining": False,
}
END = {
    "last": True,
    "silent": [],
    "processes": [
        {"role": "monitor", "draining": False, "count": 1},
        {"role": "worker", "draining": False, "count": 2},
        {"role": "worker", "draining": True, "count": 1},
    ],
    "version": "0.1.0",
    "started": 1.7e9,
    "readings": 2,
    "session_count": 1,
    "connection_count": 2,
    "max_sessions": 1000,
}


@contextlib.contextmanager
def daemon(folder: Path, *answers: Any) -> Iterator[tuple[str, list[Any]]]:
    """Answer one question; yield the configuration's path and what was asked."""
    path = folder / "control"
    config = folder / "tpop3d.conf"
    config.write_text(f"listen-address: 127.0.0.1\ncontrol-socket: {path}\n")
    asked: list[Any] = []
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        sock.listen()

        def serve() -> None:
            with contextlib.suppress(OSError):
                client, _ = sock.accept()
                with client, client.makefile("rb") as file:
                    asked.append(json.loads(file.readline()))
                    client.sendall(b"".join(json.dumps(answer).encode() + b"\n" for answer in answers))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield str(config), asked
        thread.join(5)


def run(*words: str) -> int:
    return pypop3d.main(words)


def test_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    waiting = {**ROW, "id": "812.18.0001", "user": "", "state": "AUTHORIZATION", "idle": 2.0, "domain": ""}
    old = {**ROW, "id": "811.9.0002", "user": "other", "draining": True, "age": 9999.0, "tls": False}
    with daemon(tmp_path, {"rows": [ROW, waiting]}, {"rows": [old]}, END) as (config, asked):
        assert run("status", "-f", config) == 0
    assert asked == [{"ask": "status"}]
    head, *lines, summary = capsys.readouterr().out.splitlines()
    assert " ".join(head.split()) == "USER FROM DOMAIN STATE TLS IN OUT AGE IDLE COMMANDS ID"
    assert [line.split()[0] for line in lines] == ["other", "luser@klient1.pl"]  # the oldest first
    assert lines[0].endswith(" 811.9.0002")
    assert "TRANSACTION (old settings)" in lines[0]
    assert " ".join(lines[1].split()) == (
        "luser@klient1.pl 10.0.0.7:40112 klient1.pl TRANSACTION yes 312 48210 1:02:05 - 9 812.17.3fa2"
    )
    assert summary.startswith(
        "1 sessions of at most 1000, 2 connections; "
        "processes: 1 monitor, 2 worker, 1 worker of old settings; pypop3d 0.1.0 since "
    )


def test_connections_without_a_login(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    waiting = {**ROW, "user": "", "state": "AUTHORIZATION", "idle": 2.0}
    with daemon(tmp_path, {"rows": [waiting]}, END) as (config, _):
        assert run("status", "-a", "-f", config) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[0] == "-"


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with daemon(tmp_path, {"rows": [ROW]}, END) as (config, _):
        assert run("status", "--json", "-f", config) == 0
    found = json.loads(capsys.readouterr().out)
    assert found.pop("sessions") == [ROW]
    assert found == {name: value for name, value in END.items() if name != "last"}


def test_a_worker_that_did_not_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with daemon(tmp_path, {**END, "silent": [{"pid": 77, "slot": 1}]}) as (config, _):
        assert run("status", "-f", config) == 0
    assert capsys.readouterr().err == "worker 77 did not answer; its clients are missing here\n"


@pytest.mark.parametrize(
    ("words", "order"),
    [
        (("kick", "812.17.3fa2"), {"ask": "kick", "id": "812.17.3fa2", "user": None}),
        (("kick", "--user", "luser"), {"ask": "kick", "id": "", "user": "luser"}),
        (("forget", "luser@klient1.pl"), {"ask": "forget", "user": "luser@klient1.pl"}),
    ],
)
def test_orders(tmp_path: Path, words: tuple[str, ...], order: dict[str, Any]) -> None:
    with daemon(tmp_path, {"last": True, "count": 2, "silent": 0}) as (config, asked):
        assert run(words[0], "-f", config, *words[1:]) == 0
    assert asked == [order]


def test_nobody_was_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with daemon(tmp_path, {"last": True, "count": 0, "silent": 1}) as (config, _):
        assert run("kick", "-f", config, "--user", "\x1b[2Jx") == 1
    assert capsys.readouterr().err.splitlines() == [
        "pypop3d: 1 worker processes did not answer",
        "pypop3d: nobody was found: \\x1b[2Jx",
    ]


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("luser@klient1.pl", "; a user is named with --user"),
        ("luser", "; a user is named with --user"),
        ("812.17.3fa2", ""),
    ],
)
def test_a_user_where_a_connection_belongs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], given: str, hint: str
) -> None:
    with daemon(tmp_path, {"last": True, "count": 0, "silent": 0}) as (config, _):
        assert run("kick", "-f", config, given) == 1
    assert capsys.readouterr().err == f"pypop3d: nobody was found: {given}{hint}\n"


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ((), "the answer broke off"),
        (({"rows": []},), "the answer broke off"),
        (({"last": True, "error": "only root and the daemon's own user may ask"},), "only root"),
    ],
)
def test_no_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], answers: tuple[Any, ...], says: str
) -> None:
    with daemon(tmp_path, *answers) as (config, _):
        assert run("status", "-f", config) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("pypop3d: ")
    assert says in line


def test_no_daemon(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("status", "--socket", f"{tmp_path}/control") == 1
    assert capsys.readouterr().err == (
        f"pypop3d: {tmp_path}/control: No such file or directory; is pypop3d running?\n"
    )


def test_no_directive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "tpop3d.conf"
    config.write_text("listen-address: 127.0.0.1\n")
    assert run("status", "-f", str(config)) == 1
    assert "control-socket is not set; for example: control-socket: /run/tpop3d/control" in (
        capsys.readouterr().err
    )


def test_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("status", "-f", f"{tmp_path}/none") == 1
    assert capsys.readouterr().err.startswith("pypop3d: ")


@pytest.mark.parametrize("words", [("kick",), ("kick", "1.2.3", "--user", "x"), ("forget",), ("status", "x")])
def test_what_makes_no_sense(words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(*words)
    assert stopped.value.code == 2
