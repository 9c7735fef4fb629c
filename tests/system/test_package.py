"""The Debian package in a clean Debian: installed, used, upgraded, removed, purged.

The last test on each of the two systems takes the package away; each works alone, too.
"""

from __future__ import annotations

import re
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.support.cleanroot import CleanRoot, Service, build, newer, prepared
from tests.system.support.pop3d import Telnet
from tests.system.support.processes import CHECKOUT, free_port, listens, wait_for

COMMANDS = ("pypop3d", "vmail", "vmail-gen-exim", "VE-domain", "VE-popbox", "VE-forwarder", "VE-passwd")
UNIT = (CHECKOUT / "scripts/systemd/pypop3d.service").read_text()


@pytest.fixture(scope="module")
def folder(system: None) -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="tpop3d-package-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def installed(debian_package: Path, folder: Path) -> CleanRoot:
    root = prepared(debian_package).copy(folder / "installed")
    root.install(debian_package)
    return root


@pytest.fixture(scope="module")
def used(installed: CleanRoot, folder: Path) -> tuple[CleanRoot, int]:
    """A system with the package, the paper's domain in it, and the port that its daemon is to have."""
    root = installed.copy(folder / "used")
    return root, site(root)


def confined() -> list[str]:
    """The words before a command that give root no more than the unit does."""
    (bounds,) = re.findall(r"^CapabilityBoundingSet=(.*)$", UNIT, flags=re.MULTILINE)
    names = ",".join(f"+{name.removeprefix('CAP_').lower()}" for name in bounds.split())
    return ["setpriv", f"--bounding-set=-all,{names}", "--inh-caps=-all", "--no-new-privs"]


def site(root: CleanRoot) -> int:
    """Make the paper's domain and box, have the daemon listen on a free port, and return the port."""
    port = free_port()
    config = root.path / "etc/tpop3d.conf"
    config.write_text(f"{config.read_text()}\nlisten-address: 127.0.0.1:{port}(klient1.pl)\n")
    root.run("vmail db init && VE-domain add klient1.pl && VE-popbox add klient1.pl luser --type bsd")
    root.run("VE-passwd luser@klient1.pl -", stdin="haslo_lusera\n")
    root.run(
        "cd /var/mail/SERVERS/klient1.pl && printf 'From a@b Tue Jun  5 19:06:00 2001\\n\\nx\\n\\n' > luser "
        "&& chown vmail: luser && chmod 660 luser"
    )
    return port


def started(root: CleanRoot, port: int, log: Path) -> Service:
    """Start the daemon as the unit does, in the foreground."""
    root.run("mkdir -p /run/tpop3d")
    command = [*confined(), "/usr/sbin/pypop3d", "-d", "-p", "/run/tpop3d/pypop3d.pid"]
    child = root.start(command, log)
    child.wait_until(lambda: listens(port), "pypop3d")
    return child


def messages(port: int) -> str:
    """Log in and return the answer to STAT."""
    client = Telnet(port)
    assert client.read().startswith("+OK <")
    assert client.type("user luser@klient1.pl") == "+OK Tell me your password."
    welcome = client.type("pass haslo_lusera")
    assert welcome.startswith("+OK Welcome aboard!"), welcome
    answer = client.type("stat")
    assert client.type("quit") == "+OK Done"
    client.close()
    return answer


def test_the_same_checkout_makes_the_same_package(debian_package: Path, folder: Path) -> None:
    assert build(folder).read_bytes() == debian_package.read_bytes()


def test_nothing_runs_and_the_daemon_says_what_is_missing(installed: CleanRoot) -> None:
    check = installed.attempt("pypop3d --check")
    assert (check.returncode, check.stderr) == (
        1,
        "pypop3d: /etc/tpop3d.conf: listen-address: at least one address is required\n",
    )
    assert not list((installed.path / "etc/systemd/system").rglob("pypop3d*"))


def test_the_account_and_the_folders(installed: CleanRoot) -> None:
    assert installed.run("getent passwd vmail").split(":")[4:] == [
        "Virtual mail (tpop3d-py),,,",
        "/var/mail/SERVERS",
        "/usr/sbin/nologin\n",
    ]
    stated = installed.run(
        "stat -c '%n %A %U:%G' /var/mail/SERVERS /var/lib/vmail /etc/tpop3d /etc/tpop3d.conf"
    )
    assert stated.splitlines() == [
        "/var/mail/SERVERS drwxr-xr-x root:root",
        "/var/lib/vmail drwxr-x--- vmail:vmail",
        "/etc/tpop3d drwxr-xr-x root:root",
        "/etc/tpop3d.conf -rw-r----- root:root",
    ]


