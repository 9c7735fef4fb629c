"""The units of the Debian package, under a systemd that obeys all that is written in them.

The last test takes the package away.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.support.cleanroot import newer, prepared
from tests.system.support.machine import Machine
from tests.system.support.pop3d import Telnet
from tests.system.support.processes import free_port, listens, wait_for
from tests.system.support.tools import found_by_filter

CONFIG = "etc/tpop3d.conf"


@pytest.fixture(scope="module")
def folder(system: None) -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="tpop3d-service-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def machine(debian_package: Path, folder: Path, port: int) -> Iterator[Machine]:
    """A booted system with the package, the paper's domain, and a service that is not running yet."""
    root = prepared(debian_package).copy(folder / "root")
    root.install(debian_package, "systemd", "systemd-sysv")
    with (root.path / CONFIG).open("a") as config:
        config.write(f"\nlisten-address: 127.0.0.1:{port}(klient1.pl)\n")
    root.run("vmail db init && VE-domain add klient1.pl && VE-popbox add klient1.pl luser --type maildir")
    root.run("VE-passwd luser@klient1.pl -", stdin="haslo_lusera\n")
    booted = Machine(root, folder / "boot.log")
    yield booted
    booted.stop()


@pytest.fixture
def service(machine: Machine, port: int) -> Iterator[Machine]:
    """The same with the service running, and its configuration back afterwards."""
    before = (machine.root.path / CONFIG).read_text()
    machine.run("systemctl reset-failed; systemctl start pypop3d")
    yield machine
    machine.run("systemctl stop pypop3d")
    (machine.root.path / CONFIG).write_text(before)


def logged_in(port: int) -> Telnet:
    client = Telnet(port)
    assert client.read().startswith("+OK <")
    client.type("user luser@klient1.pl")
    welcome = client.type("pass haslo_lusera")
    assert welcome.startswith("+OK Welcome aboard!"), welcome
    return client


def main_pid(machine: Machine, unit: str = "pypop3d") -> str:
    return machine.run(f"systemctl show -P MainPID {unit}")


def test_a_fresh_system_runs_nothing_of_ours(machine: Machine, port: int) -> None:
    assert (
        machine.run("systemctl is-enabled pypop3d.service pypop3d.socket || true").split() == ["disabled"] * 2
    )
    assert not listens(port)


def test_the_service_is_ready_when_start_returns(service: Machine, port: int) -> None:
    logged_in(port).close()
    assert service.run("systemctl show -P StatusText pypop3d") == "serving"
    assert (service.root.path / "run/tpop3d/pypop3d.pid").exists() is False  # /run is the machine's own
    assert service.run("cat /run/tpop3d/pypop3d.pid") == main_pid(service)


def test_mail_is_taken_away_in_spite_of_what_the_unit_forbids(service: Machine, port: int) -> None:
    service.run(
        "cd /var/mail/SERVERS/klient1.pl && mkdir -p luser/cur luser/new luser/tmp "
        "&& printf 'Subject: x\\n\\ny\\n' > luser/new/1.a && chown -R vmail: luser"
    )
    client = logged_in(port)
    assert client.type("dele 1").startswith("+OK")
    assert client.type("quit") == "+OK Done"
    client.close()
    wait_for(lambda: not service.run("ls /var/mail/SERVERS/klient1.pl/luser/new"), "the message to go")


def test_the_service_cannot_write_elsewhere(service: Machine) -> None:
    enter = f"nsenter -t {main_pid(service)} -m"
    assert service.attempt(f"{enter} touch /etc/x /usr/x").returncode != 0
    assert service.run(f"{enter} ls -A /home") == ""
    assert service.run(f"grep NoNewPrivs: /proc/{main_pid(service)}/status").split() == ["NoNewPrivs:", "1"]


def test_a_reload_keeps_sessions_and_refuses_mistakes(service: Machine, port: int) -> None:
    client, pid = logged_in(port), main_pid(service)
    service.run("systemctl reload pypop3d")
    wait_for(lambda: "restarting on signal 1" in service.journal("pypop3d"), "the reload")
    assert client.type("noop").startswith("+OK")
    with (service.root.path / CONFIG).open("a") as config:
        config.write("max-children: many\n")
    assert service.attempt("systemctl reload pypop3d").returncode != 0
    assert "max-children" in service.journal("pypop3d")
    assert client.type("noop").startswith("+OK")
    client.close()
    logged_in(port).close()
    assert main_pid(service) == pid


def test_a_master_that_is_killed_is_started_again(service: Machine, port: int) -> None:
    pid = main_pid(service)
    service.run(f"kill -KILL {pid}")
    wait_for(lambda: main_pid(service) not in ("0", pid) and listens(port), "the restart")
    logged_in(port).close()


def test_a_master_that_hangs_is_killed_and_started_again(machine: Machine, port: int) -> None:
    drop_in = machine.root.path / "etc/systemd/system/pypop3d.service.d/test.conf"
    drop_in.parent.mkdir()
    drop_in.write_text("[Service]\nWatchdogSec=2\n")
    machine.run("systemctl daemon-reload && systemctl start pypop3d")
    try:
        pid = main_pid(machine)
        machine.run(f"kill -STOP {pid}")
        wait_for(lambda: main_pid(machine) not in ("0", pid) and listens(port), "the watchdog")
        logged_in(port).close()
    finally:
        drop_in.unlink()
        machine.run("systemctl daemon-reload && systemctl stop pypop3d")


