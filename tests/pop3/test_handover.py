"""A session that another process goes on with behind its login."""

from __future__ import annotations

import dataclasses
import random

import pytest

from tests.pop3.fakes import MESSAGES, PASSWORD, PEER, STAMP, FakeLogin, FakeMaildrop
from tpop3d_py.pop3 import handover
from tpop3d_py.pop3.handover import Carried
from tpop3d_py.pop3.languages import CATALOGS
from tpop3d_py.pop3.profile import Profile
from tpop3d_py.pop3.replies import encode
from tpop3d_py.pop3.session import Session


def until_login(profile: Profile, *lines: bytes, secure: bool = False) -> Session:
    """Say some lines and then the right name and password; the answer is still to come."""
    session = Session(PEER, FakeLogin(FakeMaildrop([])), STAMP, profile, secure=secure)
    for line in (*lines, b"USER luser@klient1.pl", b"PASS " + PASSWORD):
        session.receive(line)
    return session


def carried_over(profile: Profile, session: Session) -> Session:
    """Pack a session and go on with it."""
    carried = Carried.unpack(session.carried().pack())
    login = FakeLogin(FakeMaildrop([]))
    other = Session(PEER, login, b"", profile, secure=carried.secure)
    other.carry_on(session.user, carried)
    return other


def sent(session: Session, *lines: bytes) -> list[bytes]:
    return [bytes(encode(session.receive(line))) for line in lines]  # type: ignore[arg-type]


CHOICES = [
    (),
    (b"UTF8",),
    (b"LANG pl",),
    (b"LANG en",),
    (b"LANG *",),
    (b"UTF8", b"LANG pl"),
    (b"LANG i-default",),
]
AFTER = (b"STAT", b"RETR 9", b"CAPA", b"LANG", b"LANG xx", b"LIST", b"NONSENSE", b"DELE 1", b"QUIT")


@pytest.mark.parametrize("texts", CATALOGS)
@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("secure", [False, True])
def test_the_rest_is_word_for_word_what_it_would_have_been(
    texts: str, choice: tuple[bytes, ...], secure: bool
) -> None:
    profile = Profile(
        texts=CATALOGS[texts],
        stls=True,
        password_tls_only=False,
        binding=b"end point" if secure else b"",
        mechanisms=(b"SCRAM-SHA-256-PLUS", b"PLAIN"),
    )
    stayed = until_login(profile, b"MISTAKE", *choice, secure=secure)
    # Over there the certificate is not known, only that there was one.
    there = dataclasses.replace(profile, binding=b"bound" if secure else b"", stls=False)
    went = carried_over(there, stayed)
    answers = []
    for session in (stayed, went):
        drop = FakeMaildrop(MESSAGES["three"])
        welcome = bytes(encode(session.login_finished(drop)))  # type: ignore[arg-type]
        answers.append((welcome, *sent(session, *AFTER), drop.commits, session.counters, session.user))
    assert answers[0] == answers[1]


def test_mistakes_stay_counted() -> None:
    profile = Profile(command_errors=3)
    went = carried_over(profile, until_login(profile, b"X", b"Y"))
    went.login_finished(FakeMaildrop([]))
    (last,) = sent(went, b"Z")
    assert last.startswith(b"-ERR")
    assert went.ending is not None


def test_a_session_waits_for_its_login_when_it_has_come() -> None:
    session = carried_over(Profile(), until_login(Profile()))
    with pytest.raises(RuntimeError):
        session.receive(b"NOOP")


@pytest.mark.parametrize("tag", [3, 255])
def test_a_language_that_nobody_speaks(tag: int) -> None:
    session = Session(PEER, FakeLogin(FakeMaildrop([])), b"", Profile())
    with pytest.raises(ValueError, match="language"):
        session.carry_on("luser", Carried(0, False, False, True, tag, False, 0, 0))


def test_any_octets_are_a_value_or_a_value_error() -> None:
    dice = random.Random(2)
    for length in range(handover.SIZE + 2):
        octets = dice.randbytes(length)
        if length == handover.SIZE:
            Carried.unpack(octets)
        else:
            with pytest.raises(ValueError, match="unpack requires"):
                Carried.unpack(octets)
