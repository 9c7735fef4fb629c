from __future__ import annotations

import dataclasses
import re

import pytest

from tests.pop3.client import read_answer
from tests.pop3.fakes import MESSAGES, PASSWORD, PEER, STAMP, FakeLogin, FakeMaildrop, Shell
from tpop3d_py.contracts import (
    BodyInterrupted,
    Credentials,
    MaildropError,
    Mechanism,
    Reason,
    Refusal,
    ResponseCode,
)
from tpop3d_py.pop3 import (
    CLASSIC,
    LARGE_PIECE,
    POLISH,
    POLITE,
    Ending,
    Profile,
    Reply,
    Session,
    Texts,
    Then,
    encode,
)


def logged_in(**profile: int) -> Shell:
    shell = Shell(profile=Profile(**profile))  # type: ignore[arg-type]
    shell.log_in()
    return shell


# --- greeting and login -------------------------------------------------------


@pytest.mark.parametrize(
    ("domain", "shown"),
    [
        ("klient1.pl", b"klient1.pl"),
        ("", b"x.invalid"),
        ("a b>\r\n+OK", b"a-b----OK"),
        ("żółw.pl", b"----.pl".replace(b"----", b"---w")),
        ("[::1]", b"-::1-"),
        ("x" * 5000, b"x" * 255),
    ],
)
def test_no_domain_can_break_the_greeting(domain: str, shown: bytes) -> None:
    session = Session(dataclasses.replace(PEER, domain=domain), FakeLogin(FakeMaildrop([])), STAMP, Profile())
    assert encode(session.greeting()) == b"+OK <" + STAMP + b"@" + shown + b">\r\n"


def test_what_the_login_port_gets() -> None:
    shell = Shell()
    shell.say(b"USER \xc5\x82ukasz", b"PASS  two  words ", b"USER \xff", b"PASS \xff")
    shell.say(b"APOP luser@klient1.pl 0123456789ABCDEF0123456789abcdef")
    stamp = b"<" + STAMP + b"@klient1.pl>"
    assert shell.login.asked == [
        Credentials(Mechanism.PASSWORD, "łukasz", b" two  words ", b"", PEER),
        Credentials(Mechanism.PASSWORD, "\udcff", b"\xff", b"", PEER),
        Credentials(Mechanism.APOP, "luser@klient1.pl", b"0123456789abcdef0123456789abcdef", stamp, PEER),
    ]


def test_the_name_is_known_to_the_log_before_and_after_login() -> None:
    shell = Shell()
    assert shell.session.user == ""
    shell.say(b"USER nobody", b"PASS x")
    assert shell.session.user == "nobody"
    assert not shell.session.logged_in
    shell.log_in()
    assert shell.session.user == "luser@klient1.pl"
    assert shell.session.logged_in


@pytest.mark.parametrize("reason", Reason)
def test_every_refusal_is_told_with_its_code(reason: Reason) -> None:
    shell = Shell()
    shell.session.receive(b"USER luser")
    assert shell.session.receive(b"PASS x").then is Then.WAIT
    reply = shell.session.login_finished(Refusal(reason, "secret detail"))
    assert not reply.ok
    assert reply.code is reason.code
    assert b"secret" not in reply.text
    assert (reply.delay > 0) is (reason is Reason.CREDENTIALS)
    stays = reason in (Reason.CREDENTIALS, Reason.UNAVAILABLE)
    assert reply.then is (Then.CONTINUE if stays else Then.CLOSE)
    assert shell.session.ending is (None if stays else Ending.REFUSED)


def test_a_refused_login_forgets_the_name() -> None:
    shell = Shell()
    assert b"Lies" in shell.say(b"USER luser@klient1.pl", b"PASS x")
    assert shell.say(b"PASS " + PASSWORD) == b"-ERR What's your name?\r\n"


