"""The runtime with accounts and mailboxes made up, as a program: for tests of processes and sockets.

Prints the ports of a plain listener and, if a certificate is given, of one with implicit TLS and of one with
STLS, then serves.  The accounts:
``ok`` has three small messages, ``big`` one of 64 MiB made as it is sent, ``broken`` one that breaks off,
``late`` is checked for ever, ``dead`` kills its authenticator, ``locked`` cannot be opened, ``bug`` makes the
session fail, ``slowquit`` needs half a second to remove messages, ``unclosable`` cannot be
released, ``sizeless`` opens a mailbox whose sizes cannot be told.  With the variable HARNESS_CONTROL there
is a monitor that listens on the Unix socket it names.
"""

from __future__ import annotations

import dataclasses
import os
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial

from tpop3d_py.auth.exchange import Exchanges
from tpop3d_py.auth.scram import Salts
from tpop3d_py.contracts import (
    BodyInterrupted,
    Credentials,
    Decision,
    Identity,
    MaildropError,
    Reason,
    Verdict,
)
from tpop3d_py.log import Log
from tpop3d_py.pop3.profile import Profile
from tpop3d_py.server import authenticator, ears, monitor
from tpop3d_py.server.admission import Admission
from tpop3d_py.server.authlink import AuthLink
from tpop3d_py.server.binding import bind
from tpop3d_py.server.bounds import LimitSettings
from tpop3d_py.server.census import Census, Part
from tpop3d_py.server.certificates import Pair, read
from tpop3d_py.server.connection import Connection
from tpop3d_py.server.contexts import Terms, make_context
from tpop3d_py.server.crew import Generation, Kind, Role
from tpop3d_py.server.door import Door
from tpop3d_py.server.endpoint import end_point
from tpop3d_py.server.figures import LAYOUT
from tpop3d_py.server.gate import Gate
from tpop3d_py.server.habits import Habits
from tpop3d_py.server.limits import Shared
from tpop3d_py.server.listeners import Listener
from tpop3d_py.server.patience import Timeouts
from tpop3d_py.server.reception import Manners, Reception
from tpop3d_py.server.sessionlog import Dialogue, SessionLog
from tpop3d_py.server.slots import MOST, Slot, Slots
from tpop3d_py.server.supervisor import Supervisor
from tpop3d_py.server.tally import Tally
from tpop3d_py.server.worker import Worker, WorkerPlan

CHUNK = b"0123456789abcde\r\n" * 4096
BIG = 64 * 16


class Stream:
    """A body made as it is read."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def __next__(self) -> bytes:
        return next(self._chunks)

    def close(self) -> None:
        pass


class FakeMaildrop:
    """Three messages, or whatever the user's name stands for."""

    def __init__(self, user: str) -> None:
        self.user = user
        self.sizes: Sequence[int] = [len(CHUNK) * BIG] if user == "big" else [11, 11, 11]
        self.uids: Sequence[bytes] = [b"a", b"b", b"c"][: len(self.sizes)]

    def open(self, index: int) -> Stream:
        if self.user == "bug":
            raise ZeroDivisionError("a bug")
        return Stream(self._chunks(index))

    def _chunks(self, index: int) -> Iterator[bytes]:
        if self.user == "big":
            yield from (CHUNK for _ in range(BIG))
            return
        yield b"message %d\r\n" % index
        if self.user == "broken":
            raise BodyInterrupted(Reason.MAILBOX, "the file became shorter")

    def commit(self, deleted: Sequence[int], retrieved: Sequence[int]) -> None:
        if self.user == "slowquit":
            time.sleep(0.5)
        print(f"committed {self.user} {list(deleted)} {list(retrieved)}", flush=True)

    def close(self) -> None:
        if self.user == "unclosable":
            raise ZeroDivisionError("a bug at the end")


class Sizeless(FakeMaildrop):
    """Opened, but its sizes cannot be told."""

    def __init__(self) -> None:
        self.user = "sizeless"

    def __getattr__(self, name: str) -> Sequence[int]:
        raise MaildropError(Reason.MAILBOX, f"no {name}")


EXCHANGES = Exchanges(Salts(b"harness"))


