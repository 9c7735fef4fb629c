"""What an operator sees of a running daemon, and what he can do to it, with real sockets and signals."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import poplib
import pwd
import re
import signal
import socket
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.support.pop3d import BIN
from tests.system.support.processes import free_port
from tests.system.support.small import SmallSite

LETTER = b"From: a@klient1.pl\nSubject: one\n\nbody\n"


class Watched:
    """A site with a control socket, metrics and a log file."""

    def __init__(self, folder: Path, vmail: pwd.struct_passwd, more: str = "") -> None:
        self.clients: list[poplib.POP3] = []
        self.http = free_port()
        self.log = folder / "pypop3d.log"
        self.site = SmallSite(
            folder,
            vmail,
            dict.fromkeys(("luser", "other"), "maildir"),
            f"control-socket: {folder}/run/control\nmetrics-listen: 127.0.0.1:{self.http}\n"
            f"log-file: {self.log}\nworker-processes: 2\nauth-processes: 2\n{more}",
        )

    def log_in(self, box: str = "luser") -> poplib.POP3:
        client = poplib.POP3("127.0.0.1", self.site.port, timeout=20)
        self.clients.append(client)
        client.user(self.site.user(box))
        client.pass_(self.site.password(box))
        return client

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [str(BIN / "pypop3d"), words[0], "-f", str(self.site.config), *words[1:]]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    def status(self) -> dict[str, Any]:
        """Ask on the control socket; sessions and connections without a login come in one list."""
        rows: list[dict[str, Any]] = []
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(20)
            sock.connect(str(self.site.config.parent / "run" / "control"))
            sock.sendall(b'{"ask": "status"}\n')
            for line in sock.makefile("rb"):
                found: dict[str, Any] = json.loads(line)
                rows += found.pop("rows", [])
        assert found["last"]
        return {**found, "sessions": rows}

    def get(self, path: str, accept: str = "") -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=20)
        with contextlib.closing(connection):
            connection.request("GET", path, headers={"Accept": accept})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def figures(self) -> dict[str, float]:
        """Return all samples, named as in the exposition; what is not there is 0."""
        found = re.findall(r"^([a-z].*) (\S+)$", self.get("/metrics")[1], re.MULTILINE)
        return defaultdict(float, {name: float(value) for name, value in found})

    def figure(self, name: str) -> float:
        """Return one sample."""
        return self.figures()[name]

    def pids(self, role: str) -> list[int]:
        """Processes of the daemon, told by the number of their threads and by what they hold."""
        path = Path(f"/proc/{self.site.pop3d.child.pid}/task/{self.site.pop3d.child.pid}/children")
        sessions = {int(row["id"].partition(".")[0]) for row in self.status()["sessions"]}
        return [pid for pid in map(int, path.read_text().split()) if role == "all" or pid in sessions]


@pytest.fixture(scope="module")
def daemon(area: Path, vmail: pwd.struct_passwd) -> Iterator[Watched]:
    made = Watched(area / "watched", vmail)
    yield made
    made.site.stop()


@pytest.fixture
def watched(daemon: Watched) -> Iterator[Watched]:
    """The daemon, whole, with nobody in it and two letters for luser."""
    owner = daemon.site.path("luser").stat()
    for letter in daemon.site.path("luser").rglob("*.M1P1*"):
        letter.unlink()
    for number in (1, 2):
        letter = daemon.site.path("luser") / "new" / f"{number}.M1P1.host"
        letter.write_bytes(LETTER)
        os.chown(letter, owner.st_uid, owner.st_gid)
    wait_for(lambda: daemon.get("/healthz")[0] == 200)
    wait_for(lambda: not daemon.status()["sessions"])
    yield daemon
    for client in daemon.clients:
        client.close()
    daemon.clients.clear()


def wait_for(true: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while True:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if true():
                return
        assert time.monotonic() < end, "waited for 20 seconds in vain"
        time.sleep(0.05)


def left(site: SmallSite) -> int:
    return sum(1 for path in site.path("luser").rglob("*.M1P1*") if path.is_file())


def test_who_is_there_and_whoever_is_kicked_is_gone_and_has_deleted_nothing(watched: Watched) -> None:
    one, other = watched.log_in(), watched.log_in("other")
    waiting = poplib.POP3("127.0.0.1", watched.site.port, timeout=20)
    one.dele(1)
    found = json.loads(watched.run("status", "--json").stdout)
    rows = {row["user"]: row for row in found["sessions"]}
    assert set(rows) == {watched.site.user("luser"), watched.site.user("other")}
    row = rows[watched.site.user("luser")]
    assert row["host"] == "127.0.0.1"
    assert row["port"] == one.sock.getsockname()[1]
    assert (row["domain"], row["state"], row["tls"], row["commands"]) == (
        "klient1.pl",
        "TRANSACTION",
        False,
        3,
    )
    assert row["received"] > 0 < row["sent"]
    assert 0 <= row["idle"] <= row["age"] < 60
    assert (found["session_count"], found["connection_count"], found["silent"]) == (2, 3, [])
    assert len(watched.status()["sessions"]) == 3

    done = watched.run("kick", row["id"])
    assert (done.returncode, done.stdout) == (0, "1 ended\n")
    with pytest.raises((OSError, poplib.error_proto)):
        one.noop()
    wait_for(lambda: len(watched.status()["sessions"]) == 2)
    assert left(watched.site) == 2
    assert other.noop().startswith(b"+OK")
    again = watched.run("kick", row["id"])
    assert (again.returncode, again.stderr) == (1, f"pypop3d: nobody was found: {row['id']}\n")

    assert watched.run("kick", "--user", watched.site.user("other")).stdout == "1 ended\n"
    with pytest.raises((OSError, poplib.error_proto)):
        other.noop()
    with pytest.raises(poplib.error_proto, match="First log in"):  # it is there still
        waiting.noop()
    log = watched.log.read_text()
    assert len(re.findall(r"bytes read/written; kicked, 0 retrieved, 0 deleted, ", log)) == 2
    assert f"control: kick {row['id']}: 1 done" in log


def test_the_table_for_people(watched: Watched) -> None:
    client = watched.log_in()
    done = watched.run("status")
    lines = done.stdout.splitlines()
    assert lines[0].split()[:3] == ["USER", "FROM", "DOMAIN"]
    assert lines[1].split()[0] == watched.site.user("luser")
    assert lines[2].startswith("1 sessions of at most 1000, 1 connections; processes: 2 authenticator, ")
    client.quit()


def test_sessions_of_settings_from_before_are_shown_and_can_be_ended(watched: Watched) -> None:
    client = watched.log_in()
    before = watched.figure('pypop3d_reloads_total{outcome="ok"}')
    os.kill(watched.site.pop3d.child.pid, signal.SIGHUP)
    wait_for(lambda: watched.figure('pypop3d_reloads_total{outcome="ok"}') == before + 1)
    wait_for(lambda: [row["draining"] for row in watched.status()["sessions"]] == [True])
    (row,) = watched.status()["sessions"]
    assert watched.run("kick", row["id"]).returncode == 0
    with pytest.raises((OSError, poplib.error_proto)):
        client.noop()
    wait_for(lambda: watched.figure('pypop3d_processes{draining="yes",role="worker"}') == 0)


def test_a_worker_that_is_stuck_delays_nobodys_answer(watched: Watched) -> None:
    client = watched.log_in("other")
    (stuck,) = watched.pids("busy")
    os.kill(stuck, signal.SIGSTOP)
    try:
        done = watched.run("status")
        assert f"worker {stuck} did not answer" in done.stderr
        assert " 2 worker;" in done.stdout
    finally:
        os.kill(stuck, signal.SIGCONT)
    assert [row["user"] for row in watched.status()["sessions"]] == [watched.site.user("other")]
    client.quit()


def test_only_root_and_the_daemons_user_are_answered(watched: Watched) -> None:
    path = watched.site.config.parent / "run" / "control"
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o666)  # even then
    program = f"""