def test_every_command_has_a_page_completion_and_no_foreign_path(installed: CleanRoot) -> None:
    share = installed.path / "usr/share"
    for name in COMMANDS:
        assert (share / f"man/man8/{name}.8.gz").exists()
        assert (share / f"bash-completion/completions/{name}").exists()
        assert (share / f"zsh/vendor-completions/_{name}").exists()
        assert (share / f"fish/vendor_completions.d/{name}.fish").exists()
        assert installed.run(f"cd /tmp && PYTHONPATH=/nowhere {name} --version")
    for name in ("pypop3d.service", "pypop3d@.service", "pypop3d.socket"):
        assert (installed.path / "usr/lib/systemd/system" / name).exists()


def test_modules_are_compiled_at_installation(installed: CleanRoot) -> None:
    # The unit makes /usr read-only, and nobody but root may write there in any case.
    library = installed.path / "usr/lib/tpop3d-py"
    sources = {path.relative_to(library) for path in library.rglob("*.py")}
    compiled = {
        path.relative_to(library).parent.parent / f"{path.name.partition('.')[0]}.py"
        for path in library.rglob("*.pyc")
    }
    assert sources - compiled == set()
    assert not list(library.rglob("*.so")), "the package says that it fits every architecture"


def test_dpkg_finds_every_file_as_it_was_packed(installed: CleanRoot) -> None:
    assert installed.run("dpkg --verify tpop3d-py") == ""


def test_a_domain_is_served_with_the_capabilities_of_the_unit(
    used: tuple[CleanRoot, int], folder: Path
) -> None:
    root, port = used
    assert root.run("pypop3d --check").startswith("pypop3d: /etc/tpop3d.conf: no mistakes found")
    daemon = started(root, port, folder / "served.log")
    try:
        assert messages(port).startswith("+OK 1 ")
        assert (root.path / "run/tpop3d/pypop3d.pid").read_text() == "1\n"  # the first of its namespace
        for number in (signal.SIGUSR1, signal.SIGHUP):
            daemon.kill(number)
        wait_for(lambda: "restarting on signal 1" in daemon.output(), "the reload")
        assert messages(port).startswith("+OK 1 ")
    finally:
        daemon.stop()
    assert "Traceback" not in (folder / "served.log").read_text()
    assert not listens(port)


def test_the_templates_came_along(installed: CleanRoot) -> None:
    assert "virtual" in installed.run("vmail-gen-exim --section routers")


def test_an_upgrade_keeps_what_was_edited(
    used: tuple[CleanRoot, int], debian_package: Path, folder: Path
) -> None:
    root, port = used
    edited = (root.path / "etc/tpop3d.conf").read_text()
    root.install(newer(debian_package, folder))
    assert root.run("dpkg-query -W -f '${Version}' tpop3d-py").endswith("+next")
    assert (root.path / "etc/tpop3d.conf").read_text() == edited
    assert (root.path / "etc/logrotate.d/tpop3d-py").read_text().endswith("# next\n")
    daemon = started(root, port, folder / "upgraded.log")
    try:
        assert messages(port).startswith("+OK 1 ")
    finally:
        daemon.stop()


def test_removal_and_purge_leave_mail_and_accounts(used: tuple[CleanRoot, int]) -> None:
    root, _ = used
    root.run("apt-get remove -q -y tpop3d-py")
    assert "klient1.pl" in (root.path / "etc/tpop3d.conf").read_text()
    assert not (root.path / "usr/lib/tpop3d-py").exists()
    said = root.run("apt-get purge -q -y tpop3d-py")
    assert "tpop3d-py: kept the account vmail and what is in /var/mail/SERVERS /var/lib/vmail" in said
    assert not (root.path / "etc/tpop3d.conf").exists()
    assert (root.path / "var/mail/SERVERS/klient1.pl/luser").read_text().startswith("From ")
    assert (root.path / "var/lib/vmail/vmail.db").exists()
    assert root.run("getent passwd vmail")


def test_purge_of_an_unused_package_leaves_nothing(installed: CleanRoot) -> None:
    root = installed
    root.run("mkdir -p /etc/systemd/system/multi-user.target.wants")
    root.run("ln -s /lib/systemd/system/pypop3d.service /etc/systemd/system/multi-user.target.wants/")
    root.run("apt-get purge -q -y tpop3d-py")
    assert root.attempt("getent passwd vmail").returncode == 2
    left = root.run(
        "find / -xdev \\( -name '*pop3d*' -o -name '*vmail*' -o -name SERVERS \\) -not -path '/root/*'"
    )
    assert left == "", left
