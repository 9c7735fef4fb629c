"""Signals and the service manager: pypop3d as root, its settings read again while clients are there."""

from __future__ import annotations

import os
import poplib
import pwd
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.support.pop3d import BIN, Telnet
from tests.system.support.processes import free_port
from tests.system.support.small import SmallSite, make_certificate

LETTER = b"From: a@klient1.pl\nSubject: one\n\nbody\n"


@pytest.fixture
def site(area: Path, vmail: pwd.struct_passwd, request: pytest.FixtureRequest) -> Iterator[SmallSite]:
    name = f"reload{abs(hash(request.node.name)) % 10_000_000}"
    site = SmallSite(area / name, vmail, dict.fromkeys(("luser", "other"), "maildir"), "max-children: 50\n")
    for number in (1, 2):
        letter = site.path("luser") / "new" / f"{number}.M1P1.host"
        letter.write_bytes(LETTER)
        os.chown(letter, vmail.pw_uid, vmail.pw_gid)
    yield site
    site.stop()


def wait_for(true: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end, "waited for 20 seconds in vain"
        time.sleep(0.02)


def reload(site: SmallSite, words: str = "net_loop: restarting") -> None:
    """Have the settings read again; returns when the log says so."""
    before = site.pop3d.log.read_text().count(words)
    os.kill(site.pop3d.child.pid, signal.SIGHUP)
    wait_for(lambda: site.pop3d.log.read_text().count(words) > before)


def refuses(port: int) -> bool:
    """Tell whether nobody listens at a port."""
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except ConnectionRefusedError:
        return True
    return False


def log_in(site: SmallSite, port: int | None = None, box: str = "luser") -> poplib.POP3:
    client = poplib.POP3("127.0.0.1", port or site.port, timeout=20)
    client.user(site.user(box))
    client.pass_(site.password(box))
    return client


def rewrite(site: SmallSite, old: str, new: str) -> None:
    text = site.config.read_text()
    assert old in text
    site.config.write_text(text.replace(old, new))


def workers(site: SmallSite) -> set[int]:
    """The master's children."""
    found = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(site.pop3d.child.pid)], capture_output=True, text=True, check=False
    )
    return {int(pid) for pid in found.stdout.split()}


def test_a_session_goes_on_over_a_reload_and_what_it_deletes_is_deleted(site: SmallSite) -> None:
    before = workers(site)
    session = log_in(site)
    idle = Telnet(site.port)
    idle.read()
    session.dele(1)
    reload(site)
    assert session.stat() == (1, len(LETTER) + LETTER.count(b"\n"))
    assert idle.type(f"USER {site.user('other')}").startswith("+OK")
    assert idle.type(f"PASS {site.password('other')}").startswith("+OK")  # by a helper of the old settings
    session.quit()
    idle.close()
    assert log_in(site).stat()[0] == 1
    wait_for(lambda: not workers(site) & before)  # who served the old clients has ended with them


def test_new_settings_are_obeyed_by_new_connections(site: SmallSite) -> None:
    added = free_port()
    gone = site.polish_port
    old = log_in(site, gone)
    rewrite(
        site, f" 127.0.0.1:{gone}(klient1.pl);texts=polish", f" 127.0.0.1:{added}(klient1.pl);texts=polite"
    )
    reload(site)
    assert log_in(site, added, "other").stat()[0] == 0
    wait_for(lambda: refuses(gone))  # the old workers notice within half a second
    assert old.stat()[0] == 2
    old.quit()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("append-domain: yes", "append-doman: yes", "did you mean append-domain?"),
        ("auth-directory-enable: yes", "auth-directory-enable: no", "no authentication driver"),
        ("server.pem 127", "gone.pem 127", "gone.pem"),
        ("127.0.0.1:", "192.0.2.1:", "cannot listen on 192.0.2.1"),
    ],
)
def test_settings_that_cannot_be_obeyed_change_nothing(
    site: SmallSite, old: str, new: str, said: str
) -> None:
    session = log_in(site)
    before = workers(site)
    rewrite(site, old, new)
    reload(site, "those from before stay in force")
    assert said in site.pop3d.log.read_text()
    assert workers(site) == before
    assert session.stat()[0] == 2
    session.quit()
    assert log_in(site, site.stls_port).stat()[0] == 2


