"""Drivers that decide by a program, a class or a file, in a real pypop3d that has given root up."""

from __future__ import annotations

import os
import poplib
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.system.support.pop3d import Pop3d, Telnet
from tests.system.support.processes import CHECKOUT, free_port, program, wait_for

EXAMPLES = CHECKOUT / "scripts" / "examples"
DOMAIN = "klient1.pl"
LOST = "-ERR [SYS/TEMP]"
WRONG = "-ERR [AUTH]"


def crypt(password: str) -> str:
    command = [program("openssl"), "passwd", "-6", "-salt", "abc", password]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


class Site:
    """A pypop3d with drivers of the test's choice; jan and ola have mail, one message each."""

    def __init__(self, folder: Path, owner: pwd.struct_passwd, directives: str) -> None:
        self.folder = folder
        self.owner = owner
        folder.chmod(0o755)
        for box in ("jan", "ola"):
            self._deliver(folder / "mail" / box)
        self.port = free_port()
        config = folder / "tpop3d.conf"
        config.write_text(
            f"listen-address: 127.0.0.1:{self.port}({DOMAIN})\nrun-as: {owner.pw_name}\nauth-processes: 2\n"
            f"mailbox: maildir:{folder}/mail/$(user)\n{directives}"
        )
        self.pop3d = Pop3d(config, self.port)

    def _deliver(self, box: Path) -> None:
        for part in ("", "new", "cur", "tmp"):
            (box / part).mkdir(parents=True, exist_ok=True)
            os.chown(box / part, self.owner.pw_uid, self.owner.pw_gid)
        (box / "new" / "1.M1P1.host").write_text(f"Subject: {box.name}\n\nhello\n")

    def login(self, user: str, password: str) -> str:
        client = Telnet(self.port)
        client.read()
        client.type(f"USER {user}")
        answer = client.type(f"PASS {password}")
        client.close()
        return answer

    def answers(self, *logins: tuple[str, str]) -> list[str]:
        """Try several at once, since wrong ones take their time; return what is refused, and why."""
        with ThreadPoolExecutor(len(logins)) as pool:
            return [
                " ".join(answer.split()[:2]) for answer in pool.map(self.login, *zip(*logins, strict=True))
            ]

    def subject(self, user: str, password: str) -> bytes:
        """Return the first line of the first message."""
        client = poplib.POP3("127.0.0.1", self.port, timeout=20)
        client.user(user)
        client.pass_(password)
        first: bytes = client.retr(1)[1][0]
        client.quit()
        return first

    def log(self) -> str:
        return self.pop3d.log.read_text()

    def stop(self) -> None:
        self.pop3d.stop()


