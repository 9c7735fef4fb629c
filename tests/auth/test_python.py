"""Site code in the authentication process."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.auth.kit import PEER, tools
from tests.maildrop.kit import Recorder
from tpop3d_py.auth import answers
from tpop3d_py.auth.drivers import python
from tpop3d_py.auth.drivers.python import Python, PythonSettings, make
from tpop3d_py.auth.names import Attempt
from tpop3d_py.auth.plugin import DriverError, LoggedIn
from tpop3d_py.contracts import Credentials, Mechanism, Verdict

CODE = """
import os, sys
from tpop3d_py.auth.program import AuthDriver, apopauth

class Accounts(AuthDriver):
    def start(self):
        self.heard = []
    def finish(self):
        self.print_log("finished in " + os.environ["TPOP3D_CONTEXT"])
    def passwd(self, request):
        if request["pass"] == "exit":
            sys.exit(3)
        if request["pass"] == "raise":
            raise ValueError("a\\nb")
        if request["pass"] == "nothing":
            return None
        if request["pass"] == "strange":
            return {"result": "MAYBE"}
        if request["local_part"] == "jan" and request["pass"] == "haslo":
            return {"result": "YES", "uid": 1, "gid": "daemon", "mailbox": "/srv/jan/", "logmsg": "welcome"}
        return {"result": "NO"}
    def apop(self, request):
        right = apopauth(request["digest"], request["timestamp"], "haslo")
        return {"result": "YES", "uid": "daemon", "gid": 1} if right else {"result": "NO"}
    def onlogin(self, request):
        return {"logmsg": request["user"] + " by " + request["method"]}

class Broken(AuthDriver):
    def start(self):
        raise OSError("no network")

class Leaving(AuthDriver):
    def start(self):
        sys.exit()

class Foreign:
    pass
"""
JAN = Attempt("jan@klient1.pl", "jan", "klient1.pl")


@pytest.fixture
def log() -> Recorder:
    return Recorder()


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    patch.setenv("TPOP3D_CONTEXT", "")
    yield
    patch.undo()
    sys.modules.pop(python._MODULE_NAME, None)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "site.py").write_text(CODE)
    return tmp_path / "site.py"


def driver(source: str, log: Recorder) -> Python:
    made = make(PythonSettings(True, source), tools(log))
    assert isinstance(made, Python)
    return made


def password(text: str) -> Credentials:
    return Credentials(Mechanism.PASSWORD, JAN.user, text.encode(), b"", PEER)


def test_from_a_file(file: Path, log: Recorder) -> None:
    site = driver(f"{file}:Accounts", log)
    site.settle()
    decision = site.check(JAN, password("haslo"))
    assert decision.identity is not None
    assert (decision.identity.uid, decision.identity.gid, decision.identity.mailbox) == (1, 1, "/srv/jan/")
    assert site.check(JAN, password("x")).verdict is Verdict.REFUSED
    apop = Credentials(Mechanism.APOP, JAN.user, b"0" * 32, b"<1@x>", PEER)
    assert site.check(JAN, apop).verdict is Verdict.REFUSED
    site.logged_in(LoggedIn("jan", "jan", "klient1.pl", "192.0.2.1", "192.0.2.2", "mysql"))
    site.stop()
    assert log.lines == [
        "auth-python: welcome",
        "auth-python: jan by ONLOGIN",
        "auth-python: finished in auth_python",
    ]


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        ("exit", "SystemExit: 3"),
        ("raise", r"ValueError: a\nb \(.*site.py, line 14\)"),
        ("nothing", "not a dictionary"),
        ("strange", "not YES or NO"),
    ],
)
def test_whatever_it_does_costs_one_login(file: Path, log: Recorder, secret: str, words: str) -> None:
    site = driver(f"{file}:Accounts", log)
    site.settle()
    with pytest.raises((DriverError, answers.BadAnswer), match=words):
        site.check(JAN, password(secret))
    assert site.check(JAN, password("haslo")).verdict is Verdict.GRANTED


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Broken", "OSError: no network"),
        ("Leaving", "SystemExit"),
        ("Foreign", "is not derived from"),
        ("Nosuch", "AttributeError"),
    ],
)
def test_a_class_that_cannot_be_used_lets_nobody_in(file: Path, log: Recorder, name: str, words: str) -> None:
    site = driver(f"{file}:{name}", log)
    with pytest.raises(DriverError, match=words):
        site.settle()
    with pytest.raises(DriverError, match="could not be loaded"):
        site.check(JAN, password("haslo"))
    site.stop()


def test_nothing_of_it_runs_before_it_has_to(tmp_path: Path, log: Recorder) -> None:
    (tmp_path / "site.py").write_text("raise SystemExit('as root')\n")
    site = driver(f"{tmp_path}/site.py:X", log)
    with pytest.raises(DriverError, match="as root"):
        site.settle()


def test_from_a_module(file: Path, log: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(file.parent)
    (file.parent / "site_of_a_test.py").write_text(CODE)
    site = driver("site_of_a_test:Accounts", log)
    assert "site_of_a_test" not in sys.modules
    site.settle()
    assert site.check(JAN, password("haslo")).verdict is Verdict.GRANTED


def test_from_an_entry_point(file: Path, log: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(file.parent)
    (file.parent / "site_of_another.py").write_text(CODE)
    info = file.parent / "another-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: another\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{python.ENTRY_POINTS}]\nsite = site_of_another:Accounts\n")
    site = driver("site", log)
    site.settle()
    assert site.check(JAN, password("haslo")).verdict is Verdict.GRANTED


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("/nonexistent/site.py:X", "No such file"),
        ("{}/syntax.py:X", "syntax.py, line 1"),
        ("{}/writable.py:X", "everybody may change it"),
        ("no_such_module_at_all:X", "there is no such module"),
        ("no-such-entry-point", "0 entry points"),
    ],
)
def test_what_can_be_found_before_the_start(tmp_path: Path, log: Recorder, source: str, words: str) -> None:
    (tmp_path / "syntax.py").write_text("def x(:\n")
    (tmp_path / "writable.py").write_text("")
    os.chmod(tmp_path / "writable.py", 0o666)
    with pytest.raises(DriverError, match=words):
        driver(source.format(tmp_path), log)


@pytest.mark.parametrize("text", ["a b", "/x/site.py", "a:b:c", "/x/site.pl:X", ""])
def test_what_is_no_class(text: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        python._source(text)
