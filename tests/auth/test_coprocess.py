"""Real programs on pipes: what they are given, what they may do wrong, and that they leave nothing behind."""

from __future__ import annotations

import math
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.auth.kit import PATIENT, wait_for
from tests.maildrop.kit import Recorder
from tpop3d_py.auth.coprocess import Coprocess, HelperLost, Job, Unanswered

#: What most programs below begin with: asked() waits for a packet, say() answers.
PRELUDE = (
    f"#!{sys.executable} -IS"
    + r"""
import os, signal, sys, time
def asked():
    octets = os.read(0, 4096)
    if not octets: sys.exit()
    return octets
def say(*words):
    os.write(1, b"".join(str(word).encode() + b"\0" for word in words) + b"\0")
"""
)
LOOP = "while asked(): say('pid', os.getpid())\n"
HASTY = 0.3

Start = Callable[..., Coprocess]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def log() -> Recorder:
    return Recorder()


@pytest.fixture
def start(tmp_path: Path, log: Recorder) -> Iterator[Start]:
    made: list[Coprocess] = []

    def start(program: str, timeout: float = PATIENT, patience: float = PATIENT) -> Coprocess:
        path = tmp_path / "program"
        path.write_text(program)
        path.chmod(0o755)
        job = Job("other", str(path), os.getuid(), os.getgid(), (), timeout)
        made.append(Coprocess(job, log, lambda: patience))
        made[-1].launch()
        made[-1].listen()
        return made[-1]

    yield start
    for coprocess in made:
        coprocess.close()


def pid_of(coprocess: Coprocess) -> int:
    return int(coprocess.ask({b"method": b"PASS"})[b"pid"])


def test_it_lives_on_between_questions(start: Start) -> None:
    coprocess = start(PRELUDE + "n = 0\nwhile asked():\n    n += 1\n    say('number', n)\n")
    assert [coprocess.ask({b"k": b"v"})[b"number"] for _ in range(3)] == [b"1", b"2", b"3"]


def test_what_it_is_given(start: Start) -> None:
    show = """
packet = asked()
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
fds = [fd for fd in range(256) if os.path.exists(f"/proc/self/fd/{fd}")]
environment = open("/proc/self/environ").read().replace("\\0", " ")
say("packet", packet.hex(), "environment", environment, "blocked", status["SigBlk"].strip(),
    "ignored", status["SigIgn"].strip(), "argv", len(sys.argv), "folder", os.getcwd(),
    "fds", " ".join(map(str, fds)), "session", os.getsid(0) == os.getpid())
asked()
"""
    held = {signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2}
    signal.pthread_sigmask(signal.SIG_BLOCK, held)  # as where a process begins
    try:
        coprocess = start(PRELUDE.replace(" -IS", "") + show)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, held)
    given = coprocess.ask({b"user": b"jan", b"pass": b" a\xff"})
    assert bytes.fromhex(given[b"packet"].decode()) == b"user\0jan\0pass\0 a\xff\0\0"
    assert given[b"environment"] == b"PATH=/bin TPOP3D_CONTEXT=auth_other "
    assert int(given[b"blocked"], 16) == 0
    # SIGPIPE and SIGXFSZ, which Python itself ignores; those from 32 on are the C library's own.
    assert int(given[b"ignored"], 16) & 0x7FFFFFFF == 0x01001000
    assert (given[b"argv"], given[b"folder"], given[b"session"]) == (b"1", b"/", b"True")
    assert given[b"fds"] == b"0 1 2"


@pytest.mark.parametrize(
    "deed",
    [
        "time.sleep(1000)",
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(1000)",
        "say('result')",
        "os.write(1, b'result\\0YE'); time.sleep(1000)",
        "os.write(1, b'\\0'); time.sleep(1000)",
        "os.write(1, b'x' * 5000); time.sleep(1000)",
        "os.write(1, b'a\\0b\\0\\0and more'); time.sleep(1000)",
        "os.close(1); time.sleep(1000)",
        "os.write(1, b'a\\0b'); sys.exit()",
        "os.kill(os.getpid(), signal.SIGKILL)",
    ],
)
def test_a_bad_answer_costs_one_question(start: Start, tmp_path: Path, deed: str) -> None:
    """The deed is done once, with a note left for the next instance."""
    note = tmp_path / "done"
    text = (
        f"import pathlib\nnote = pathlib.Path({str(note)!r})\nasked()\n"
        "if note.exists():\n    say('pid', os.getpid())\n"
        f"else:\n    note.write_text(str(os.getpid()))\n    {deed}\n"
    )
    coprocess = start(PRELUDE + text + LOOP, timeout=HASTY)
    with pytest.raises(Unanswered):
        coprocess.ask({b"k": b"v"})
    wait_for(lambda: not is_alive(int(note.read_text())))
    wait_for(lambda: _answers(coprocess))


def _answers(coprocess: Coprocess, text: bytes = b"v") -> bool:
    try:
        return bool(coprocess.ask({b"k": text}))
    except Unanswered:  # on a busy machine it may not even have started in that time
        return False


def test_who_waits_for_less_than_the_timeout_is_answered_sooner(start: Start) -> None:
    coprocess = start(PRELUDE + "asked()\ntime.sleep(1000)\n", patience=HASTY)
    with pytest.raises(Unanswered, match="in time"):
        coprocess.ask({b"k": b"v"})


