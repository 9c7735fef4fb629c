"""Separated mode with real clients: the same service as in plain mode, by processes of different users."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import poplib
import pwd
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.support.mariadb import PASSWORD, Mariadb
from tests.system.support.pop3d import BIN
from tests.system.support.processes import free_port, listens, wait_for
from tests.system.support.separated import (
    AUTH_USER,
    DOMAINS,
    MESSAGES,
    Separated,
    children,
    prime_of,
    remembers,
    status,
)

ALL = sorted(text.replace(b"\n", b"\r\n") for text in MESSAGES)


@pytest.fixture(scope="module")
def two(area: Path, mariadb: Mariadb, vmail2: pwd.struct_passwd) -> Iterator[Separated]:
    """Mail of two owners."""
    folder = area / "separated"
    more = (
        f"control-socket: {folder}/control\nmetrics-listen: 127.0.0.1:{free_port()}\nauthcache-enable: yes\n"
        f"log-file: {folder}/pop3d.log\n"
    )
    # A minute is too long for a test.
    site = Separated(folder, mariadb, more, "from tpop3d_py.server import mailroom\nmailroom.IDLE = 1.0")
    wait_for(lambda: listens(site.port), "pypop3d")
    site.wait_until_settled()
    yield site
    site.stop()


def order(two: Separated, *words: str) -> str:
    command = [str(BIN / "pypop3d"), *words, "--socket", f"{two.folder}/control"]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout


def listed(two: Separated) -> dict[tuple[str, int], bool]:
    """The users and processes of all sessions, and whether they are inside TLS."""
    rows = json.loads(order(two, "status", "--json"))["sessions"]
    return {(row["user"], int(row["id"].partition(".")[0])): row["tls"] for row in rows}


def settle_down(two: Separated) -> None:
    """Wait until what tests before have left is gone."""
    wait_for(lambda: "vmail2" not in two.processes(), "the process of the second owner to end")


def metric(two: Separated, name: str) -> float:
    """Read one figure."""
    address = next(line for line in two.config.read_text().splitlines() if "metrics-listen" in line).split()[
        1
    ]
    host, _, port = address.partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return float(next(line for line in text.splitlines() if line.startswith(f"{name} ")).split()[1])


def fetched(client: poplib.POP3) -> list[bytes]:
    count = client.stat()[0]
    return sorted(b"".join(line + b"\r\n" for line in client.retr(n)[1]) for n in range(1, count + 1))


@pytest.mark.parametrize("tls", [False, True])
def test_mail_of_two_owners_at_once(two: Separated, tls: bool) -> None:
    clients = [two.login(box, domain, tls=tls) for domain in DOMAINS.values() for box in ("luser", "jan")]
    for client in clients:
        assert fetched(client) == ALL
    assert {"vmail", "vmail2"} <= two.processes().keys()
    for client in clients:
        assert client.quit() == b"+OK Done"


def test_every_process_is_who_it_should_be_and_nothing_more(two: Separated) -> None:
    settle_down(two)
    client = two.login(domain="drugi.pl")
    found = two.processes()
    assert {name: len(pids) for name, pids in found.items()} == {
        "root": 1,
        "nobody": 3,  # the monitor is one of them
        AUTH_USER: 2,
        "vmail": 2,
        "vmail2": 1,
    }
    for name, pids in found.items():
        for pid in pids if name != "root" else ():
            account, now = pwd.getpwnam(name), status(pid)
            assert now["Uid"].split() == [str(account.pw_uid)] * 4
            assert now["Gid"].split() == [str(account.pw_gid)] * 4
            assert "0" not in now["Groups"].split()
            for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
                assert int(now[kind], 16) == 0, (name, kind)
            assert now["NoNewPrivs"] == "1"
            assert now["Seccomp"] == ("0" if name == AUTH_USER else "2"), name
            # With PR_SET_DUMPABLE off /proc belongs to root, and so nobody else can look at it.
            assert os.stat(f"/proc/{pid}/environ").st_uid == 0
    assert status(found["root"][0])["Threads"] == "1"
    assert status(found["nobody"][0])["Groups"] == ""
    client.quit()


def test_secrets_are_where_they_are_needed_and_nowhere_else(two: Separated) -> None:
    settle_down(two)
    client = two.login(domain="drugi.pl", tls=True)
    password, prime = PASSWORD.encode(), prime_of(two.folder / "server.pem")
    looked_at = set()
    for name, pids in two.processes().items():
        for pid in pids:
            with contextlib.suppress(FileNotFoundError):  # the monitor is made anew now and then
                # It does not listen, and has no key.
                serves = name == "nobody" and threads(pid) > 4
                assert (remembers(pid, password), remembers(pid, prime)) == (name == AUTH_USER, serves), name
                looked_at.add(name)
    assert looked_at == {"root", "nobody", AUTH_USER, "vmail", "vmail2"}
    client.quit()


def threads(pid: int) -> int:
    return int(status(pid)["Threads"])


def test_descriptors(two: Separated) -> None:
    """Only who talks to clients listens, and nobody has the way to somebody else."""
    settle_down(two)
    client = two.login(domain="drugi.pl")
    listening = {
        line.split()[9] for line in Path("/proc/net/tcp").read_text().splitlines()[1:] if " 0A " in line
    }
    kinds = {}
    for name, pids in two.processes().items():
        for pid in pids:
            try:
                links = [os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()]
            except FileNotFoundError:  # the monitor is made anew now and then
                continue
            inodes = {link[8:-1] for link in links if link.startswith("socket:")}
            assert bool(inodes & listening) is (name in ("root", "nobody")), name
            assert any("pypop3d-secret" in link or "pypop3d-key" in link for link in links) is (
                name == "root"
            ), name
            if name != "nobody" or threads(pid) > 4:
                kinds[name] = len(inodes - listening)
    # Its channel; requests; answers for each worker and the monitor; two pools; the way to the master.
    assert kinds[AUTH_USER] <= 1 + 1 + 3 + 2 + 1 + 2
    # Its channel; tickets; answers; both ends of its own for connections; the session.
    assert kinds["vmail2"] <= 1 + 1 + 3 + 2 + 1 + 1
    assert kinds["nobody"] <= 1 + 1 + 1 + 1 + 1
    client.quit()


def test_octets_behind_the_login_and_a_language(two: Separated) -> None:
    with socket.create_connection(("127.0.0.1", two.port), 20) as sock:
        login = b"UTF8\r\nLANG pl\r\nUSER luser@klient1.pl\r\nPASS haslo-luser\r\n"
        sock.sendall(login + b"STAT\r\nRETR 9\r\nLANG en\r\nRETR 9\r\nQU")
        file = sock.makefile("rb")
        lines = [file.readline().decode() for _ in range(9)]
        assert lines[4] == "+OK Witamy! W skrzynce są 3 wiadomości.\r\n"
        assert lines[5] == f"+OK 3 {sum(map(len, ALL))}\r\n"
        assert lines[6] == "-ERR Nie ma wiadomości o takim numerze.\r\n"
        assert lines[8].startswith("-ERR ")
        assert lines[8] != lines[6]
        sock.sendall(b"IT\r\n")
        assert file.read() == b"+OK Done\r\n"


@pytest.mark.parametrize("tls", [False, True])
def test_deleting_and_the_client_that_goes(two: Separated, tls: bool) -> None:
    """QUIT removes, also where the client is gone before its answer; without QUIT nothing is removed."""

    def messages() -> int:
        return len(list(two.path("luser", "drugi.pl").rglob("9*")))

    before = messages()
    for last, left in ((b"NOOP\r\n", before), (b"QUIT\r\n", before - 1)):
        client = log_in_again(two, "luser", "drugi.pl", tls)
        client.dele(1)
        assert client.sock is not None
        client.sock.sendall(last)
        client.close()
        log_in_again(two, "luser", "drugi.pl", tls).quit()  # which waits for the end of that session
        assert messages() == left


def log_in_again(two: Separated, box: str, domain: str, tls: bool) -> poplib.POP3:
    """Log in when the session before has ended."""
    for _ in range(500):
        try:
            return two.login(box, domain, tls=tls)
        except poplib.error_proto as error:
            if b"[IN-USE]" not in error.args[0]:
                raise
            time.sleep(0.01)
    raise TimeoutError("the maildrop stays in use")


def test_the_second_session_is_refused(two: Separated) -> None:
    first = two.login("jan")
    with pytest.raises(poplib.error_proto, match=r"\[IN-USE\]"):
        two.login("jan")
    first.quit()
    two.login("jan").quit()


def test_a_slow_reader_inside_tls_gets_everything(two: Separated) -> None:
    client = two.login("jan", tls=True)
    assert client.sock is not None
    client.sock.sendall(b"RETR 3\r\n" * 40)
    time.sleep(0.3)  # all buffers in between are full, and nobody spins or drops
    for _ in range(40):
        size = 0
        assert client._getline()[0].startswith(b"+OK")  # type: ignore[attr-defined]
        while (line := client._getline()[0]) != b".":  # type: ignore[attr-defined]
            size += len(line) + 2
        assert size == len(MESSAGES[2].replace(b"\n", b"\r\n"))
    assert client.quit() == b"+OK Done"


def test_a_mail_process_that_dies_takes_its_sessions_and_no_others(two: Separated) -> None:
    mine, other = two.login(), two.login(domain="drugi.pl", tls=True)
    for pid in two.processes()["vmail2"]:
        os.kill(pid, signal.SIGKILL)
    with pytest.raises((poplib.error_proto, OSError, EOFError, ssl.SSLError)):
        other.noop()
    assert mine.noop().startswith(b"+OK")
    two.login(domain="drugi.pl").quit()
    mine.quit()


def test_status_kick_and_figures(two: Separated) -> None:
    sessions = metric(two, "pypop3d_sessions")
    plain, secret = two.login(), two.login("luser", "drugi.pl", tls=True)
    (other,) = two.processes()["vmail2"]
    wait_for(lambda: len(listed(two)) == 2, "the monitor to know the new process", 40)
    assert listed(two)["luser@drugi.pl", other] is True
    assert {user: tls for (user, _), tls in listed(two).items()} == {
        "luser@klient1.pl": False,
        "luser@drugi.pl": True,
    }
    assert metric(two, "pypop3d_sessions") == sessions + 2
    order(two, "kick", "--user", "luser@drugi.pl")
    with pytest.raises((poplib.error_proto, OSError, EOFError)):
        secret.noop()
    wait_for(lambda: metric(two, "pypop3d_sessions") == sessions + 1, "the end of the session")
    assert plain.quit() == b"+OK Done"
    wait_for(lambda: metric(two, "pypop3d_connections") == 0, "the end of all")


def test_a_login_that_is_remembered_and_forgotten(two: Separated, mariadb: Mariadb) -> None:
    for _ in range(8):  # each of the authentication processes remembers for itself
        two.login("jan", "drugi.pl").quit()
    assert "with directory+cache" in two.log()
    change = "UPDATE popbox SET password_hash = %s WHERE domain_name = 'drugi.pl' AND local_part = 'jan'"
    ((before,),) = mariadb.execute(
        "SELECT password_hash FROM popbox WHERE domain_name = 'drugi.pl' AND local_part = 'jan'",
        database="separated",
    )
    mariadb.execute(change, "{plaintext}another", database="separated")
    for _ in range(4):
        two.login("jan", "drugi.pl").quit()
    order(two, "forget", "jan@drugi.pl")
    for _ in range(2):
        with pytest.raises(poplib.error_proto, match=r"\[AUTH\]"):
            two.login("jan", "drugi.pl")
    mariadb.execute(change, before, database="separated")


def test_a_process_that_nobody_needs_ends_and_comes_again(two: Separated) -> None:
    two.login(domain="drugi.pl").quit()
    wait_for(lambda: "vmail2" not in two.processes(), "the process to end")
    wait_for(lambda: len(two.processes()["vmail"]) == 2, "the others to stay")
    clients = [two.login(domain="drugi.pl"), two.login("jan", "drugi.pl", tls=True)]
    assert len(two.processes()["vmail2"]) == 1
    for client in clients:
        client.quit()
    assert "of uid" not in "".join(line for line in two.log().splitlines() if "ended" in line)


def read_again(two: Separated, text: str) -> None:
    """Put other settings in force and wait until the processes of those before take no clients."""
    before = set(two.processes()["nobody"])
    two.config.write_text(text)
    os.kill(two.child.pid, signal.SIGHUP)
    wait_for(lambda: not before & set(children(two.child.pid)), "the old processes to leave")
    two.wait_until_settled()


def test_owners_below_the_floor(two: Separated) -> None:
    text = two.config.read_text()
    read_again(two, text.replace("first-uid: ", "first-uid: 60000 # "))
    with pytest.raises(poplib.error_proto, match=r"\[SYS/PERM\]"):
        two.login(domain="drugi.pl")
    two.login().quit()  # that of run-as is as low, and served
    assert "below first-uid" in two.log()
    read_again(two, text)
    two.login(domain="drugi.pl").quit()


def test_a_log_file_that_was_rotated(two: Separated) -> None:
    """The processes may not open files: others take their place, which have it from the master."""
    old, new = two.folder / "pop3d.log.1", two.folder / "pop3d.log"
    session, before = two.login(), set(two.processes()["nobody"])
    new.rename(old)
    os.kill(two.child.pid, signal.SIGUSR1)
    wait_for(lambda: not before & set(children(two.child.pid)), "the old processes to leave")
    two.login("jan", "drugi.pl").quit()
    wait_for(lambda: "`jan@drugi.pl' with directory" in new.read_text(), "the line in the new file")
    assert session.quit() == b"+OK Done"  # and its process writes where it always did
    wait_for(lambda: "luser@klient1.pl" in old.read_text().splitlines()[-1], "the line in the old file")


def test_a_reload_keeps_sessions(two: Separated) -> None:
    sessions = [
        two.login(domain=domain, tls=tls) for domain, tls in zip(DOMAINS.values(), (False, True), strict=True)
    ]
    before = {name: set(pids) for name, pids in two.processes().items()}
    os.kill(two.child.pid, signal.SIGHUP)
    wait_for(lambda: set(two.processes().get(AUTH_USER, ())) > before[AUTH_USER], "new processes")
    two.wait_until_settled()
    two.login("jan").quit()
    for session in sessions:
        assert session.stat()[0] > 0
        assert session.quit() == b"+OK Done"
    gone = before["nobody"] | before["vmail2"]
    wait_for(lambda: not gone & set(children(two.child.pid)), "the old processes to end", 40)
