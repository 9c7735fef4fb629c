"""Somebody has taken over a process that talks to clients, with everything that it has, and wants more.

The program below is the real server, in which that process runs code of ours instead of serving: as the user,
with the descriptors and within the confinement that it really has.  It has one client's password, as it
would have from whoever logs in just then.
"""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.support.mariadb import PASSWORD, Mariadb
from tests.system.support.processes import wait_for
from tests.system.support.separated import AUTH_USER, Separated, children, remembers, status

PROGRAM = '''
import dataclasses, json, os, select, signal, socket, stat, time
from tpop3d_py.contracts import Credentials, Identity, Mechanism, Peer
from tpop3d_py.pop3.handover import Carried
from tpop3d_py.server import handover, lobby, tickets
from tpop3d_py.server.authlink import Request, pack_request
from tpop3d_py.server.handover import Luggage, pack_luggage

PEER = Peer("127.0.0.1", 1, "127.0.0.1", 110, "klient1.pl")


def attempt(call, *words):
    """Return the name of the error that comes of a call, or what it returns."""
    try:
        return repr(call(*words))
    except OSError as error:
        return type(error).__name__


class Captured:
    def __init__(self, worker):
        self.hall, self.number = worker._hall, worker._number
        self.found = {}

    def ask(self, user, password, worker=None):
        """Log in; return the mail process's word and the way to it."""
        number = self.hall._number()
        worker = self.number if worker is None else worker
        credentials = Credentials(Mechanism.PASSWORD, user, password, b"", PEER)
        expires = int(time.monotonic() * 1000) + 4000
        self.hall._requests.send(pack_request(Request(number, worker, expires, credentials)))
        if not select.select([self.hall.answers], [], [], 3)[0]:
            return None, None
        packet, descriptor = handover.receive(self.hall.answers)
        way = None if descriptor is None else socket.socket(fileno=descriptor)
        return packet, way

    def come(self, way, ticket, worker=None):
        """Come with a ticket; return what is said to the client."""
        ours, theirs = socket.socketpair()
        carried = Carried(0, False, False, False, 0, False, 0, 0)
        number = self.number if worker is None else worker
        handover.send(
            way, pack_luggage(Luggage(ticket, number, True, 0, 0, 0, 0, carried, b"", b"")), theirs.fileno()
        )
        theirs.close()
        ours.settimeout(3)
        return ours, ours.recv(4096).decode()

    def sockets(self):
        for fd in range(3, 512):
            try:
                if stat.S_ISSOCK(os.fstat(fd).st_mode):
                    yield socket.socket(fileno=os.dup(fd))
            except OSError:
                pass

    def tickets(self):
        found = self.found
        packet, way = self.ask("luser@klient1.pl", b"haslo-luser")
        _, word = tickets.unpack_word(packet)
        found["identity"] = any(path in packet for path in (b"SERVERS", b"maildir", b"vmail"))
        forged = os.urandom(16)
        found["forged"] = self.come(way, forged)[1]
        found["other worker"] = self.come(way, word.ticket, 1 - self.number)[1]
        packet, way = self.ask("luser@klient1.pl", b"haslo-luser")
        _, word = tickets.unpack_word(packet)
        client, found["good"] = self.come(way, word.ticket)
        found["reused"] = self.come(way, word.ticket)[1]
        client.sendall(b"STAT\\r\\n")
        found["stat"] = client.recv(100).decode()
        client.sendall(b"QUIT\\r\\n")
        found["quit"] = client.recv(100).decode()
        # What is no socket, or would make the other side wait, must do it no harm.
        packet, way = self.ask("luser@klient1.pl", b"haslo-luser")
        _, word = tickets.unpack_word(packet)
        reading, writing = os.pipe()
        carried = Carried(0, False, False, False, 0, False, 0, 0)
        luggage = Luggage(word.ticket, self.number, False, 0, 0, 0, 0, carried, b"", b"")
        handover.send(way, pack_luggage(luggage), reading)
        handover.send(way, b"rubbish")
        handover.send(way, b"rubbish" * 20, writing)
        found["wrong password"] = self.ask("luser@klient1.pl", b"wrong")[0].split(b"\\0")[1].decode()
        found["no such worker"] = self.ask("luser@klient1.pl", b"haslo-luser", 60000)[0]

    def name_a_maildrop(self):
        """Write tickets of our own to whatever we have, for somebody whose password we do not know."""
        identity = Identity("jan@drugi.pl", "directory", UID, GID, PATH, "bsd")
        ticket = tickets.Ticket(
            os.urandom(16), 1, self.number, int(time.monotonic() * 1000), "jan", Mechanism.PASSWORD, False,
            PEER, identity,
        )
        _, way = self.ask("jan@klient1.pl", b"haslo-jan")
        for sock in (way, *self.sockets()):
            attempt(sock.send, tickets.pack_ticket(ticket), socket.MSG_DONTWAIT)
        time.sleep(0.5)
        self.found["named"] = self.come(way, ticket.id)[1]

    def files(self):
        found = self.found
        found["read"] = attempt(open, "/etc/passwd")
        found["write"] = attempt(open, "/tmp/captured", "w")
        found["devnull"] = attempt(open, "/dev/null", "w")
        found["mail"] = attempt(os.open, PATH, os.O_RDONLY)
        found["list"] = attempt(os.listdir, "/")
        found["run"] = attempt(os.execv, "/bin/true", ["true"])
        found["become"] = attempt(os.setuid, 0)
        found["memory"] = attempt(open, f"/proc/{os.getppid()}/mem", "rb")
        found["own memory"] = attempt(open, "/proc/self/mem", "rb")
        kinds = {}
        for fd in range(3, 512):
            try:
                mode = os.fstat(fd).st_mode
            except OSError:
                continue
            if stat.S_ISREG(mode):
                kinds[fd] = "file"
        found["open files"] = len(kinds)

    def others(self):
        """Signal every process that may be one of ours."""
        touched = []
        for pid in range(max(2, os.getppid() - 5), os.getpid() + 200):
            if pid not in (os.getpid(), SIBLING(pid)) and attempt(os.kill, pid, 0) == "None":
                touched.append(pid)
        self.found["touched"] = touched


def SIBLING(pid):
    """Processes of the same class are one user; whoever has one has the clients of all."""
    try:
        return pid if os.stat(f"/proc/{pid}").st_uid in (os.getuid(),) else -1
    except OSError:
        return -1


def captured(worker):
    if worker._number != 0:
        return serve(worker)
    attacker = Captured(worker)
    for attack in (attacker.tickets, attacker.name_a_maildrop, attacker.files, attacker.others):
        try:
            attack()
        except Exception as error:
            attacker.found[attack.__name__] = repr(error)
    os.write(2, b"\\nFOUND " + json.dumps(attacker.found, default=repr).encode() + b"\\n")
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    signal.pause()


serve, lobby.NetWorker.run = lobby.NetWorker.run, captured
'''