def test_one_that_takes_its_time_to_end_is_not_waited_for(start: Start, tmp_path: Path) -> None:
    """Whoever asks meanwhile has less time, and is told so; the next instance is the right one."""
    note = tmp_path / "done"
    text = (
        f"import pathlib\nnote = pathlib.Path({str(note)!r})\n"
        "if not note.exists():\n    note.touch()\n"
        "    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    asked()\n    time.sleep(1000)\n"
    )
    coprocess = start(PRELUDE + text + LOOP, timeout=3.0, patience=HASTY)
    wait_for(note.exists)
    with pytest.raises(Unanswered, match="did not answer in time"):
        coprocess.ask({b"k": b"v"})
    with pytest.raises(Unanswered, match="could not be started in time"):
        coprocess.ask({b"k": b"v"})
    wait_for(lambda: _answers(coprocess))
    assert pid_of(coprocess) == pid_of(coprocess)


def test_it_may_end_when_it_likes(start: Start) -> None:
    coprocess = start(PRELUDE + "asked()\nsay('pid', os.getpid())\n")
    pids = {pid_of(coprocess) for _ in range(5)}
    assert len(pids) == 5


def test_a_helper_that_could_not_be_started(start: Start, log: Recorder) -> None:
    never = Coprocess(Job("other", "/bin/true", os.getuid(), os.getgid(), (), 1.0), log, lambda: 1.0)
    never.listen()
    with pytest.raises(HelperLost):
        never.ask({b"k": b"v"})
    never.close()


def test_somebody_who_has_all_the_time_in_the_world(start: Start) -> None:
    coprocess = start(PRELUDE + "asked()\nsay('pid', os.getpid())\n", patience=math.inf)
    assert pid_of(coprocess) != pid_of(coprocess)


def test_one_that_always_ends_at_once(start: Start) -> None:
    coprocess = start(PRELUDE)
    for _ in range(3):
        with pytest.raises(Unanswered, match="it ended"):
            coprocess.ask({b"k": b"v"})


def test_one_that_cannot_be_executed(start: Start, log: Recorder) -> None:
    coprocess = start("#!/no/such/interpreter\n")
    with pytest.raises(Unanswered, match="No such file"):
        coprocess.ask({b"k": b"v"})


def test_one_that_speaks_unasked_is_not_believed(start: Start, tmp_path: Path) -> None:
    mark = tmp_path / "spoken"
    spoken = f"say('result', 'YES')\nopen({str(mark)!r}, 'w')\n"
    coprocess = start(PRELUDE + spoken + LOOP)
    wait_for(mark.exists)
    with pytest.raises(Unanswered, match="nobody has asked"):
        coprocess.ask({b"k": b"v"})


def test_nuls_behind_an_answer_do_no_harm(start: Start) -> None:
    twice = "while asked():\n    say('n', 1)\n    os.write(1, b'\\0')\n"
    coprocess = start(PRELUDE + twice)
    for _ in range(20):
        assert coprocess.ask({b"k": b"v"}) == {b"n": b"1"}


def test_an_answer_in_single_octets_and_one_that_says_nothing_in_one(start: Start) -> None:
    """The ways of tpop3d's own examples in sh and Ruby."""
    drop = "for octet in b'result\\0NO\\0logmsg\\0\\0\\0': os.write(1, bytes([octet]))\n"
    coprocess = start(
        PRELUDE + f"while b'PASS' in asked():\n    {drop}    asked()\n    os.write(1, b'\\0')\n"
    )
    for _ in range(5):
        assert coprocess.ask({b"method": b"PASS"}) == {b"result": b"NO", b"logmsg": b""}
        assert coprocess.ask({b"method": b"ONLOGIN"}, terse=True) == {}


def test_one_that_does_not_read(start: Start) -> None:
    """Its pipe is full after some questions, and a write must not wait."""
    coprocess = start(PRELUDE + "while True:\n    say('n', 1)\n    time.sleep(0.001)\n", timeout=HASTY)
    wait_for(lambda: not _answers(coprocess, b"v" * 4000))


def test_its_children_end_with_it(start: Start, tmp_path: Path) -> None:
    note = tmp_path / "child"
    program = f"#!/bin/sh\nsleep 1000 &\necho $! > {note}.new; mv {note}.new {note}\nwait\n"
    coprocess = start(program, timeout=HASTY)
    wait_for(note.exists)
    child = int(note.read_text())
    assert is_alive(child)
    with pytest.raises(Unanswered):
        coprocess.ask({b"k": b"v"})
    wait_for(lambda: not is_alive(child))


def test_it_ends_with_whoever_asks(start: Start) -> None:
    coprocess = start(PRELUDE + "signal.signal(signal.SIGTERM, lambda *_: sys.exit())\n" + LOOP)
    pid = pid_of(coprocess)
    coprocess.close()
    wait_for(lambda: not is_alive(pid))


def test_it_ends_with_its_helper_and_cannot_be_started_again(start: Start) -> None:
    coprocess = start(PRELUDE + LOOP)
    pid = pid_of(coprocess)
    helper = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(helper, signal.SIGKILL)
    wait_for(lambda: not is_alive(pid))
    with pytest.raises(HelperLost):
        coprocess.ask({b"k": b"v"})


def test_what_it_says_on_standard_error_is_logged(start: Start, log: Recorder, tmp_path: Path) -> None:
    words = "os.write(2, b'hello\\n\\nforged: \\x1b[0m\\nun'); os.write(2, b'finished\\n')\n"
    coprocess = start(PRELUDE + words + LOOP)
    assert pid_of(coprocess)
    wait_for(lambda: len(log.lines) == 3)
    head = f"auth-other: {tmp_path}/program: "
    assert log.lines == [f"{head}hello", f"{head}forged: \\x1b[0m", f"{head}unfinished"]


def test_a_flood_on_standard_error_neither_fills_the_log_nor_stops_it(start: Start, log: Recorder) -> None:
    flood = "for _ in range(500): os.write(2, b'x' * 3000 + b'\\n')\n"
    coprocess = start(PRELUDE + flood + LOOP)
    assert pid_of(coprocess)
    assert len(log.lines) <= 40