def test_a_new_certificate_that_only_root_can_read(site: SmallSite) -> None:
    def serial() -> str:
        return ssl.get_server_certificate(("127.0.0.1", site.tls_port))

    first = serial()
    make_certificate(site.config.parent)
    assert (site.config.parent / "server.pem").stat().st_mode & 0o777 == 0o600
    reload(site)
    wait_for(lambda: serial() != first)


def test_reloads_without_end_refuse_nobody(site: SmallSite) -> None:
    failures: list[BaseException] = []
    logins = 0
    over = threading.Event()

    def poll(box: str) -> None:
        nonlocal logins
        while not over.is_set():
            try:
                client = log_in(site, box=box)
                client.stat()
                client.quit()
                logins += 1
            except (OSError, poplib.error_proto, EOFError) as error:
                failures.append(error)

    clients = [threading.Thread(target=poll, args=(box,)) for box in ("luser", "other")]
    for client in clients:
        client.start()
    for _ in range(10):
        reload(site)
        time.sleep(0.2)
    over.set()
    for client in clients:
        client.join()
    assert failures == []
    assert logins > 10
    wait_for(lambda: len(workers(site)) <= 4 + 2)  # nothing of the old settings is left over


def test_only_children_give_root_up_and_nobody_keeps_it_who_hears_a_client(
    site: SmallSite, vmail: pwd.struct_passwd
) -> None:
    def uids(pid: int) -> set[str]:
        status = Path(f"/proc/{pid}/status").read_text()
        return set(next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1:])

    reload(site)
    assert uids(site.pop3d.child.pid) == {"0"}
    for pid in workers(site):
        wait_for(lambda pid=pid: uids(pid) == {str(vmail.pw_uid)})  # type: ignore[misc]
        assert "NoNewPrivs:\t1" in Path(f"/proc/{pid}/status").read_text()


def test_a_master_that_is_killed_takes_its_processes_along(site: SmallSite) -> None:
    children = workers(site)
    assert len(children) >= 3
    os.kill(site.pop3d.child.pid, signal.SIGKILL)
    wait_for(lambda: not any(Path(f"/proc/{pid}/cmdline").exists() for pid in children))


def test_a_listener_and_a_word_from_the_service_manager(site: SmallSite, tmp_path: Path) -> None:
    """Socket activation, readiness, reload and watchdog, as systemd would do it."""
    site.pop3d.stop()
    listening = socket.create_server(("127.0.0.1", site.port))
    early = socket.create_connection(("127.0.0.1", site.port), 20)  # a client before the server
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(tmp_path / "notify"))
    manager.settimeout(20)
    environment = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
    launcher = (
        "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ.update(LISTEN_PID=str(os.getpid()), "
        "LISTEN_FDS='1'); os.execv(sys.argv[2], sys.argv[2:])"
    )
    words = [str(listening.fileno()), str(BIN / "pypop3d"), "-f", str(site.config), "-d"]
    server = subprocess.Popen(
        [sys.executable, "-c", launcher, *words],
        env=environment,
        pass_fds=[listening.fileno()],
        stderr=subprocess.PIPE,
    )
    try:
        listening.close()
        assert manager.recv(200).startswith(b"READY=1\n")
        assert early.makefile("rb").readline().startswith(b"+OK")
        assert manager.recv(200) == b"WATCHDOG=1"
        server.send_signal(signal.SIGHUP)
        told = [word for _ in range(20) if (word := manager.recv(200)) != b"WATCHDOG=1"][:1]
        assert told[0].startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        server.send_signal(signal.SIGTERM)
        assert server.wait(20) == 0
    finally:
        server.kill()
        server.communicate()
        early.close()
        manager.close()
