"""auth-passwd and auth-pam with accounts of this machine, made for the test, and real PAM modules."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.system.support.crowd import named
from tests.system.support.pop3d import Pop3d, Telnet
from tests.system.support.processes import CHECKOUT, free_port, program, wait_for

PASSWORD = "haslo ż x"
#: By name: what useradd and chage are told.
ACCOUNTS = {
    "tpop3d-t1": "",
    "tpop3d-t2": "-E 2001-06-05",
    "tpop3d-t3": "-M 10 -d 2001-06-05",
    "tpop3d-t4": "L",
}
WELL, EXPIRED, STALE, LOCKED = ACCOUNTS
YES, WRONG, LOST, NEVER = "+OK Welcome", "-ERR [AUTH]", "-ERR [SYS/TEMP]", "-ERR [SYS/PERM]"


def run(*command: str, stdin: str = "") -> str:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout.strip()


@pytest.fixture(scope="module", autouse=True)
def accounts(system: None) -> Iterator[None]:
    """Accounts with yescrypt passwords, in this machine's own passwd and shadow."""
    stored = run(program("mkpasswd"), "-m", "yescrypt", "-s", stdin=PASSWORD)
    try:
        for name, how in ACCOUNTS.items():
            run(program("useradd"), "-M", "-U", "-s", "/bin/false", "-p", stored, name)
            if how == "L":
                run(program("usermod"), "-L", name)
            elif how:
                run(program("chage"), *how.split(), name)
        yield
    finally:
        for name in ACCOUNTS:
            subprocess.run([program("userdel"), name], capture_output=True, check=False)


@pytest.fixture
def folder(area: Path) -> Iterator[Path]:
    path = area / "accounts"
    (path / "mail").mkdir(parents=True)
    for name in ACCOUNTS:
        box = path / "mail" / name
        box.write_text("From x@y Fri Jun  8 12:00:00 2001\nSubject: x\n\nx\n\n")
        shutil.chown(box, name)
        box.chmod(0o600)
    for shown in (path, path / "mail"):
        shown.chmod(0o777)
    yield path
    shutil.rmtree(path)


class Site:
    """A pypop3d; run-as is the owner of one mailbox where it is not separated."""

    def __init__(self, folder: Path, directives: str, run_as: str = WELL) -> None:
        self.port = free_port()
        config = folder / "tpop3d.conf"
        config.write_text(
            f"listen-address: 127.0.0.1:{self.port}(klient1.pl)\nrun-as: {run_as}\nauth-processes: 1\n"
            f"mailbox: bsd:{folder}/mail/$(user)\n{directives}"
        )
        self.pop3d = Pop3d(config, self.port)

    def says(self, user: str, password: str = PASSWORD) -> str:
        client = Telnet(self.port)
        assert client.read().startswith("+OK")
        client.type(f"USER {user}")
        answer = client.type(f"PASS {password}")
        if answer.startswith("+OK"):
            client.type("QUIT")
        client.close()
        return " ".join(answer.split()[:2])

    def refuses(self, *logins: tuple[str, str]) -> bool:
        """Try several at once, since the answers to wrong ones take their time."""
        with ThreadPoolExecutor(len(logins)) as pool:
            return all(answer == WRONG for answer in pool.map(self.says, *zip(*logins, strict=True)))

    @property
    def log(self) -> str:
        return self.pop3d.log.read_text()


