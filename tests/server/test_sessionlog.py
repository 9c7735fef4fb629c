"""The lines that others parse: their exact shapes, and that no client can imitate one."""

from __future__ import annotations

import json
import re

import pytest

from tpop3d_py.contracts import Credentials, Identity, Mechanism, Peer, Reason, Refusal
from tpop3d_py.log import Log
from tpop3d_py.pop3.profile import Profile
from tpop3d_py.server import figures
from tpop3d_py.server.connection import Connection
from tpop3d_py.server.habits import Habits
from tpop3d_py.server.meter import Meter
from tpop3d_py.server.patience import Timeouts
from tpop3d_py.server.sessionlog import Dialogue, SessionLog
from tpop3d_py.server.tally import Tally

PEER = Peer("10.0.0.7", 1234, "10.0.0.1", 110, "klient1.pl")
WHO = "connection_do: client `[7]10.0.0.7/klient1.pl': username `luser':"
HOSTILE = (
    "x': authentication failure: y",
    "x(6.6.6.6): began session for `x' with mysql; child PID is 1",
    "[4]root(6.6.6.6)",
    "x; 1/99999 bytes read/written",
    "a b\r\nfork_child: c",
    "\x1b[2J\u202e\udc80",
)


class Lines:
    """A place that keeps lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def put(self, level: int, text: str) -> bool:
        self.lines.append(f"{level} {text}")
        return True

    def reopen(self, processes: int = 0) -> str:
        return ""


class Nobody:
    """A transport with nobody at the other end."""

    secure = False
    passes = False
    blocked_on = 0

    def receive(self) -> bytes | None:
        return b""

    def send(self, data: bytes | memoryview) -> int:
        return len(data)

    def has_more(self) -> bool:
        return False

    def unread(self) -> int:
        return 0

    def with_tls(self) -> Nobody:
        return self

    def cut(self) -> None:
        pass

    def leave(self) -> None:
        pass

    def close(self) -> None:
        pass


def make(
    level: str = "notice", *, structured: bool = False, marks: bool = False, meter: Meter | None = None
) -> tuple[Lines, SessionLog, Connection]:
    lines = Lines()
    log = Log("t", level=level, to_stderr=False, file=lines, structured=structured)
    conn = Connection(7, Nobody(), PEER, b"0" * 32, Profile(), Habits(Timeouts(600, 60), log))
    return lines, SessionLog(log, meter, mark_passwords=marks), conn


def wants(conn: Connection, user: str = "luser", secret: bytes = b"wrong") -> None:
    conn.begin(Credentials(Mechanism.PASSWORD, user, secret, b"", PEER))


def identity(user: str = "luser@klient1.pl") -> Identity:
    return Identity(user, "mysql", 100, 12)


def test_a_login() -> None:
    lines, log, conn = make()
    log.began(conn, identity())
    (line,) = lines.lines
    assert re.fullmatch(
        r"5 fork_child: \[7\]luser@klient1.pl\(10\.0\.0\.7\): began session for `luser@klient1.pl' "
        r"with mysql; child PID is \d+",
        line,
    )


def test_a_login_with_the_ancestors_other_line() -> None:
    lines, log, conn = make("info")
    log.began(conn, identity())
    assert lines.lines[0] == (
        "6 authcontext_new_user_pass: began session for `luser@klient1.pl' with mysql; uid 100, gid 12"
    )
    assert len(lines.lines) == 2


def test_a_refusal() -> None:
    lines, log, conn = make()
    wants(conn)
    log.refused(conn, Refusal(Reason.CREDENTIALS, "wrong password"), "luser")
    assert lines.lines == [f"5 {WHO} authentication failure: wrong password"]


@pytest.mark.parametrize(
    ("reason", "level"), [(Reason.UNAVAILABLE, 3), (Reason.MAILBOX, 3), (Reason.LOCKED, 5)]
)
def test_a_login_that_is_not_possible(reason: Reason, level: int) -> None:
    lines, log, conn = make()
    log.refused(conn, Refusal(reason, "because"), "luser")
    assert lines.lines == [f"{level} {WHO} login not possible: because"]


def test_a_login_over_a_limit_is_no_line_of_its_own() -> None:
    lines, log, conn = make()
    log.refused(conn, Refusal(Reason.BUSY, "max-children is reached"), "luser")
    assert lines.lines == []


def test_wrong_passwords_are_never_written_but_can_be_told_apart() -> None:
    lines, log, conn = make(marks=True)
    for secret in (b"hunter2", b"hunter2", b"hunter3"):
        wants(conn, secret=secret)
        log.refused(conn, Refusal(Reason.CREDENTIALS, "wrong password"), "luser")
    marks = [re.findall(r"; password mark ([0-9a-f]{4})$", line) for line in lines.lines]
    assert marks[0] == marks[1] != marks[2] != []
    assert "hunter" not in "".join(lines.lines)
    _, other, _ = make(marks=True)
    assert log._key != other._key  # no mark can be looked up in another day's log


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_can_imitate_a_line(name: str) -> None:
    lines, log, conn = make("debug")
    log.refused(conn, Refusal(Reason.CREDENTIALS, "wrong password"), name)
    log.began(conn, identity(name))
    Dialogue(log._log).heard(conn, b"USER " + name.encode("utf-8", "surrogateescape"), False)
    refusal, context, login, heard = lines.lines
    shape = r"5 connection_do: client `\[7\]10\.0\.0\.7/klient1\.pl': username `([^ `']*)': "
    assert re.fullmatch(shape + "authentication failure: wrong password", refusal)
    assert re.fullmatch(
        r"6 authcontext_new_user_pass: began session for `[^ `']*' with mysql; uid 100, gid 12", context
    )
    assert re.search(r"(\S*)\(([\d.]*)\): began", login)[2] == "10.0.0.7"  # type: ignore[index]
    assert re.fullmatch(r"7 client \[7\]10\.0\.0\.7/klient1\.pl: received `USER [^ `'();\[\]]*'", heard)
    assert all(line.isprintable() for line in lines.lines)


def test_numbers_keep_their_blanks_in_the_dialogue() -> None:
    lines, log, conn = make("debug")
    Dialogue(log._log).heard(conn, b"TOP 1 20", False)
    assert lines.lines == ["7 client [7]10.0.0.7/klient1.pl: received `TOP 1 20'"]


@pytest.mark.parametrize(
    ("line", "written"),
    [
        (b"PASS secret", "PASS (hidden)"),
        (b"pass", "pass"),
        (b"AUTH PLAIN AGEAYg==", "AUTH (hidden)"),
        (b"APOP luser c4c9334bac560ecc979e58001b3e22fb", "APOP (hidden)"),
        (b"secret", "(no command, 6 octets)"),
    ],
)
def test_the_dialogue_masks_secrets(line: bytes, written: str) -> None:
    lines, log, conn = make("debug")
    Dialogue(log._log).heard(conn, line, False)
    assert lines.lines == [f"7 client [7]10.0.0.7/klient1.pl: received `{written}'"]


def test_the_end_of_a_session() -> None:
    lines, log, conn = make("info")
    conn.session.logged_in = True
    conn.received, conn.driver = 99, "mysql"
    conn.session.counters.retrieved, conn.session.counters.deleted = 3, 2
    log.ended(conn)
    finished, end = lines.lines
    assert finished == "6 finished session for `' with mysql"
    assert re.fullmatch(
        r"5 client \[7\]\(10\.0\.0\.7\): disconnected; 99/0 bytes read/written; connection lost, "
        r"3 retrieved, 2 deleted, 0\.\d s",
        end,
    )


def test_one_line_for_a_login_and_one_for_its_end() -> None:
    lines, log, conn = make()
    log.connected(conn)
    log.began(conn, identity())
    conn.session.logged_in = True
    log.ended(conn)
    assert len(lines.lines) == 2


def test_a_client_that_never_logged_in_leaves_no_line() -> None:
    lines, log, conn = make()
    log.connected(conn)
    log.ended(conn)
    assert lines.lines == []


@pytest.mark.parametrize(("logged_in", "level"), [(True, "5"), (False, "6")])
def test_a_time_out(logged_in: bool, level: str) -> None:
    lines, log, conn = make("info")
    conn.session.logged_in = logged_in
    conn.time_out()
    log.ended(conn)
    assert lines.lines[0].startswith(f"{level} net_loop: timed out client [7]")


def test_fields_for_machines() -> None:
    lines, log, conn = make(structured=True)
    wants(conn)
    log.began(conn, identity())
    conn.session.logged_in = True
    log.ended(conn)
    login, end = (json.loads(line[2:]) for line in lines.lines)
    client = {
        "connection": 7,
        "client": "10.0.0.7",
        "client_port": 1234,
        "server": "10.0.0.1",
        "server_port": 110,
        "domain": "klient1.pl",
        "tls": False,
    }
    expected = {
        "event": "login",
        "user": "luser@klient1.pl",
        "driver": "mysql",
        "mechanism": "PASS",
        "gid": 12,
    }
    assert login.items() >= {**client, **expected}.items()
    counted = {
        "received": 0,
        "sent": 0,
        "commands": 0,
        "retrieved": 0,
        "deleted": 0,
        "reason": "connection lost",
    }
    assert end.items() >= {**client, **counted, "event": "disconnected", "logged_in": True}.items()


def test_what_is_written_is_counted_too() -> None:
    tally = Tally(figures.LAYOUT, 1)
    _, log, conn = make(meter=Meter(tally.settle(0, 1, 0, 0)))
    log.connected(conn)
    wants(conn)
    log.refused(conn, Refusal(Reason.CREDENTIALS, "wrong password"), "luser")
    log.began(conn, identity())
    conn.received = 50
    log.ended(conn)
    sums = tally.totals()
    assert sums[figures.CONNECTIONS.cell()] == 1
    assert sums[figures.LOGINS.cell("credentials", "PASS", "none")] == 1
    assert sums[figures.LOGINS.cell(figures.GRANTED, "PASS", "mysql")] == 1
    assert sums[figures.CLOSED.cell("connection lost")] == 1
    assert sums[figures.RECEIVED.cell()] == 50


def test_who_is_closed_to_make_room_is_no_line_of_its_own() -> None:
    lines, log, conn = make()
    conn.crowd_out()
    log.ended(conn)
    assert lines.lines == []
