"""What happens to a daemon by itself: no descriptors left, dead processes, a log that cannot be written.

Whatever it is, sessions elsewhere go on, newcomers are served, or told to come back.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.support.crowd import ask, clients, connect, line, log_in, named
from tests.system.support.pop3d import BIN
from tests.system.support.processes import free_port, wait_for
from tests.system.support.small import SmallSite


@pytest.fixture(scope="module")
def site(area: Path, vmail: pwd.struct_passwd) -> Iterator[SmallSite]:
    site = SmallSite(area / "accidents", vmail, {"luser": "maildir"}, "worker-processes: 2\n")
    yield site
    site.stop()


def enter(site: SmallSite, port: int = 0) -> socket.socket:
    """Log in; the session must begin."""
    sock = connect(port or site.port)
    assert log_in(sock, site.user("luser"), site.password("luser")).startswith(b"+OK")
    return sock


def lets_in(site: SmallSite, port: int = 0) -> bool:
    try:
        with connect(port or site.port) as sock:
            return log_in(sock, site.user("luser"), site.password("luser")).startswith(b"+OK")
    except OSError:
        return False


def processes(site: SmallSite, role: str) -> list[int]:
    return named(site.pop3d.child.pid, role)


def complete(site: SmallSite, role: str, without: list[int]) -> Callable[[], bool]:
    """Tell whether both processes of a role are there, and none of the old ones."""
    return lambda: len(processes(site, role)) == 2 and not set(processes(site, role)) & set(without)


def log_of(site: SmallSite) -> str:
    return site.pop3d.log.read_text()


class Starved:
    """Lets the workers have no more descriptors than they have now."""

    def __init__(self, site: SmallSite, owner: pwd.struct_passwd) -> None:
        self.pids = processes(site, "worker")
        self.owner = owner

    def __enter__(self) -> None:
        for pid in self.pids:
            self.limit(pid, max(int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir()) + 1)

    def __exit__(self, *_: object) -> None:
        for pid in self.pids:
            self.limit(pid, 1000)

    def limit(self, pid: int, files: int) -> None:
        # As the workers' own user: root may be forbidden to do it in a container.
        ids = ["--reuid", str(self.owner.pw_uid), "--regid", str(self.owner.pw_gid), "--clear-groups"]
        command = ["setpriv", *ids, "prlimit", f"--pid={pid}", f"--nofile={files}:"]
        subprocess.run(command, check=True, capture_output=True)


def test_without_descriptors_newcomers_are_told_to_come_back(
    site: SmallSite, vmail: pwd.struct_passwd
) -> None:
    """Who is logged in is not closed for them, so there is no room."""
    sessions = [enter(site) for _ in range(6)]
    began = len(log_of(site))
    with Starved(site, vmail):
        heard = {line(connect(site.port)) for _ in range(20)}
        assert heard == {b"-ERR [SYS/TEMP] Too many connections; come back later.\r\n"}
        assert all(ask(sock, "NOOP").startswith(b"+OK") for sock in sessions)
        assert all(ask(sock, "STAT").startswith(b"+OK") for sock in sessions)
    wait_for(lambda: lets_in(site), "a login when there are descriptors again")
    text = log_of(site)[began:]
    assert text.count("cannot accept connections: Too many open files") == 1
    for sock in sessions:
        sock.close()


def test_without_descriptors_the_oldest_without_a_login_go(site: SmallSite, vmail: pwd.struct_passwd) -> None:
    with clients(site.port, 20, lambda _: "127.0.1.1") as crowd, Starved(site, vmail):
        heard = []
        for _ in range(20):
            with connect(site.port) as newcomer:
                heard.append(line(newcomer)[:15])
        # A worker that has nobody to close can only say so.
        assert all(words.startswith((b"+OK <", b"-ERR [SYS/TEMP]")) for words in heard)
        assert any(words.startswith(b"+OK <") for words in heard)
        assert any(line(sock).startswith(b"-ERR [SYS/TEMP]") for sock in crowd[:10])
    wait_for(lambda: lets_in(site), "a login when there are descriptors again")


def test_a_worker_that_is_killed_takes_only_its_own_sessions_along(site: SmallSite) -> None:
    sessions = [enter(site) for _ in range(12)]
    victim = processes(site, "worker")[0]
    os.kill(victim, signal.SIGKILL)
    wait_for(complete(site, "worker", [victim]), "a new worker")
    alive = [sock for sock in sessions if ask(sock, "NOOP").startswith(b"+OK")]
    assert lets_in(site)
    assert all(ask(sock, "QUIT").startswith(b"+OK") for sock in alive)
    for sock in sessions:
        sock.close()
    assert f"(pid {victim}) died of signal 9; starting another" in log_of(site)


def test_dead_workers_do_not_count_any_more(site: SmallSite) -> None:
    """Their sessions were sessions of one address, and of all: nobody may be refused for them."""
    for _ in range(3):
        sessions = [enter(site) for _ in range(40)]
        victims = processes(site, "worker")
        for victim in victims:
            os.kill(victim, signal.SIGKILL)
        wait_for(complete(site, "worker", victims), "new workers")
        for sock in sessions:
            sock.close()
    assert lets_in(site)
    assert "max-sessions-per-address" not in log_of(site)


def test_an_authenticator_that_is_killed_is_replaced(site: SmallSite) -> None:
    session = enter(site)
    for _ in range(3):
        victims = processes(site, "authenticator")
        for victim in victims:
            os.kill(victim, signal.SIGKILL)
        with connect(
            site.port
        ) as sock:  # who asks meanwhile has to wait for the new ones, or hears [SYS/TEMP]
            answer = log_in(sock, site.user("luser"), site.password("luser"))
            assert answer.startswith((b"+OK", b"-ERR [SYS/TEMP]"))
        wait_for(lambda: not set(processes(site, "authenticator")) & set(victims), "new ones")  # noqa: B023
    assert lets_in(site)
    assert ask(session, "NOOP").startswith(b"+OK")
    session.close()


def test_workers_may_be_stopped_in_their_first_moments(site: SmallSite) -> None:
    for _ in range(12):
        for pid in processes(site, "worker") + processes(site, "authenticator"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
    wait_for(lambda: lets_in(site), "a login")


@pytest.mark.parametrize("kind", ["a full disk", "a pipe nobody reads", "a pipe nobody holds any more"])
def test_a_log_that_cannot_be_written_stops_nothing(site: SmallSite, kind: str) -> None:
    reader, writer = os.pipe()
    target = os.open("/dev/full", os.O_WRONLY) if kind == "a full disk" else writer
    port = free_port()
    config = site.config.with_name("mute.conf")
    config.write_text(site.config.read_text().replace(f":{site.port}(", f":{port}(", 1))
    drop = [f":{other}(" for other in (site.tls_port, site.stls_port, site.polish_port)]
    lines = config.read_text().split("\n")
    words = [word for word in lines[1].split(" ") if not any(part in word for part in drop)]
    config.write_text("\n".join([lines[0], " ".join(words), *lines[2:]]))
    command = ["setpriv", "--pdeathsig", "TERM", str(BIN / "pypop3d"), "-f", str(config), "-v", "-d"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=target, stderr=target)
    try:
        if kind == "a pipe nobody holds any more":
            os.close(reader)
        wait_for(lambda: lets_in(site, port), "a login")
        sessions = [enter(site, port) for _ in range(20)]
        for _ in range(60):  # more dialogue than a pipe holds
            assert all(ask(sock, "NOOP").startswith(b"+OK") for sock in sessions)
        assert all(ask(sock, "QUIT").startswith(b"+OK") for sock in sessions)
        assert process.poll() is None
    finally:
        process.terminate()
        process.wait(20)
        for fd in {target, writer} | ({reader} if kind != "a pipe nobody holds any more" else set()):
            os.close(fd)