def test_a_maildrop_that_cannot_tell_its_sizes_is_a_refused_login() -> None:
    shell = Shell()
    shell.maildrop.sizes_error = MaildropError(Reason.LOCKED, "lock lost")
    answer = shell.say(b"USER luser@klient1.pl", b"PASS " + PASSWORD)
    assert answer.splitlines()[1].startswith(b"-ERR [IN-USE] ")
    assert shell.replies[-1].detail == "lock lost"
    assert shell.closed
    assert shell.maildrop.closed
    assert not shell.session.logged_in


def test_a_fault_while_entering_is_not_hidden_and_the_maildrop_is_released() -> None:
    shell = Shell()
    shell.maildrop.messages = [None]  # type: ignore[list-item]
    with pytest.raises(TypeError):
        shell.log_in()
    assert shell.maildrop.closed


# --- turns ---------------------------------------------------------------------


def test_calls_out_of_turn_are_the_callers_fault() -> None:
    shell = Shell()
    maildrop = FakeMaildrop([])
    with pytest.raises(RuntimeError, match="no login"):
        shell.session.login_finished(Refusal(Reason.CREDENTIALS))
    shell.session.receive(b"USER luser")
    shell.session.receive(b"PASS x")
    with pytest.raises(RuntimeError, match="under way"):
        shell.session.receive(b"NOOP")
    with pytest.raises(RuntimeError, match="under way"):
        shell.session.receive_too_long()
    shell.session.login_finished(maildrop)
    shell.session.receive(b"QUIT")
    with pytest.raises(RuntimeError, match="ended"):
        shell.session.receive(b"NOOP")


def test_a_login_that_succeeds_after_the_client_has_gone_closes_its_maildrop() -> None:
    shell = Shell()
    shell.session.receive(b"USER luser")
    shell.session.receive(b"PASS x")
    shell.session.connection_lost()
    assert shell.session.login_finished(shell.maildrop).then is Then.CLOSE
    assert shell.maildrop.closed
    assert shell.maildrop.commits == []
    assert shell.session.login_finished(Refusal(Reason.CREDENTIALS)).then is Then.CLOSE
    assert shell.session.ending is Ending.LOST


# --- ends ------------------------------------------------------------------------


def test_the_first_end_counts() -> None:
    shell = logged_in()
    shell.say(b"QUIT")
    shell.session.connection_lost()
    assert shell.session.ending is Ending.QUIT
    assert len(shell.maildrop.commits) == 1


def test_a_lost_connection_releases_a_message_half_sent() -> None:
    shell = logged_in()
    sent = encode(shell.session.receive(b"RETR 1"))
    assert not isinstance(sent, bytes)
    shell.session.connection_lost()
    assert shell.maildrop.bodies[0].closed
    assert shell.maildrop.closed
    assert shell.maildrop.commits == []


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (Reason.UNAVAILABLE, b"SYS/TEMP"),
        (Reason.LOCKED, b"SYS/TEMP"),
        (Reason.MAILBOX, b"SYS/PERM"),
    ],
)
def test_an_update_that_fails_is_an_error_and_still_ends(reason: Reason, code: bytes) -> None:
    shell = logged_in()
    shell.maildrop.commit_error = MaildropError(reason, "disk full: secret path")
    assert shell.say(b"DELE 1", b"QUIT") == b"+OK Done.\r\n-ERR [%b] Something went wrong.\r\n" % code
    assert shell.closed
    assert shell.maildrop.closed
    assert shell.session.ending is Ending.UPDATE_FAILED
    assert shell.replies[-1].detail == "disk full: secret path"
    assert shell.session.counters.deleted == 0


def test_a_fault_in_the_update_is_not_hidden_and_the_maildrop_is_released() -> None:
    shell = logged_in()
    shell.maildrop.commit = None  # type: ignore[method-assign, assignment]
    with pytest.raises(TypeError):
        shell.say(b"QUIT")
    assert shell.maildrop.closed


# --- messages --------------------------------------------------------------------


