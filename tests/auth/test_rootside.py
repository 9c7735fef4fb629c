"""What only root may do, in a process of its own: its deadline, its crashes, its answers."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import ClassVar

import pytest

from tests.auth.kit import PATIENT
from tpop3d_py.auth import rootside
from tpop3d_py.auth.coprocess import HelperLost, Unanswered
from tpop3d_py.auth.rootlink import RootLink, TooLong
from tpop3d_py.auth.rootside import Job, Result


class Link(RootLink):
    """Asks a job of the test's, in a child of this process."""

    inherited: ClassVar[set[int]] = set()

    def __init__(self, job: Job, seconds: float = PATIENT) -> None:
        super().__init__("", "", lambda: seconds)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if self.pid == 0:
            ours.close()
            Link.inherited = {int(name) for name in os.listdir("/proc/self/fd")}
            try:
                rootside.serve(theirs, job)
            finally:
                os._exit(0)
        theirs.close()
        self._control = ours


@contextmanager
def link(job: Job, seconds: float = PATIENT) -> Iterator[Link]:
    made = Link(job, seconds)
    try:
        yield made
    finally:
        made.close()
        os.waitpid(made.pid, 0)


def told(checks: bool, user: bytes, password: bytes, client: bytes) -> Result:
    return 1, -3, user, repr((checks, password[:20], client)).encode()


def test_what_is_asked_and_answered() -> None:
    with link(told) as asked:
        for password in (b"haslo \xc5\xbc", None):
            answer = asked.ask("jan", password, "192.0.2.1")
            assert (answer.phase, answer.result, answer.name) == (1, -3, "jan")
            assert answer.text == repr((password is not None, password or b"", b"192.0.2.1"))


def test_names_and_passwords_that_nobody_has() -> None:
    with link(told) as asked:
        for name, password in (("j" * 256, b"x"), ("jan", b"x" * 512)):
            with pytest.raises(TooLong):
                asked.ask(name, password)
        assert asked.ask("j" * 255, b"x" * 511).name == "j" * 255


def moody(_checks: bool, user: bytes, _password: bytes, _client: bytes) -> Result:
    if user == b"crash":
        os.kill(os.getpid(), signal.SIGKILL)
    if user == b"exit":
        raise SystemExit(0)
    if user == b"raise":
        raise ZeroDivisionError
    if user == b"cannot":
        raise OSError(13, "Permission denied", "/etc/shadow")
    if user == b"long":
        return 0, 0, user, b"x" * 512
    if user == b"babble":
        # Module code that writes into whatever is open; what pytest has open is spared.
        for fd in set(range(3, 64)) - Link.inherited:
            with suppress(OSError):
                os.write(fd, b"granted")
    return 0, 0, user, b"ok"


@pytest.mark.parametrize("how", ["crash", "exit", "raise", "cannot", "long", "babble"])
def test_what_goes_wrong_costs_one_question(how: str) -> None:
    with link(moody) as asked:
        with pytest.raises(Unanswered) as caught:
            asked.ask(how)
        assert not isinstance(caught.value, HelperLost)
        assert asked.ask("jan").text == "ok"


def test_what_hangs_is_killed_with_all_it_started() -> None:
    read, write = os.pipe()

    def hang(_checks: bool, user: bytes, _password: bytes, _client: bytes) -> Result:
        if user == b"hang":
            if os.fork() == 0:
                os.setsid()  # as pam_exec does
            time.sleep(PATIENT)
        return 0, 0, user, b""

    with link(hang, 0.3) as asked:
        os.close(write)
        with pytest.raises(Unanswered, match="did not answer in time"):
            asked.ask("hang")
        asked._patience = lambda: PATIENT
        assert asked.ask("jan").name == "jan"
    # Nobody holds the pipe any more: neither the process nor its child.
    assert os.read(read, 1) == b""
    os.close(read)


def test_nobody_waits_any_more() -> None:
    """Whoever asked was killed by his deadline: what hangs ends, too."""

    def hang(*_: object) -> Result:
        time.sleep(PATIENT)
        return 0, 0, b"", b""

    asked = Link(hang)
    assert asked._control is not None
    asked._control.send(rootside.QUESTION.pack(1, 60_000, True, b"jan", b"x", b""))
    asked._control.close()
    asked._control = None
    ended = threading.Thread(target=os.waitpid, args=(asked.pid, 0))
    ended.start()
    ended.join(PATIENT / 2)
    assert not ended.is_alive()


def test_a_helper_that_is_gone() -> None:
    asked = Link(told)
    os.kill(asked.pid, signal.SIGKILL)
    os.waitpid(asked.pid, 0)
    with pytest.raises(HelperLost):
        asked.ask("jan")
    asked.close()
    with pytest.raises(HelperLost):
        asked.ask("jan")


def test_an_answer_to_another_question_is_not_taken() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    asked = RootLink("", "", lambda: PATIENT)
    asked._control = ours
    with theirs:
        theirs.send(rootside.ANSWER.pack(7, rootside.DONE, 0, 0, b"jan", b""))
        with pytest.raises(HelperLost, match="another question"):
            asked.ask("jan")
    asked.close()


def test_the_real_one_and_the_real_libpam() -> None:
    asked = RootLink("pam", "tpop3d-no-such-service", lambda: PATIENT)
    asked.launch()
    try:
        answer = asked.ask("nobody", b"x", "192.0.2.1")
        assert answer.result != 0
        assert answer.text
    finally:
        asked.close()
