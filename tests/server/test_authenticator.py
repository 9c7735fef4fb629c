"""How an authentication process ends."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable

import pytest

from tpop3d_py.auth.chores import Chores
from tpop3d_py.contracts import Credentials, Decision, Mechanism, Peer, Verdict
from tpop3d_py.log import Log
from tpop3d_py.server import authenticator
from tpop3d_py.server.authlink import PACKET, AuthLink, Request, pack_request, unpack_answer

PEER = Peer("192.0.2.1", 4000, "192.0.2.2", 110, "klient1.pl")
JAN = Credentials(Mechanism.PASSWORD, "jan", b"secret", b"", PEER)
CLEANED = 7


def run(
    link: AuthLink,
    decide: Callable[[Credentials], Decision],
    after: Callable[[], None],
    chores: Chores | None = None,
) -> int:
    """Return the pid of a process that serves, does what comes after, and exits with `CLEANED`."""
    pid = os.fork()
    if pid == 0:
        try:
            authenticator.serve(link, decide, 1.0, Log("test", to_stderr=True), chores)
            after()
        finally:
            os._exit(CLEANED)
    return pid


def ask(link: AuthLink) -> None:
    link.requests_out.send(pack_request(Request(1, 0, int(time.monotonic() * 1000) + 60_000, JAN)))


def answer(link: AuthLink) -> Decision:
    link.answers_in[0].settimeout(20)
    return unpack_answer(link.answers_in[0].recv(PACKET))[1]


def end_of(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("terms", [1, 2])
def test_told_to_end_while_it_waits(terms: int) -> None:
    link = AuthLink(1)
    pid = run(link, lambda _: Decision(Verdict.REFUSED), lambda: None)
    ask(link)
    assert answer(link).verdict is Verdict.REFUSED
    for _ in range(terms):
        os.kill(pid, signal.SIGTERM)
    assert end_of(pid) == CLEANED


def test_told_to_end_during_a_check_it_answers_first() -> None:
    def decide(_: Credentials) -> Decision:
        signal.raise_signal(signal.SIGTERM)
        return Decision(Verdict.REFUSED)

    link = AuthLink(1)
    ask(link)
    ask(link)  # for somebody else
    pid = run(link, decide, lambda: None)
    assert answer(link).verdict is Verdict.REFUSED
    assert end_of(pid) == CLEANED
    assert link.requests_in.recv(PACKET)


def test_a_closed_way_is_told_once(capfd: pytest.CaptureFixture[str]) -> None:
    link = AuthLink(1)
    link.requests_out.shutdown(socket.SHUT_WR)
    assert end_of(run(link, lambda _: Decision(Verdict.REFUSED), lambda: None)) == CLEANED
    assert capfd.readouterr().err.count("no worker can be heard") == 1


def test_what_comes_after_may_not_take_for_ever() -> None:
    link = AuthLink(1)
    pid = run(link, lambda _: Decision(Verdict.REFUSED), lambda: time.sleep(1000))
    ask(link)
    answer(link)
    os.kill(pid, signal.SIGTERM)
    assert end_of(pid) == -signal.SIGALRM


def test_chores_are_done_when_nobody_waits() -> None:
    link, chores = AuthLink(1), Chores(Log("test", to_stderr=False))
    reading, writing = os.pipe()

    def tell(word: bytes) -> None:
        os.write(writing, word)

    def decide(_: Credentials) -> Decision:
        chores.add(lambda: tell(b"c"))
        tell(b"d")
        return Decision(Verdict.REFUSED)

    ask(link)
    ask(link)
    pid = run(link, decide, lambda: None, chores)
    answer(link)
    answer(link)
    found = b""
    while len(found) < 4:
        found += os.read(reading, 10)
    assert found == b"ddcc", "the second login did not wait for what the first one left to do"
    os.kill(pid, signal.SIGTERM)
    assert end_of(pid) == CLEANED


def test_a_chore_that_hangs_takes_the_process_with_it() -> None:
    link, chores = AuthLink(1), Chores(Log("test", to_stderr=False))
    chores.add(lambda: time.sleep(1000))
    pid = run(link, lambda _: Decision(Verdict.REFUSED), lambda: None, chores)
    ask(link)
    answer(link)
    assert end_of(pid) == -signal.SIGALRM