@pytest.fixture
def site(folder: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    made = Site(folder, request.param)
    yield made
    made.pop3d.stop()


def service(name: str, *lines: str) -> Path:
    """Write a PAM service."""
    path = Path("/etc/pam.d") / name
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def helpers(pid: int) -> list[Path]:
    """Return what each authentication process of a server has beside it, as folders of /proc."""
    found = []
    for child in named(pid, "authenticator"):
        for below in Path(f"/proc/{child}/task/{child}/children").read_text().split():
            if b"rootside" in Path(f"/proc/{below}/cmdline").read_bytes():
                found.append(Path(f"/proc/{below}"))
    return found


@pytest.mark.parametrize("site", ["auth-passwd-enable: yes\n"], indirect=True)
def test_shadow_accounts(site: Site) -> None:
    assert site.says(WELL) == YES
    others = (EXPIRED, STALE, LOCKED, "root", "nobody")
    assert site.refuses((WELL, "haslo"), *((name, PASSWORD) for name in others))
    assert f"auth-passwd: `{EXPIRED}': the account has expired" in site.log
    assert f"auth-passwd: `{STALE}': the password has expired" in site.log
    (helper,) = helpers(site.pop3d.child.pid)
    status = dict(line.split(":", 1) for line in (helper / "status").read_text().splitlines())
    assert "0" not in status["Uid"].split() + status["Gid"].split() + status["Groups"].split()
    assert int(status["CapEff"], 16) == 0
    assert (int(status["Threads"]), int(status["NoNewPrivs"])) == (1, 1)


@pytest.mark.parametrize("site", ["auth-passwd-enable: yes\n"], indirect=True)
def test_another_users_mail_in_plain_mode(site: Site) -> None:
    run(program("chage"), "-E", "-1", EXPIRED)
    try:
        assert site.says(EXPIRED) == NEVER
    finally:
        run(program("chage"), "-E", "2001-06-05", EXPIRED)


PAM = "auth-pam-enable: yes\nauth-pam-facility: tpop3d-test\n"


def test_pam_unix(folder: Path) -> None:
    path = service("tpop3d-test", "auth required pam_unix.so nodelay", "account required pam_unix.so")
    site = Site(folder, PAM)
    try:
        assert site.says(WELL) == YES
        others = (EXPIRED, STALE, LOCKED, "root")
        assert site.refuses((WELL, "haslo"), *((name, PASSWORD) for name in others))
        assert f"auth-pam: `{EXPIRED}' may not log in: User account has expired (13)" in site.log
        (helper,) = helpers(site.pop3d.child.pid)
        os.kill(int(helper.name), 9)  # the next login finds out, and the one after it has another
        assert site.says(WELL) == LOST
        wait_for(lambda: helpers(site.pop3d.child.pid), "another process beside another authenticator")
        assert site.says(WELL) == YES
    finally:
        site.pop3d.stop()
        path.unlink()


SCRIPT = """\
#!/bin/sh
password=$(tr -d '\\0')
env | sort >"$0.seen"
case $PAM_USER in
    hang) sleep 60 & echo $! >"$0.pid"; sleep 60 ;;
    crash) kill -SEGV $PPID ;;
    *) [ "$password" = 'haslo' ] ;;
esac
"""


def test_pam_exec_and_names_that_only_pam_knows(folder: Path) -> None:
    script = folder / "check"
    script.write_text(SCRIPT)
    script.chmod(0o755)
    path = service(
        "tpop3d-test",
        # A program that says no is a system error to pam_exec(8), so that pam_deny has to say it.
        f"auth [success=1 default=ignore] pam_exec.so expose_authtok quiet {script}",
        "auth requisite pam_deny.so",
        "auth required pam_permit.so",
        "account required pam_permit.so",
    )
    for name in ("virtual", "hang"):
        shutil.copy(folder / "mail" / WELL, folder / "mail" / name)
        shutil.chown(folder / "mail" / name, WELL)
    site = Site(folder, f"{PAM}auth-pam-mail-user: {WELL}\n")
    try:
        assert site.says("virtual", "haslo") == YES
        seen = (folder / "check.seen").read_text()
        for line in ("PAM_RHOST=127.0.0.1", "PAM_TTY=pop3", "PAM_USER=virtual", "PAM_SERVICE=tpop3d-test"):
            assert f"{line}\n" in seen
        assert site.says("virtual", "Haslo") == WRONG
        assert site.says("crash", "haslo") == LOST
        assert site.says("hang", "haslo") == LOST
        sleeper = int((folder / "check.pid").read_text())
        wait_for(lambda: not Path(f"/proc/{sleeper}").exists(), "the end of what a module started")
        assert site.says("virtual", "haslo") == YES
        assert "it did not answer in time" in site.log
        assert "its process ended without an answer" in site.log
        for process in helpers(site.pop3d.child.pid):
            assert b"virtual" not in (process / "cmdline").read_bytes()
    finally:
        site.pop3d.stop()
        path.unlink()


def test_each_reads_his_own_mail_in_separated_mode(folder: Path, vmail: pwd.struct_passwd) -> None:
    separated = "privilege-separation: yes\nauth-passwd-enable: yes\nfirst-uid: 1000\n"
    site = Site(folder, separated, vmail.pw_name)
    run(program("chage"), "-E", "-1", EXPIRED)
    try:
        assert [site.says(WELL), site.says(EXPIRED), site.says(LOCKED)] == [YES, YES, WRONG]
    finally:
        run(program("chage"), "-E", "2001-06-05", EXPIRED)
        site.pop3d.stop()


def test_check_says_who_is_asked(folder: Path) -> None:
    config = folder / "check.conf"
    config.write_text(
        "listen-address: 127.0.0.1:1\nrun-as: daemon\nauth-passwd-enable: yes\nauth-pam-enable: yes\n"
        "auth-pam-facility: tpop3d-nothing\n"
    )
    command = [str(CHECKOUT / ".venv/bin/pypop3d"), "--check", "-f", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "users are looked for in: pam, passwd" in done.stdout
    assert "there is no /etc/pam.d/tpop3d-nothing" in done.stdout + done.stderr
