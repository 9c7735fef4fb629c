"""Site code as a program for auth-other, and the APOP helper."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.auth.kit import wait_for
from tests.maildrop.kit import Recorder
from tpop3d_py.auth.coprocess import Coprocess, Job, Unanswered
from tpop3d_py.auth.program import AuthDriver, answer, apopauth, octets, texts

PROGRAM = f"""#!{sys.executable}
import sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from tpop3d_py.auth.program import AuthDriver, apopauth

class Accounts(AuthDriver):
    def start(self):
        self.asked = 0
        self.print_log("started")
    def finish(self):
        self.print_log("finished")
    def passwd(self, request):
        self.asked += 1
        if request["user"] == "crash":
            raise ValueError("no such user")
        if request["pass"] == "zażółć \\udcff":
            text = "n %d" % self.asked
            return {{"result": "YES", "uid": 8, "gid": "mail", "mailbox": None, "logmsg": text}}
        return {{"result": "NO"}}
    def onlogin(self, request):
        self.print_log("login of " + request["local_part"])

if __name__ == "__main__":
    Accounts().run()
"""


@pytest.fixture
def log() -> Recorder:
    return Recorder()


@pytest.fixture
def program(tmp_path: Path, log: Recorder) -> Iterator[Coprocess]:
    path = tmp_path / "accounts.py"
    path.write_text(PROGRAM)
    path.chmod(0o755)
    made = Coprocess(Job("other", str(path), os.getuid(), os.getgid(), (), 20.0), log, lambda: 20.0)
    made.launch()
    made.listen()
    yield made
    made.close()


def test_a_class_as_a_program(program: Coprocess, log: Recorder) -> None:
    request = {b"method": b"PASS", b"user": b"jan", b"pass": "zażółć ".encode() + b"\xff"}
    for n in (b"1", b"2"):
        assert program.ask(request) == {
            b"result": b"YES",
            b"uid": b"8",
            b"gid": b"mail",
            b"logmsg": b"n " + n,
        }
    assert program.ask({**request, b"pass": b"x"}) == {b"result": b"NO"}
    assert program.ask({b"method": b"APOP", b"user": b"jan"}) == {b"result": b"NO"}
    assert program.ask({b"method": b"ONLOGIN", b"local_part": b"jan"}) == {}
    program.close()
    wait_for(lambda: len(log.lines) == 3)
    assert [line.rpartition(": ")[2] for line in log.lines] == ["started", "login of jan", "finished"]


def test_what_it_raises_is_logged_and_costs_one_question(program: Coprocess, log: Recorder) -> None:
    request = {b"method": b"PASS", b"user": b"crash", b"pass": b"x"}
    with pytest.raises(Unanswered):
        program.ask(request)
    assert program.ask({**request, b"user": b"jan"}) == {b"result": b"NO"}
    wait_for(lambda: any("ValueError: no such user" in line for line in log.lines))


def test_the_base_class_refuses_everybody() -> None:
    assert answer(AuthDriver(), {"method": "PASS", "user": "jan", "pass": "x"}) == {"result": "NO"}
    assert answer(AuthDriver(), {"method": "APOP", "user": "jan"}) == {"result": "NO"}
    assert answer(AuthDriver(), {"method": "ONLOGIN", "user": "jan"}) == {}
    with pytest.raises(KeyError):
        answer(AuthDriver(), {"method": "run"})


def test_an_answer_that_is_no_dictionary() -> None:
    class Wrong(AuthDriver):
        def passwd(self, request: object) -> dict[str, object]:
            return True  # type: ignore[return-value]

    with pytest.raises(TypeError, match="the answer is bool"):
        answer(Wrong(), {"method": "PASS"})


def test_octets_that_are_no_text_come_back_as_they_were() -> None:
    words = {b"pass": b"a\xff\xc5\xbc", b"user": b"jan"}
    assert octets(texts(words)) == words
    assert octets({"uid": 8, "gid": b"mail", "mailbox": None}) == {b"uid": b"8", b"gid": b"mail"}


def test_apop() -> None:
    """RFC 1939 section 7's own example."""
    stamp, digest = "<1896.697170952@dbc.mtview.ca.us>", "c4c9334bac560ecc979e58001b3e22fb"
    assert apopauth(digest, stamp, "tanstaaf")
    assert apopauth(digest.upper(), stamp, "tanstaaf")
    assert not apopauth(digest, stamp, "tanstaafl")
    assert not apopauth("", stamp, "tanstaaf")
    assert apopauth(hashlib.md5("<x>ż".encode()).hexdigest(), "<x>", "ż")
