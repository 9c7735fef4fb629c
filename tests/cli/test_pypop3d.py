"""The daemon's command as a program."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def greeting(port: int) -> bytes:
    """Connect as soon as somebody listens."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        with (
            contextlib.suppress(ConnectionRefusedError),
            socket.create_connection(("127.0.0.1", port), 5) as s,
        ):
            return s.recv(5)
        time.sleep(0.02)
    return b""


def test_started_with_closed_standard_descriptors(tmp_path: Path) -> None:
    # Else the listener and the pipes of the processes were descriptors 0 to 2, and log lines packets.
    port = free_port()
    owner = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    (tmp_path / "pop.conf").write_text(
        f"listen-address: 127.0.0.1:{port}(klient1.pl)\nrun-as: {owner}\n"
        f"auth-directory-enable: yes\ndatabase-url: sqlite:///{tmp_path}/vmail.db\n"
    )
    program = [sys.executable, "-m", "tpop3d_py.cli.pypop3d", "-d", "-v", "-f", str(tmp_path / "pop.conf")]
    daemon = subprocess.Popen(["sh", "-c", 'exec "$@" 0<&- 1>&- 2>&-', "sh", *program], cwd=ROOT)
    try:
        assert greeting(port) == b"+OK <"
        for fd in (0, 1, 2):
            assert os.readlink(f"/proc/{daemon.pid}/fd/{fd}") == "/dev/null"
    finally:
        daemon.kill()
        daemon.wait()


def test_detached_with_a_pid_file(tmp_path: Path) -> None:
    port = free_port()
    owner = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    tmp_path.chmod(0o777)
    (tmp_path / "pop.conf").write_text(
        f"listen-address: 127.0.0.1:{port}(klient1.pl)\nrun-as: {owner}\n"
        f"auth-directory-enable: yes\ndatabase-url: sqlite:///{tmp_path}/vmail.db\n"
    )
    program = [sys.executable, "-m", "tpop3d_py.cli.pypop3d", "-f", "pop.conf", "-p", "pid"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.run(program, cwd=tmp_path, env=environment, timeout=30, check=False).returncode == 0
    pid = int((tmp_path / "pid").read_text())
    try:
        assert greeting(port) == b"+OK <"
        assert os.readlink(f"/proc/{pid}/cwd") == "/"
        second = subprocess.run(
            program, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=30, check=False
        )
        assert second.returncode == 1
        assert f"process {pid} is running" in second.stderr
    finally:
        os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + 20
    while (path := tmp_path / "pid").exists() and path.read_text() and time.monotonic() < end:
        time.sleep(0.02)
    assert not path.exists() or path.read_text() == ""


def test_under_a_service_manager_it_stays_the_process_that_was_started(tmp_path: Path) -> None:
    port = free_port()
    owner = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    (tmp_path / "pop.conf").write_text(
        f"listen-address: 127.0.0.1:{port}(klient1.pl)\nrun-as: {owner}\n"
        f"auth-directory-enable: yes\ndatabase-url: sqlite:///{tmp_path}/vmail.db\n"
    )
    program = [sys.executable, "-m", "tpop3d_py.cli.pypop3d", "-f", str(tmp_path / "pop.conf")]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        daemon = subprocess.Popen(
            program, cwd=ROOT, env={**os.environ, "NOTIFY_SOCKET": f"{tmp_path}/notify"}
        )
        try:
            assert manager.recv(1000).startswith(b"READY=1")
            assert daemon.poll() is None
            daemon.terminate()
            assert manager.recv(1000) == b"STOPPING=1"
            assert daemon.wait(20) == 0
        finally:
            daemon.kill()
            daemon.wait()
