"""Questions to a site's own code, and what its answers mean."""

from __future__ import annotations

import grp
import pwd

import pytest

from tests.maildrop.kit import Recorder
from tpop3d_py.auth.accounts import Account, Accounts, Owner
from tpop3d_py.auth.answers import BadAnswer, Reader, Words, notice, question
from tpop3d_py.auth.names import Attempt
from tpop3d_py.auth.plugin import LoggedIn
from tpop3d_py.contracts import Credentials, Decision, Identity, Mechanism, Peer, Verdict

PEER = Peer("192.0.2.1", 4000, "192.0.2.2", 110, "klient1.pl")
JAN = Attempt("jan!klient1.pl", "jan", "klient1.pl")
BARE = Attempt("jan", None, "klient1.pl")
DAEMON = pwd.getpwnam("daemon")
MAIL = grp.getgrnam("mail")


def credentials(mechanism: Mechanism, secret: bytes = b" h a ") -> Credentials:
    return Credentials(mechanism, "jan!klient1.pl", secret, b"<1@x>", PEER)


def test_the_keys_and_their_order() -> None:
    assert list((question(JAN, credentials(Mechanism.PASSWORD)) or {}).items()) == [
        (b"method", b"PASS"),
        (b"user", b"jan!klient1.pl"),
        (b"local_part", b"jan"),
        (b"domain", b"klient1.pl"),
        (b"pass", b" h a "),
        (b"clienthost", b"192.0.2.1"),
        (b"serverhost", b"192.0.2.2"),
    ]
    apop = question(BARE, credentials(Mechanism.APOP, b"0A" * 16)) or {}
    assert list(apop) == [b"method", b"user", b"timestamp", b"digest", b"clienthost", b"serverhost"]
    assert (apop[b"method"], apop[b"timestamp"], apop[b"digest"]) == (b"APOP", b"<1@x>", b"0a" * 16)
    login = LoggedIn("jan", "jan", "klient1.pl", "192.0.2.1", "192.0.2.2", "mysql")
    assert list(notice(login).items()) == [
        (b"method", b"ONLOGIN"),
        (b"user", b"jan"),
        (b"local_part", b"jan"),
        (b"domain", b"klient1.pl"),
        (b"clienthost", b"192.0.2.1"),
        (b"serverhost", b"192.0.2.2"),
    ]


@pytest.mark.parametrize("mechanism", [Mechanism.SCRAM, Mechanism.SCRAM_PLUS, Mechanism.BEARER])
def test_what_cannot_be_asked(mechanism: Mechanism) -> None:
    assert question(JAN, credentials(mechanism)) is None


def decide(answer: Words, attempt: Attempt = JAN, owner: Owner | None = None) -> Decision:
    return Reader("other", owner or Owner(Accounts()), Recorder()).decide(attempt, answer)


YES = {b"result": b"YES", b"uid": b"daemon", b"gid": b"mail"}


def test_yes() -> None:
    assert decide(YES).identity == Identity(
        "jan@klient1.pl", "other", DAEMON.pw_uid, MAIL.gr_gid, "", "", "jan", "klient1.pl", DAEMON.pw_dir
    )
    more = {b"mailbox": b"/srv/jan", b"mboxtype": b"maildir", b"domain": b"klient2.pl"}
    identity = decide({**YES, b"uid": b"%d" % DAEMON.pw_uid, b"gid": b"%d" % MAIL.gr_gid, **more}).identity
    assert identity is not None
    assert (identity.uid, identity.gid) == (DAEMON.pw_uid, MAIL.gr_gid)
    assert (identity.mailbox, identity.mailbox_type, identity.domain) == ("/srv/jan", "maildir", "klient2.pl")
    bare = decide(YES, BARE).identity
    assert bare is not None
    assert (bare.user, bare.local_part, bare.domain) == ("jan", "", "klient1.pl")


def test_the_group_that_the_operator_wants() -> None:
    identity = decide(YES, owner=Owner(Accounts(), group=77)).identity
    assert identity is not None
    assert identity.gid == 77
    fixed = decide(YES, owner=Owner(Accounts(), Account(1234, 1235, "/home/me"))).identity
    assert fixed is not None
    assert (fixed.uid, fixed.gid, fixed.home) == (1234, 1235, "/home/me")


def test_no_is_no() -> None:
    assert decide({b"result": b"NO", b"uid": b"nosuch"}).verdict is Verdict.REFUSED


@pytest.mark.parametrize(
    "changes",
    [
        {b"result": b"yes"},
        {b"result": b"YES "},
        {b"result": b""},
        {b"uid": b""},
        {b"gid": b""},
        {b"uid": b"nosuchuser"},
        {b"uid": b"4294967295"},
        {b"uid": b"-1"},
        {b"uid": b"9" * 30},
        {b"gid": b"9" * 4000},
        {b"uid": b"0x1"},
        {b"uid": b"da\xffemon"},
        {b"gid": b"nosuchgroup"},
        {b"gid": b"\xd9\xa1"},
    ],
)
def test_what_is_neither_yes_nor_no(changes: Words) -> None:
    with pytest.raises(BadAnswer):
        decide({**YES, **changes})


def test_what_is_to_be_logged_comes_on_one_line() -> None:
    log = Recorder()
    Reader("other", Owner(Accounts()), log).decide(JAN, {b"result": b"NO", b"logmsg": b"a\nb \xff"})
    assert log.lines == ["auth-other: a\\nb \\udcff"]