def test_mistakes_at_start_are_in_the_journal(machine: Machine) -> None:
    config = machine.root.path / CONFIG
    before = config.read_text()
    config.write_text(before.replace("listen-address", "listen-adress"))
    try:
        assert machine.attempt("systemctl start pypop3d").returncode != 0
        assert "listen-adress" in machine.journal("pypop3d")
    finally:
        machine.attempt("systemctl stop pypop3d")
        config.write_text(before)


def test_several_daemons_have_a_unit_each(service: Machine, port: int) -> None:
    other = free_port()
    text = (service.root.path / CONFIG).read_text().replace(f":{port}(", f":{other}(")
    text = text.replace("/run/tpop3d/", "/run/tpop3d-klient1.pl/")
    (service.root.path / "etc/tpop3d/klient1.pl").write_text(text)
    service.run("systemctl start pypop3d@klient1.pl")
    try:
        logged_in(other).close()
        logged_in(port).close()
        assert service.run("cat /run/tpop3d-klient1.pl/pypop3d.pid") == main_pid(
            service, "pypop3d@klient1.pl"
        )
    finally:
        service.run("systemctl stop pypop3d@klient1.pl")
    logged_in(port).close()


def test_with_the_socket_unit_no_client_is_refused_during_a_restart(machine: Machine, port: int) -> None:
    drop_in = machine.root.path / "etc/systemd/system/pypop3d.socket.d/test.conf"
    drop_in.parent.mkdir(parents=True)
    drop_in.write_text(f"[Socket]\nListenStream=\nListenStream=127.0.0.1:{port}\n")
    machine.run("systemctl daemon-reload && systemctl start pypop3d.socket")
    try:
        assert machine.attempt("systemctl is-active pypop3d").stdout.strip() == "inactive"
        logged_in(port).close()  # which starts the service
        pid = main_pid(machine)
        machine.run("systemctl stop pypop3d")
        assert listens(port)
        logged_in(port).close()
        assert main_pid(machine) not in ("0", pid)
    finally:
        machine.run("systemctl stop pypop3d.socket pypop3d")


def test_a_log_file_is_rotated_and_written_by_all_processes(machine: Machine, port: int) -> None:
    config = machine.root.path / CONFIG
    before = config.read_text()
    config.write_text(f"{before}log-file: /var/log/tpop3d/pypop3d.log\n")
    log = machine.root.path / "var/log/tpop3d/pypop3d.log"
    machine.run("systemctl start pypop3d")
    try:
        machine.run("systemctl reload pypop3d")  # the master opens the file that it has given away
        wait_for(lambda: "restarting on signal 1" in log.read_text(), "the reload")
        log.rename(log.with_suffix(".old"))
        script = (machine.root.path / "etc/logrotate.d/tpop3d-py").read_text()
        assert machine.run(script.split("postrotate\n")[1].split("endscript")[0]) == ""
        wait_for(log.exists, "the new file")
        wait_for(lambda: _told(port, log), "a worker to write to it")
        machine.run("systemctl stop pypop3d")
        assert "terminating on signal 15" in log.read_text()
        assert "Permission denied" not in machine.journal("pypop3d")
    finally:
        machine.run("systemctl stop pypop3d")
        config.write_text(before)


def _told(port: int, log: Path) -> bool:
    logged_in(port).close()
    return "began session for `luser@klient1.pl'" in log.read_text()


def test_the_daemon_tells_what_it_is_doing(service: Machine, port: int) -> None:
    client = logged_in(port)
    assert "luser@klient1.pl" in service.run("pypop3d status")
    client.close()


def test_fail2ban_finds_in_the_journal_who_guesses_passwords(
    service: Machine, port: int, tmp_path: Path
) -> None:
    client = Telnet(port)
    client.read()
    client.type("user x':connection_do:client`[4]198.51.100.9/a':username`y':authentication-failure")
    assert client.type("pass wrong").startswith("-ERR [AUTH]")
    client.close()
    lines = service.run("journalctl --no-pager -o short -u pypop3d")
    assert set(found_by_filter(f"{lines}\n", tmp_path)) == {"127.0.0.1"}


def test_an_upgrade_restarts_what_runs_and_a_removal_stops_it(
    machine: Machine, debian_package: Path, folder: Path, port: int
) -> None:
    machine.run("systemctl start pypop3d")
    pid = main_pid(machine)
    shutil.copy(newer(debian_package, folder), machine.root.path / "root/newer.deb")
    machine.run("DEBIAN_FRONTEND=noninteractive apt-get install -q -y /root/newer.deb 2>&1")
    assert main_pid(machine) not in ("0", pid)
    logged_in(port).close()
    machine.run("DEBIAN_FRONTEND=noninteractive apt-get remove -q -y tpop3d-py 2>&1")
    assert not listens(port)
    assert machine.run("systemctl is-failed pypop3d || true") == "inactive"