@pytest.mark.parametrize("command", [b"RETR 1", b"TOP 1 0"])
def test_a_vanished_message_is_an_error_before_any_ok(command: bytes) -> None:
    shell = logged_in()
    shell.maildrop.gone = {0}
    assert shell.say(command) == (
        b"-ERR Can't send that message; it may have been deleted by a concurrent session\r\n"
    )
    assert shell.replies[-1].detail == "no such file: secret path"
    shell.maildrop.gone = set()
    shell.maildrop.unreadable = {0}
    assert shell.say(command) == b"-ERR [SYS/TEMP] Cannot send message\r\n"
    assert shell.say(b"NOOP") == b"+OK I'm still here.\r\n"
    assert shell.session.counters.errors == 0


def test_a_message_counts_as_retrieved_only_when_sent_to_its_end() -> None:
    shell = logged_in()
    shell.maildrop.breaks = {1: 14}
    shell.say(b"RETR 1")
    with pytest.raises(BodyInterrupted):
        shell.say(b"RETR 2")
    shell.say(b"TOP 3 99")
    assert dataclasses.astuple(shell.session.counters) == (1, len(MESSAGES["three"][0]), 0, 0, 5)
    shell.say(b"RETR 1", b"DELE 1", b"QUIT")
    assert dataclasses.astuple(shell.session.counters) == (2, 2 * len(MESSAGES["three"][0]), 1, 0, 8)
    assert shell.maildrop.commits == [([0], [0])]


@pytest.mark.parametrize("name", MESSAGES)
def test_list_and_stat_tell_what_retr_sends(name: str) -> None:
    shell = Shell(FakeMaildrop(MESSAGES[name]))
    shell.log_in()
    total = 0
    for number, size in enumerate(shell.maildrop.sizes, 1):
        answer, _ = read_answer(shell.say(b"RETR %d" % number), 0, multi_line=True)
        assert answer.lines is not None
        assert sum(len(line) + 2 for line in answer.lines) == size
        assert shell.say(b"LIST %d" % number) == b"+OK %d %d\r\n" % (number, size)
        total += size
    assert shell.say(b"STAT") == b"+OK %d %d\r\n" % (len(shell.maildrop.sizes), total)


# --- mistakes ----------------------------------------------------------------------


NO_NUMBERS = [
    b"0", b"-1", b"+1", b"01", b"00000000001", b"1.", b"1.0", b"1e0", b"1_0", b"0x1", b"one", b"1,2", b"1-2",
    b"*", b"4294967297", b"18446744073709551617", b"9" * 400, b"%d", b"1\x00", b"\x001", b"1\t", b"\xb9",
    b"\xd9\xa1",
]  # fmt: skip


@pytest.mark.parametrize("command", [b"LIST %b", b"UIDL %b", b"RETR %b", b"DELE %b", b"TOP %b 0"])
@pytest.mark.parametrize("word", NO_NUMBERS)
def test_what_is_no_message_number_is_an_error_and_touches_no_message(command: bytes, word: bytes) -> None:
    shell = logged_in()
    answer = shell.say(command.replace(b"%b", word))
    assert answer.startswith(b"-ERR ")
    assert answer.count(b"\r\n") == 1
    assert shell.say(b"STAT") == b"+OK 3 201\r\n"
    shell.say(b"QUIT")
    assert shell.maildrop.commits == [([], [])]
    assert shell.maildrop.bodies == []


@pytest.mark.parametrize(
    "verb",
    b"USER PASS APOP AUTH CAPA STLS UTF8 LANG STAT LIST UIDL RETR TOP DELE RSET NOOP LAST QUIT XTND".split(),
)
@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("octet", [0, 1, 7, 8, 9, 11, 13, 27, 31, 127])
def test_a_control_octet_anywhere_is_an_error_and_comes_back_nowhere(
    verb: bytes, inside: bool, octet: int
) -> None:
    shell = Shell(profile=Profile(stls=True, command_errors=100))
    if inside:
        shell.log_in()
    control = bytes([octet])
    lines = [
        control + verb,
        verb[:2] + control + verb[2:],
        verb + control + b"1",
        verb + b" 1" + control + b"2",
    ]
    answer = shell.say(*lines)
    assert answer == b"-ERR I can't read that. Plain printable ASCII, please.\r\n" * 4
    assert shell.session.counters.errors == 4


