"""What we ship for systemd, man, fail2ban, AppArmor, logrotate and the shells is understood by them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.system.support.processes import CHECKOUT, program
from tests.system.support.tools import found_by_filter, run
from tpop3d_py.log import quoted

SCRIPTS = CHECKOUT / "scripts"
PAGES = sorted((CHECKOUT / "docs/man").glob("man?/*"))
BASH, ZSH, FISH = (sorted((SCRIPTS / "completion" / shell).iterdir()) for shell in ("bash", "zsh", "fish"))
pytestmark = pytest.mark.usefixtures("system")


# --- systemd -----------------------------------------------------------------


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with our units, systemd's own, and the programs that ours start."""
    root = tmp_path_factory.mktemp("root")
    shutil.copytree("/usr/lib/systemd/system", root / "usr/lib/systemd/system", symlinks=True)
    shutil.copytree(SCRIPTS / "systemd", root / "etc/systemd/system")
    for path in (root / "usr/sbin/pypop3d", root / "bin/kill"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    return root


@pytest.mark.parametrize("unit", ["pypop3d.service", "pypop3d.socket", "pypop3d@klient1.pl.service"])
def test_systemd_has_nothing_to_say_about_a_unit(units: Path, unit: str) -> None:
    assert run("systemd-analyze", "verify", "--man=no", f"--root={units}", unit) == ""


@pytest.mark.parametrize("unit", ["pypop3d.service", "pypop3d@klient1.pl.service"])
def test_the_service_is_exposed_less_than_three(units: Path, unit: str) -> None:
    # --threshold makes the exit code tell, in tenths.
    said = run("systemd-analyze", "security", "--offline=true", f"--root={units}", "--threshold=29", unit)
    assert "Overall exposure level" in said


# --- manual pages --------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_formatters_have_nothing_to_say_about_a_page(path: Path) -> None:
    assert run("groff", "-ww", "-z", "-man", "-Tutf8", path) == ""
    done = subprocess.run([program("mandoc"), "-Tlint", path], capture_output=True, text=True, check=False)
    complaints = [line for line in done.stdout.splitlines() if "missing date" not in line]
    assert complaints == []


def test_man_shows_a_page_as_it_was_written() -> None:
    shown = run("man", "--warnings", "-E", "ascii", "-P", "cat", "-l", CHECKOUT / "docs/man/man8/VE-popbox.8")
    assert "VE-popbox add [--type {bsd,maildir}] [--adopt] DOMAIN USER" in " ".join(shown.split())
    assert "vmail.conf(5)" in shown


# --- fail2ban --------------------------------------------------------------------


def refusal(address: str, name: str) -> str:
    return (
        f"Nov 22 14:00:00 mx pypop3d[12]: connection_do: client `[4]{address}/klient1.pl': "
        f"username `{name}': authentication failure: wrong password\n"
    )


def test_the_filter_finds_the_clients_that_were_refused(tmp_path: Path) -> None:
    lines = refusal("192.0.2.1", "luser") + refusal("2001:db8::5", "x@klient1.pl")
    assert found_by_filter(lines, tmp_path) == ["192.0.2.1", "2001:db8::5"]


def test_no_name_brings_another_address_in(tmp_path: Path) -> None:
    other = refusal("198.51.100.9", "victim").strip()
    names = [other, f"x\n{other}", f"x': {other[29:]}", other[29:]]
    lines = "".join(
        refusal("192.0.2.1", name.replace("\n", "\\n")) + refusal("192.0.2.1", quoted(name)) for name in names
    )
    assert found_by_filter(lines, tmp_path) == ["192.0.2.1"] * 8


def test_other_lines_are_no_refused_logins(tmp_path: Path) -> None:
    text = "connection_do: client `[4]198.51.100.9/a': username `y': authentication failure: x"
    head = "Nov 22 14:00:00 mx pypop3d[12]: "
    lines = [
        f"{head}connection_do: client `[4]192.0.2.4/klient1.pl': username `a': login not possible: database",
        f"{head}fork_child: [4]{text}(192.0.2.5): began session for `x' with directory; child PID is 1",
        f"{head}client [4]192.0.2.7/klient1.pl: received `USER {text}'",
        f"Nov 22 14:00:00 mx other[12]: {text}",
    ]
    assert found_by_filter("\n".join(lines), tmp_path) == []


def test_the_jail_is_read_and_off(tmp_path: Path) -> None:
    folder = tmp_path / "fail2ban"
    shutil.copytree("/etc/fail2ban", folder)
    (folder / "jail.d/defaults-debian.conf").unlink()  # a jail for sshd, which need not be here
    shutil.copytree(SCRIPTS / "fail2ban", folder, dirs_exist_ok=True)
    assert "OK: configuration test is successful" in run("fail2ban-client", "-c", folder, "-t")
    assert "pypop3d" not in run("fail2ban-client", "-c", folder, "-d")
    (folder / "jail.local").write_text("[pypop3d]\nenabled = true\nbackend = auto\nlogpath = /dev/null\n")
    assert "'add', 'pypop3d'" in run("fail2ban-client", "-c", folder, "-d")


# --- logrotate and AppArmor --------------------------------------------------------


def test_logrotate_moves_logs_away_and_signals_the_daemon(tmp_path: Path) -> None:
    log, pid = tmp_path / "log", tmp_path / "run"
    log.mkdir()
    pid.mkdir()
    rules = (SCRIPTS / "logrotate/tpop3d-py").read_text()
    rules = rules.replace("/var/log/tpop3d", str(log)).replace("/run/tpop3d*", str(pid))
    rules = rules.replace(" /run/pypop3d.pid", f" {pid}/by-hand.pid")
    (tmp_path / "rules").write_text(f"su root root\n{rules}")
    (tmp_path / "rules").chmod(0o644)
    (log / "pypop3d.log").write_text("a line\n")
    waiting = [subprocess.Popen(["sleep", "60"]) for _ in range(2)]
    try:
        for name, process in zip(("pypop3d.pid", "by-hand.pid"), waiting, strict=True):
            (pid / name).write_text(f"{process.pid}\n")
        run("logrotate", "--force", "--state", tmp_path / "state", tmp_path / "rules")
        assert [process.wait(10) for process in waiting] == [-10, -10]  # SIGUSR1
    finally:
        for process in waiting:
            process.kill()
            process.wait()
    assert [path.name for path in log.iterdir()] == ["pypop3d.log.1"]


def test_the_apparmor_profile_is_understood() -> None:
    # -Q: neither load it nor look for a kernel that could.
    run("apparmor_parser", "-Q", "-K", SCRIPTS / "apparmor/usr.sbin.pypop3d")


# --- shells ------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*BASH, *ZSH, *FISH], ids=lambda path: f"{path.parent.name}-{path.name}")
def test_a_shell_can_read_its_completion(path: Path) -> None:
    assert run(path.parent.name, "-n", path) == ""


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("pypop3d kick --us", {"--user"}),
        ("pypop3d --ch", {"--check"}),
        ("VE-domain ", {"add", "popboxes", "list", "show", "delete", "del"}),
        ("VE-popbox add klient1.pl luser --t", {"--type"}),
        ("VE-popbox add klient1.pl luser --type ", {"bsd", "maildir"}),
        ("vmail db in", {"init"}),
        ("vmail-gen-exim --section r", {"routers"}),
    ],
)
def test_bash_completes_a_command_line(line: str, words: set[str]) -> None:
    command = line.split(maxsplit=1)[0]
    script = f"""
        set -e
        source {SCRIPTS}/completion/bash/{command}
        line=$1
        read -ra COMP_WORDS <<< "$line"
        if [[ $line == *' ' ]]; then COMP_WORDS+=(''); fi
        COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        read -ra how <<< "$(complete -p {command})"
        for at in "${{!how[@]}}"; do if [[ ${{how[at]}} == -F ]]; then function=${{how[at + 1]}}; fi; done
        "$function" {command} "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD - 1]}}"
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    completed = {word.strip() for word in run("bash", "-c", script, "bash", line).splitlines()}
    assert words <= completed
