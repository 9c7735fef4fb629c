"""The log: nothing of a client's can look like another line, and no line is lost in silence."""

from __future__ import annotations

import json
import socket
from datetime import datetime
from pathlib import Path

import pytest

from tpop3d_py import logsink
from tpop3d_py.log import ERR, NOTICE, Log, printable, quoted


@pytest.fixture
def where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    path = str(tmp_path / "log")
    monkeypatch.setattr(logsink, "SYSLOG", path)
    return path


def listen(path: str) -> socket.socket:
    Path(path).unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.bind(path)
    sock.setblocking(False)
    return sock


class Broken:
    """A place that takes lines only while it is whole."""

    def __init__(self) -> None:
        self.whole = False
        self.lines: list[tuple[int, str]] = []

    def put(self, level: int, text: str) -> bool:
        if self.whole:
            self.lines.append((level, text))
        return self.whole

    def reopen(self, processes: int = 0) -> str:
        return "" if self.whole else "cannot be opened"


@pytest.fixture
def place() -> Broken:
    return Broken()


def test_syslog_that_is_away_is_looked_for_once_a_second(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log("pypop3d", to_stderr=False, to_syslog=True)
    looks = []
    monkeypatch.setattr(logsink, "_connect", lambda: looks.append(where))
    monkeypatch.setattr("time.monotonic", lambda: 1000.0)
    for _ in range(50):
        log.error("lost")
    assert len(looks) == 1
    monkeypatch.setattr("time.monotonic", lambda: 1001.0)
    log.error("lost")
    assert len(looks) == 2


def test_syslog_that_starts_later(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logsink, "_LOOK_AGAIN", 0)
    log = Log("pypop3d", to_stderr=False, to_syslog=True)
    log.notice("lost")
    log.notice("lost too")
    with listen(where) as syslog:
        log.notice("kept")
        assert syslog.recv(500).endswith(b": 2 lines of this log were lost: they could not be written")
        assert syslog.recv(500).endswith(b": kept")
    assert log.dropped == 2


def test_no_line_is_lost_by_a_restart(where: str) -> None:
    with listen(where) as syslog:
        log = Log("pypop3d", to_stderr=False, to_syslog=True)
        log.notice("one")
        assert syslog.recv(500).endswith(b": one")
    with listen(where) as syslog:
        log.notice("two")
        assert syslog.recv(500).endswith(b": two")
    assert log.dropped == 0


def test_a_syslog_that_does_not_read_never_blocks(where: str) -> None:
    with listen(where) as syslog:
        log = Log("pypop3d", to_stderr=False, to_syslog=True)
        for _ in range(2000):
            log.notice("x" * 100)
        assert log.dropped > 0
        assert syslog.recv(500).endswith(b"x")


def test_a_line_of_syslog(where: str) -> None:
    with listen(where) as syslog:
        Log("pypop3d", facility="local3", to_stderr=False, to_syslog=True).error("no łódź")
        line = syslog.recv(500).decode()
    head, text = line.split("]: ")
    assert head.startswith(f"<{19 * 8 + 3}>")
    assert text == "no łódź"


def test_lines_below_the_level_are_not_written(place: Broken) -> None:
    place.whole = True
    log = Log("t", level="warn", to_stderr=False, file=place)
    log.notice("no")
    log.warning("yes")
    assert place.lines == [(4, "yes")]


def test_lost_lines_are_counted_told_of_and_reported(place: Broken) -> None:
    log = Log("t", to_stderr=False, file=place)
    told: list[int] = []
    log.on_loss = lambda: told.append(1)
    for _ in range(3):
        log.error("lost")
    place.whole = True
    log.notice("kept")
    assert place.lines == [(4, "3 lines of this log were lost: they could not be written"), (NOTICE, "kept")]
    assert log.dropped == len(told) == 3
    log.notice("more")
    assert place.lines[2:] == [(NOTICE, "more")]


def test_a_place_that_fails_does_not_keep_lines_from_another(place: Broken, where: str) -> None:
    with listen(where) as syslog:
        log = Log("t", to_stderr=False, to_syslog=True, file=place)
        log.notice("one")
        log.notice("two")
        assert [syslog.recv(500)[-3:] for _ in range(2)] == [b"one", b"two"]
    assert log.dropped == 2


def test_what_cannot_be_reopened_is_told(place: Broken, where: str) -> None:
    with listen(where) as syslog:
        Log("t", to_stderr=False, to_syslog=True, file=place).reopen()
        assert syslog.recv(500).endswith(b": cannot be opened")


def test_a_repeated_line_comes_once_in_a_period(place: Broken, monkeypatch: pytest.MonkeyPatch) -> None:
    place.whole = True
    now = 100.0
    monkeypatch.setattr("tpop3d_py.log.time.monotonic", lambda: now)
    log = Log("t", to_stderr=False, file=place)
    for _ in range(5):
        log.once("database", 60, ERR, "the database is down")
        log.once("disk", 60, ERR, "the disk is full")
    now = 161.0
    log.once("database", 60, ERR, "the database is down")
    assert [text for _, text in place.lines] == [
        "the database is down",
        "the disk is full",
        "the database is down (4 more since the last such line)",
    ]


def test_repeated_lines_cost_no_memory_without_end(place: Broken) -> None:
    log = Log("t", to_stderr=False, file=place)
    for number in range(5000):
        log.once(f"from {number}", 60, ERR, "x")
    assert len(log._seen) <= 1000


def test_a_line_of_json(place: Broken) -> None:
    place.whole = True
    log = Log("t", to_stderr=False, file=place, structured=True)
    log.notice("began", "login", {"user": "łuser\n\udc80\u202e", "octets": 5, "password": b"\xff" * 900})
    (line,) = (text for _, text in place.lines)
    assert line.isascii()
    assert "\n" not in line
    read = json.loads(line)
    assert datetime.fromisoformat(read.pop("time")).tzinfo is not None
    assert read.pop("pid") > 0
    assert read["user"] == "łuser\n\\udc80\u202e"
    assert len(read.pop("password")) < 2000
    assert read == {
        "level": "notice",
        "event": "login",
        "message": "began",
        "user": "łuser\n\\udc80\u202e",
        "octets": 5,
    }


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("luser@klient1.pl", "luser@klient1.pl"),
        ("łuser", "łuser"),
        (b"l\xffser", "l\\udcffser"),
        ("a\r\nb\0", "a\\r\\nb\\x00"),
        ("a\u2028b\u202e\x85", "a\\u2028b\\u202e\\x85"),
        ("back\\slash", "back\\\\slash"),
        ("", ""),
        ("x" * 300, "x" * 200),
    ],
)
def test_printable(text: str | bytes, safe: str) -> None:
    assert printable(text) == safe


@pytest.mark.parametrize(
    "name",
    [
        "u': authentication failure",
        "[4]root(6.6.6.6): began session for `root' with mysql; child PID is 1",
        "u(6.6.6.6):",
        "a b",
        'a"b',
        "a; 5/7 bytes read/written",
        "\u00a0\u3000",
        "\\x20",
    ],
)
def test_a_quoted_name_has_nothing_that_shapes_a_line(name: str) -> None:
    safe = quoted(name)
    assert not set(" '\"`()[]<>;\n\t\u00a0\u3000") & set(safe)
    assert safe != name


@pytest.mark.parametrize("name", ["luser@klient1.pl", "luser%klient1.pl", "ł-u_s+e.r", "domain!luser"])
def test_usual_names_stay_as_they_are(name: str) -> None:
    assert quoted(name) == name