def test_too_many_mistakes_end_the_session_with_a_last_word() -> None:
    shell = logged_in(command_errors=3)
    shell.say(b"DELE 1")
    answers = shell.say(b"BOGUS", b"NOOP", b"RETR 9", b"x" * 600, b"NOOP").splitlines()
    assert answers == [
        b"-ERR Do you actually know how to use this thing?",
        b"+OK I'm still here.",
        b"-ERR That does not compute.",
        b"-ERR That's quite enough nonsense for one day. I give up.",
    ]
    assert shell.closed
    assert shell.session.ending is Ending.ERRORS
    assert shell.session.counters.errors == 3
    assert shell.maildrop.closed
    assert shell.maildrop.commits == []


def test_an_overlong_line_is_one_mistake() -> None:
    shell = Shell()
    answers = shell.feed([b"USER ", b"x" * 100_000, b"x" * 100_000, b"\r\nNOOP\r\n"])
    assert answers == b"-ERR That line was too long for me.\r\n-ERR Not now. First log in.\r\n"
    assert shell.session.counters.errors == 2


def test_thousands_of_pipelined_commands_are_all_answered_in_order() -> None:
    shell = logged_in()
    answers = shell.say(*[b"NOOP", b"LIST 2"] * 5_000).splitlines()
    assert answers == [b"+OK I'm still here.", b"+OK 2 67"] * 5_000


def test_capa_tells_the_implementation_as_the_operator_wants_it() -> None:
    assert b"IMPLEMENTATION tpop3d_py-1.2\r\n" in Shell(profile=Profile(implementation="tpop3d_py-1.2")).say(
        b"CAPA"
    )
    assert b"IMPLEMENTATION" not in Shell(profile=Profile(implementation="")).say(b"CAPA")


def test_long_lists_go_out_in_pieces_and_are_whole() -> None:
    shell = Shell(FakeMaildrop([b"x\r\n"] * 20_000))
    shell.log_in()
    sent = encode(shell.session.receive(b"UIDL"))
    assert not isinstance(sent, bytes)
    pieces = list(sent)
    assert len(pieces) > 1
    assert max(map(len, pieces)) < 2 * LARGE_PIECE
    expected = b"".join(b"%d id-%d\r\n" % (number, number) for number in range(1, 20_001))
    assert b"".join(pieces) == b"+OK ID list follows:\r\n" + expected + b".\r\n"


@pytest.mark.parametrize("count", [999, 1000, 1001, 2000])
def test_lists_at_the_edge_of_one_piece(count: int) -> None:
    shell = Shell(FakeMaildrop([b"x\r\n"] * count))
    shell.log_in()
    expected = b"".join(b"%d 3\r\n" % number for number in range(1, count + 1))
    assert shell.say(b"LIST") == b"+OK Scan list follows:\r\n" + expected + b".\r\n"


def test_large_listings_leave_the_deleted_out() -> None:
    shell = Shell(FakeMaildrop([b"x\r\n"] * 5_000))
    shell.log_in()
    shell.say(*[b"DELE %d" % number for number in range(1, 5_001, 2)])
    answer, _ = read_answer(shell.say(b"UIDL"), 0, multi_line=True)
    assert answer.lines == [b"%d id-%d" % (number, number) for number in range(2, 5_001, 2)]
    assert shell.say(b"STAT") == b"+OK 2500 7500\r\n"
    assert re.fullmatch(
        rb"\+OK Scan list follows:\r\n2 3\r\n4 3\r\n.*5000 3\r\n\.\r\n", shell.say(b"LIST"), re.S
    )


# --- limits of all answers ----------------------------------------------------------------


@pytest.mark.parametrize("texts", [CLASSIC, POLITE, POLISH])
def test_status_lines_are_never_longer_than_512_octets(texts: Texts) -> None:
    longest = max((value for value in dataclasses.astuple(texts) if isinstance(value, bytes)), key=len)
    for code in ResponseCode:
        sent = encode(Reply(False, b"i-default " + longest, code))
        assert isinstance(sent, bytes)
        assert len(sent) <= 512
    assert len(texts.welcome.of(999_999_999)) <= 450