@pytest.fixture
def folder(area: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    path = area / f"drivers-{abs(hash(request.node.name))}"
    path.mkdir()
    yield path
    shutil.rmtree(path)


def users(folder: Path, owner: pwd.struct_passwd, secret: str) -> Path:
    """Write the examples' file: jan with a mailbox of his own, ola without."""
    ids = f"{owner.pw_name}:{owner.pw_gid}"
    path = folder / "users"
    path.write_text(
        f"jan:{secret}:{ids}:{folder}/mail/jan/\nola@{DOMAIN}:{secret}:{ids}:{folder}/mail/ola/\n"
        f"root:{secret}:root:root\n1e2:{secret}:{ids}\n"
    )
    return path


def example(name: str, folder: Path) -> Path:
    """Copy an example that reads its users in a folder."""
    path = folder / name
    path.write_text((EXAMPLES / name).read_text().replace("/etc/tpop3d-users", f"{folder}/users"))
    path.chmod(0o755)
    return path


def processes_of(user: pwd.struct_passwd) -> dict[int, str]:
    """Return the command lines of a user's processes by pid."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and entry.stat().st_uid == user.pw_uid:
                found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
    return {pid: line for pid, line in found.items() if line}


@pytest.mark.parametrize("name", ["auth-other.pl", "auth-other.sh"])
def test_a_program_in_perl_and_one_in_sh(
    folder: Path, vmail: pwd.struct_passwd, vmail2: pwd.struct_passwd, name: str
) -> None:
    path = example(name, folder)
    users(folder, vmail, crypt("haslo'ż \\n"))
    site = Site(
        folder,
        vmail,
        f"auth-other-enable: yes\nauth-other-program: {path}\nauth-other-user: {vmail2.pw_name}\n"
        "auth-other-timeout: 3\n",
    )
    try:
        assert site.subject("jan", "haslo'ż \\n") == b"Subject: jan"
        assert site.subject(f"ola@{DOMAIN}", "haslo'ż \\n") == b"Subject: ola"
        wrong = (("jan", "haslo"), ("100", "haslo'ż \\n"), ("root", "haslo'ż \\n"), ("nobody", "haslo"))
        assert site.answers(*wrong) == [WRONG] * 4
        assert "auth-other: nobody is called nobody" in site.log()
        running = {pid: line for pid, line in processes_of(vmail2).items() if str(path) in line}
        leaders = [pid for pid in running if os.getsid(pid) == pid]
        programs = [pid for pid in leaders if "spawner.py" not in running[pid]]
        assert len(programs) == 3  # one beside each authentication process, one that hears of logins
        for pid in programs:
            status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
            assert status["Uid"].split() == [str(vmail2.pw_uid)] * 4
            assert status["Gid"].split() == [str(vmail2.pw_gid)] * 4
            assert "0" not in status["Groups"].split()
            assert not [fd for fd in Path(f"/proc/{pid}/fd").iterdir() if "socket" in os.readlink(fd)]
    finally:
        site.stop()
    wait_for(lambda: not running.keys() & processes_of(vmail2).keys(), "the programs' end")


STUBBORN = """#!/usr/bin/python3 -IS
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
while packet := os.read(0, 4096):
    words = packet.split(b"\\0")
    if b"hang" in words:
        time.sleep(1000)
    if b"crash" in words:
        raise ZeroDivisionError
    if b"garbage" in words:
        os.write(1, b"garbage" * 1000)
    os.write(1, b"result\\0NO\\0\\0")
"""


def test_a_program_that_hangs_costs_those_who_wait_for_it_and_nobody_else(
    folder: Path, vmail: pwd.struct_passwd, vmail2: pwd.struct_passwd
) -> None:
    path = folder / "stubborn"
    path.write_text(STUBBORN)
    path.chmod(0o755)
    (folder / "passwd").write_text(f"jan:{crypt('haslo')}\n")
    site = Site(
        folder,
        vmail,
        f"auth-other-enable: yes\nauth-other-program: {path}\nauth-other-user: {vmail2.pw_name}\n"
        f"auth-flatfile-enable: yes\nauth-flatfile-passwd-file: {folder}/passwd\n"
        f"auth-flatfile-mail-user: {vmail.pw_name}\nauth-flatfile-mailbox: {folder}/mail/$(local_part)/\n"
        "append-domain: yes\nauth-order: other flatfile\n",
    )
    try:
        for _ in range(2):  # each of two instances, perhaps
            assert site.answers(*((user, "x") for user in ("hang", "crash", "garbage"))) == [LOST] * 3
            assert site.subject("jan", "haslo") == b"Subject: jan"
        assert "ZeroDivisionError" in site.log()
        # Whatever kills the daemon, nothing of the program is left.
        os.kill(site.pop3d.child.pid, signal.SIGKILL)
        wait_for(lambda: str(path) not in " ".join(processes_of(vmail2).values()), "the programs' end")
    finally:
        site.stop()


def test_a_class_in_python(folder: Path, vmail: pwd.struct_passwd) -> None:
    path = example("auth_python.py", folder)
    path.write_text(
        path.read_text().replace(
            "\n\nif __name__",
            "\n\nclass Tidy(Accounts):\n    def finish(self):\n"
            "        self.print_log('finished')\n\n\nif __name__",
        )
    )
    users(folder, vmail, "haslo")
    site = Site(folder, vmail, f"auth-python-enable: yes\nauth-python-class: {path}:Tidy\n")
    try:
        assert site.subject("jan", "haslo") == b"Subject: jan"
        assert site.answers(("jan", "Haslo"), ("root", "haslo")) == [WRONG] * 2
        wait_for(lambda: "auth-python: jan from 127.0.0.1" in site.log(), "the login's line")
        client = poplib.POP3("127.0.0.1", site.port, timeout=20)
        assert client.apop("jan", "haslo").startswith(b"+OK")
        client.quit()
        (folder / "users").unlink()
        assert site.login("jan", "haslo").startswith(LOST)
        assert f"FileNotFoundError: [Errno 2] No such file or directory: '{folder}/users'" in site.log()
    finally:
        site.stop()
    # Two processes that check logins, and one that hears of them.
    assert site.log().count("auth-python: finished") == 3


def test_text_files_by_domain_and_a_login_that_the_cache_knows(
    folder: Path, vmail: pwd.struct_passwd
) -> None:
    """The mailbox is the same for both, and names from the wire lead nowhere else."""
    (folder / "passwd").mkdir()
    (folder / "passwd" / DOMAIN).write_text("jan:{plaintext}haslo\n")
    (folder / "evil").write_text("jan:{plaintext}haslo\n")
    (folder / "mail" / "empty").mkdir(parents=True)
    site = Site(
        folder,
        vmail,
        f"auth-flatfile-enable: yes\nauth-flatfile-passwd-file: {folder}/passwd/$(domain)\n"
        f"auth-flatfile-mail-user: {vmail.pw_name}\nauth-flatfile-mailbox: {folder}/mail/$(local_part)\n"
        "authcache-enable: yes\nworker-processes: 1\nappend-domain: yes\n",
    )
    try:
        for _ in range(3):
            assert site.subject("jan", "haslo") == b"Subject: jan"
        assert "with flatfile+cache" in site.log()
        evil = (
            "jan@../evil",
            f"jan@../../{folder.name}/evil",
            f"jan@{folder}/evil",
            "../mail/jan@klient1.pl",
        )
        assert site.answers(*((name, "haslo") for name in evil)) == [WRONG] * len(evil)
    finally:
        site.stop()


def gdbm(path: Path, code: str) -> None:
    """Run Perl with a GNU dbm file as %h."""
    script = f'tie(%h, "GDBM_File", "{path}", &GDBM_WRCREAT, 0644) or die $!; {code}; untie %h;'
    subprocess.run([program("perl"), "-MGDBM_File", "-e", script], check=True)


@pytest.mark.parametrize("persistent", ["no", "yes"])
def test_a_file_of_gnu_dbm(folder: Path, vmail: pwd.struct_passwd, persistent: str) -> None:
    path = folder / "passwd.gdbm"
    gdbm(
        path,
        f"""$h{{'jan@{DOMAIN}'}} = '{crypt("haslo")}' . chr(0); $h{{'ola@{DOMAIN}'}} = '{{plaintext}}x'""",
    )
    site = Site(
        folder,
        vmail,
        f"auth-gdbm-enable: yes\nauth-gdbm-passwd-file: {path}\nauth-gdbm-mail-user: {vmail.pw_name}\n"
        f"auth-gdbm-persistent: {persistent}\nauth-gdbm-mailbox: maildir:{folder}/mail/$(local_part)\n",
    )
    try:
        assert site.subject(f"jan@{DOMAIN}", "haslo") == b"Subject: jan"
        assert site.subject(f"ola@{DOMAIN}", "x") == b"Subject: ola"
        wrong = ((f"jan@{DOMAIN}", "x"), (f"nobody@{DOMAIN}", "x"), ("jan", "haslo"))
        assert site.answers(*wrong) == [WRONG] * 3
        new = folder / "new.gdbm"
        gdbm(new, f"$h{{'jan@{DOMAIN}'}} = '{{plaintext}}new'")
        new.rename(path)
        assert site.subject(f"jan@{DOMAIN}", "new") == b"Subject: jan"
        new.write_bytes(b"no such format")
        new.rename(path)
        assert site.login(f"jan@{DOMAIN}", "new").startswith(LOST)
    finally:
        site.stop()