import json, os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(int(sys.argv[1]))
s = socket.socket(socket.AF_UNIX); s.connect({str(path)!r}); s.sendall(b'{{"ask": "status"}}\\n')
print(s.makefile().readline())
"""
    answers = [
        subprocess.run([sys.executable, "-c", program, str(uid)], capture_output=True, text=True, check=True)
        for uid in (65534, watched.site.path("luser").stat().st_uid)
    ]
    assert json.loads(answers[0].stdout) == {
        "last": True,
        "error": "only root and the daemon's own user may ask",
    }
    assert "error" not in answers[1].stdout


def test_figures_count_what_clients_do_and_outlive_a_worker(watched: Watched) -> None:
    before = watched.figures()
    client = watched.log_in()
    client.retr(1)
    client.dele(1)
    client.quit()
    with pytest.raises(poplib.error_proto):
        poplib.POP3("127.0.0.1", watched.site.port, timeout=20).apop("luser", "x")
    stays = watched.log_in("other")
    granted = 'pypop3d_logins_total{driver="directory",mechanism="PASS",result="granted"}'
    deleted = "pypop3d_messages_deleted_total"
    wait_for(lambda: watched.figure(deleted) == before[deleted] + 1)
    figures = watched.figures()
    assert figures["pypop3d_sessions"] == figures["pypop3d_open_mailboxes"] == 1
    for name, more in {
        granted: 2,
        "pypop3d_connections_accepted_total": 3,
        'pypop3d_commands_total{verb="RETR"}': 1,
        'pypop3d_error_replies_total{code="AUTH"}': 1,
        "pypop3d_messages_retrieved_total": 1,
        "pypop3d_mailbox_open_seconds_count": 2,
        'pypop3d_command_seconds_count{verb="QUIT"}': 1,
        "pypop3d_login_seconds_count": 3,
    }.items():
        assert figures[name] == before[name] + more, name
    assert (
        figures['pypop3d_sql_queries_total{outcome="ok"}']
        >= before['pypop3d_sql_queries_total{outcome="ok"}'] + 2
    )
    assert figures["pypop3d_sql_seconds_sum"] > before["pypop3d_sql_seconds_sum"]

    (worker,) = watched.pids("busy")
    os.kill(worker, signal.SIGKILL)
    died = 'pypop3d_process_restarts_total{role="worker"}'
    wait_for(lambda: watched.figure(died) == before[died] + 1)
    assert watched.figure(granted) == figures[granted]
    wait_for(lambda: watched.figure("pypop3d_sessions") == 0)
    wait_for(lambda: watched.get("/healthz") == (200, "ok\n"))
    stays.close()


def test_both_formats_and_nothing_else(watched: Watched) -> None:
    status, text = watched.get("/metrics", "application/openmetrics-text; version=1.0.0")
    assert status == 200
    assert text.endswith("# EOF\n")
    assert watched.get("/")[0] == 404
    with socket.create_connection(("127.0.0.1", watched.http), 10) as sock:
        sock.sendall(b"POST /metrics HTTP/1.0\r\n\r\n")
        assert b" 501 " in sock.recv(1000)
    expiry = f'pypop3d_certificate_expiry_timestamp_seconds{{file="{watched.site.config.parent}/server.pem"}}'
    assert time.time() < watched.figure(expiry) < time.time() + 3 * 86_400


def test_ready_is_only_who_can_ask_the_directory(watched: Watched) -> None:
    assert watched.get("/readyz") == (200, "ok\n")
    database = watched.site.config.parent / "vmail.db"
    database.rename(database.with_suffix(".away"))
    wait_for(lambda: watched.get("/readyz")[0] == 503)
    assert watched.get("/readyz")[1] == "the directory cannot be asked\n"
    assert watched.get("/healthz") == (200, "ok\n")
    database.with_suffix(".away").rename(database)
    wait_for(lambda: watched.get("/readyz") == (200, "ok\n"))


def test_a_rotated_log_is_left_by_every_process(watched: Watched) -> None:
    watched.log_in().quit()
    old = watched.log.with_suffix(".1")
    watched.log.rename(old)
    os.kill(watched.site.pop3d.child.pid, signal.SIGUSR1)
    began = "began session for `luser@klient1.pl'"
    wait_for(watched.log.exists)
    vmail = watched.site.path("luser").stat().st_uid
    assert (watched.log.stat().st_uid, watched.log.stat().st_mode & 0o777) == (vmail, 0o660)
    time.sleep(0.3)  # until the workers have had their signals
    size = old.stat().st_size
    for _ in range(20):
        watched.log_in().quit()
    assert old.stat().st_size == size
    assert watched.log.read_text().count(began) == 40  # two lines each, with -v


def test_a_log_file_that_the_processes_may_not_open_is_handed_to_them(watched: Watched) -> None:
    watched.log.rename(watched.log.with_suffix(".2"))
    watched.log.touch(0o600)  # as logrotate's "create" does, for root
    os.kill(watched.site.pop3d.child.pid, signal.SIGUSR1)
    time.sleep(0.3)  # until the workers have had their signals
    for _ in range(10):
        watched.log_in().quit()
    text = watched.log.read_text()
    assert text.count("began session for `luser@klient1.pl'") == 20
    assert "going on with the file" not in text + watched.log.with_suffix(".2").read_text()


def test_reloads_leave_no_descriptor_behind(watched: Watched) -> None:
    master = watched.site.pop3d.child.pid
    started = time.time()

    def reload() -> None:
        before = watched.log.read_text().count("net_loop: restarting")
        os.kill(master, signal.SIGHUP)
        wait_for(lambda: watched.log.read_text().count("net_loop: restarting") > before)
        wait_for(lambda: watched.get("/healthz")[0] == 200)

    def drained() -> bool:
        old = [f'pypop3d_processes{{draining="yes",role="{role}"}}' for role in ("worker", "authenticator")]
        return not any(watched.figure(name) for name in old)

    def descriptors() -> int:
        return len(os.listdir(f"/proc/{master}/fd"))

    reload()
    wait_for(drained)
    reload()  # which clears away what is left of all but the last
    wait_for(drained)
    before = descriptors()
    for _ in range(3):
        reload()
    wait_for(drained)
    reload()
    wait_for(lambda: descriptors() <= before + 1)
    assert watched.figure("pypop3d_start_time_seconds") < started


def comes_and_goes(watched: Watched, box: str) -> bool:
    """Tell whether a session was possible just now."""
    with contextlib.suppress(OSError, poplib.error_proto):
        watched.log_in(box).quit()
        return True
    return False


def test_in_separated_mode(area: Path, vmail: pwd.struct_passwd) -> None:
    watched = Watched(area / "watched-separated", vmail, "privilege-separation: yes\n")
    try:
        wait_for(lambda: watched.get("/readyz") == (200, "ok\n"))
        client, other = watched.log_in(), watched.log_in("other")
        rows = {row["user"]: row for row in watched.status()["sessions"]}
        assert set(rows) == {watched.site.user("luser"), watched.site.user("other")}
        assert {row["state"] for row in rows.values()} == {"TRANSACTION"}
        assert watched.run("kick", "--user", watched.site.user("luser")).stdout == "1 ended\n"
        with pytest.raises((OSError, poplib.error_proto)):
            client.noop()
        assert other.noop().startswith(b"+OK")
        watched.log.rename(watched.log.with_suffix(".1"))
        os.kill(watched.site.pop3d.child.pid, signal.SIGUSR1)
        wait_for(watched.log.exists)
        other.quit()  # by a process that serves old clients, and goes on with the old file (docs/security.md)
        wait_for(
            lambda: "other@klient1.pl(127.0.0.1): disconnected; " in watched.log.with_suffix(".1").read_text()
        )
        # Workers of before may take clients for another half second.
        wait_for(lambda: comes_and_goes(watched, "other") and "disconnected; " in watched.log.read_text())
        assert "going on with the file" not in watched.log.with_suffix(".1").read_text()
        wait_for(lambda: watched.figures()["pypop3d_sessions"] == 0)
        figures = watched.figures()
        assert figures['pypop3d_logins_total{driver="directory",mechanism="PASS",result="granted"}'] >= 3
        assert figures['pypop3d_connections_closed_total{reason="kicked"}'] == 1
    finally:
        watched.site.stop()