def decide(credentials: Credentials) -> Decision:
    """Grant whoever gives his name as the password, or proves to know it, or has it as a token."""
    if credentials.user == "late":
        time.sleep(60)
    if credentials.user == "dead":
        os._exit(7)
    message = b""
    if credentials.exchange:
        answer = EXCHANGES.answer(credentials, "{plaintext}" + credentials.user, credentials.user)
        if len(credentials.exchange) == 1:
            return Decision(Verdict.CONTINUE, challenge=answer or b"")
        message = answer or b""
    if not message and credentials.secret != credentials.user.encode():
        return Decision(Verdict.REFUSED, detail="wrong password")
    identity = Identity(credentials.user, "fake", os.geteuid(), os.getegid())
    return Decision(Verdict.GRANTED, identity, challenge=message)


def open_maildrop(identity: Identity) -> FakeMaildrop:
    """Open the mailbox of a user."""
    if identity.user == "sizeless":
        return Sizeless()
    if identity.user == "locked":
        raise MaildropError(Reason.LOCKED, "somebody reads it")
    return FakeMaildrop(identity.user)


def open_doors(certificate: str, strict: bool, log: Log) -> Iterator[Door]:
    """Bind the listeners."""
    profile = Profile(
        failed_login_delay=0.3,
        mechanisms=(b"SCRAM-SHA-256-PLUS", b"SCRAM-SHA-256", b"PLAIN", b"LOGIN"),
        token_check=True,
        binding=end_point(certificate) if certificate else b"",
        commit_on_early_close=not strict,
    )
    yield Door(bind(Listener("127.0.0.1", 0)), "klient1.pl", profile)
    if certificate:
        context = make_context(read(Pair(certificate, certificate)), Terms())
        for stls in (False, True):
            sock = bind(Listener("127.0.0.1", 0))
            own = dataclasses.replace(profile, stls=stls)
            reception = None if stls else Reception(Manners(own, tls_at_once=True), (), log)
            yield Door(sock, "klient1.pl", own, context, stls, reception)


def main(certificate: str, idle: float, login: float, most: int, strict: bool) -> int:
    """Serve on free ports until told to stop."""
    log = Log("harness", level="debug", to_stderr=True)
    doors = list(open_doors(certificate, strict, log))
    print(*(door.sock.getsockname()[1] for door in doors), flush=True)
    link, shared = AuthLink(2), Shared.for_rows(MOST)
    admission = Admission(open_maildrop, log)
    limits = dataclasses.replace(LimitSettings(max_children=most).limits(1024), login_seconds=login)
    plan = WorkerPlan(
        doors,
        admission,
        shared,
        limits,
        Habits(Timeouts(idle, login), log, Dialogue(log)),
        2,
        log,
        SessionLog(log),
    )

    tally, slots = Tally(LAYOUT, MOST), Slots()

    def work(n: int, slot: Slot) -> None:
        tally.settle(slot.number, os.getpid(), Part.WORKER, 1)
        gate: Gate[Connection] = Gate(link.requests_out, link.answers_in[n], n, 1.0, log)
        Worker(slot, gate, plan).run()

    def born(slot: Slot) -> None:
        shared.open(slot.number)

    def mourn(n: int, slot: Slot) -> None:
        shared.clear(slot.number)
        tally.bury(slot.number)
        link.drain(n)

    roles = [Role(f"worker {n}", partial(work, n), partial(mourn, n), Kind.WORKER, born) for n in (0, 1)]
    roles += [Role("authenticator", lambda _slot: authenticator.serve(link, decide, 1.0, log))] * 2
    if path := os.environ.get("HARNESS_CONTROL"):
        sock = ears.listen(ears.Ear(path=path), 0o600)
        roles.append(Role("monitor", lambda _slot: watch(sock, tally, slots, log), kind=Kind.MONITOR))
    return Supervisor(Generation(roles, log), slots=slots).run()


def watch(sock: socket.socket, tally: Tally, slots: Slots, log: Log) -> None:
    """Be the monitor."""
    census = Census(tally, 1, {}, slots.living(), lambda: "")
    plan = monitor.MonitorPlan(sock, None, census, lambda _: (b"", ""), dict, {os.geteuid()}, log)
    monitor.serve(plan)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]), bool(sys.argv[5])))