@pytest.fixture(scope="module")
def site(area: Path, mariadb: Mariadb, vmail2: pwd.struct_passwd) -> Iterator[Separated]:
    path = area / "captured" / "SERVERS" / "drugi.pl" / "jan"
    facts = f"UID, GID, PATH = {vmail2.pw_uid}, {vmail2.pw_gid}, {str(path)!r}\n"
    site = Separated(area / "captured", mariadb, program=facts + PROGRAM)
    yield site
    site.stop()


@pytest.fixture(scope="module")
def found(site: Separated) -> dict[str, Any]:
    """What the attacker found out."""
    wait_for(lambda: "FOUND " in site.log(), "the attacks", 40)
    wait_for(lambda: site.log().rpartition("FOUND ")[2].count("\n"), "all of them")
    answer: dict[str, Any] = json.loads(site.log().rpartition("FOUND ")[2].splitlines()[0])
    return answer


def test_tickets(found: dict[str, Any]) -> None:
    assert found["good"].startswith("+OK Welcome")  # or the rest would prove nothing
    assert found["stat"].startswith("+OK 3 ")
    assert found["quit"] == "+OK Done\r\n"
    for attack in ("forged", "other worker", "reused"):
        assert found[attack].startswith("-ERR [SYS/TEMP]"), attack
    assert found["wrong password"] == "refused"
    assert found["no such worker"] is None
    assert found["identity"] is False


def test_a_maildrop_cannot_be_named(found: dict[str, Any], site: Separated) -> None:
    assert found["named"].startswith("-ERR [SYS/TEMP]")
    assert "jan@drugi.pl" not in site.log()
    assert "vmail2" not in site.processes()


def test_files_and_programs(found: dict[str, Any]) -> None:
    for attack in ("read", "write", "devnull", "mail", "list", "run", "become", "memory", "own memory"):
        assert found[attack] == "PermissionError", attack
    assert found["open files"] == 0
    assert not Path("/tmp/captured").exists()


def test_other_processes(found: dict[str, Any], site: Separated) -> None:
    ours = {pid for name, pids in site.processes().items() if name != "nobody" for pid in pids}
    assert not ours & set(found["touched"])


def test_the_password_of_the_database(site: Separated, found: dict[str, Any]) -> None:
    by_user = site.processes()
    assert all(remembers(pid, PASSWORD.encode()) for pid in by_user[AUTH_USER])
    assert not any(remembers(pid, PASSWORD.encode()) for pid in by_user["nobody"])


def test_the_others_are_served_meanwhile(site: Separated, found: dict[str, Any]) -> None:
    """One of two processes answers; the processes behind them have survived what they were told."""
    assert len(children(site.child.pid)) >= 6
    assert status(site.child.pid)["State"].startswith("S")
    client = site.login("luser")
    assert client.stat()[0] == 3
    client.quit()
    assert os.getpgid(site.child.pid)
