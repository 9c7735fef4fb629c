"""A box of the virtualemail schema as an account."""

from __future__ import annotations

import pytest

from tests.scramclient import ScramClient
from tpop3d_py.auth import passwords
from tpop3d_py.auth.accounts import Account, Accounts, Owner
from tpop3d_py.auth.drivers.virtualemail import VirtualEmail
from tpop3d_py.auth.exchange import Exchanges
from tpop3d_py.auth.names import Attempt
from tpop3d_py.auth.scram import Salts, make_stored
from tpop3d_py.contracts import Credentials, Decision, Mechanism, Peer, Verdict
from tpop3d_py.directory.errors import DirectoryUnavailable
from tpop3d_py.directory.lookup import LoginRow

EXCHANGES = Exchanges(Salts(b""))
PEER = Peer("192.0.2.1", 4000, "192.0.2.2", 110, "klient1.pl")
JAN = Attempt("Jan@klient1.pl", "Jan", "klient1.pl")
ROW = LoginRow("/srv/klient1.pl", "jan/", "{plaintext}haslo", "daemon")


class Rows:
    def __init__(self, row: LoginRow | Exception | None) -> None:
        self.row = row

    def of(self, attempt: Attempt, credentials: Credentials) -> LoginRow | None:
        if isinstance(self.row, Exception):
            raise self.row
        return self.row


def check(
    row: LoginRow | Exception | None,
    secret: bytes = b"haslo",
    attempt: Attempt = JAN,
    owner: Owner | None = None,
) -> Decision:
    driver = VirtualEmail("fake", Rows(row), owner or Owner(Accounts()), EXCHANGES)
    return driver.check(attempt, Credentials(Mechanism.PASSWORD, attempt.user, secret, b"", PEER))


def test_a_granted_login_says_whose_mail_it_is() -> None:
    identity = check(ROW).identity
    assert identity is not None
    assert (identity.user, identity.uid, identity.gid) == ("jan@klient1.pl", 1, 1)
    assert (identity.mailbox, identity.mailbox_type) == ("/srv/klient1.pl/jan/", "")
    assert (identity.local_part, identity.domain, identity.driver) == ("jan", "klient1.pl", "fake")


def test_wrong_password_and_unknown_box() -> None:
    assert check(ROW, b"Haslo").verdict is Verdict.REFUSED
    assert check(None).verdict is Verdict.NOT_MINE


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (DirectoryUnavailable("the database is gone"), "the database is gone"),
        (LoginRow("/srv", "jan", "{rot13}x", "daemon"), "rot13"),
        (LoginRow("/srv", "jan", "{plaintext}haslo", "nosuchuser"), "no Unix account 'nosuchuser'"),
    ],
)
def test_what_is_not_the_users_fault_is_unavailable(row: LoginRow | Exception, words: str) -> None:
    decision = check(row)
    assert decision.verdict is Verdict.UNAVAILABLE
    assert words in decision.detail


def test_a_stored_password_that_would_take_too_long_is_forbidden() -> None:
    stored = "$2b$13$abcdefghijklmnopqrstuuBL9.K1AKOTpNEQzhwp8U0UiCFiQON86"
    decision = check(LoginRow("/srv", "jan", stored, "daemon"))
    assert decision.verdict is Verdict.FORBIDDEN
    assert "13 as its cost" in decision.detail


def test_a_box_without_a_password_lets_nobody_in(monkeypatch: pytest.MonkeyPatch) -> None:
    spent: list[bytes] = []
    monkeypatch.setattr(passwords, "burn_time", spent.append)
    for secret in (b"", b"x"):
        assert check(LoginRow("/srv", "jan", "", "daemon"), secret).verdict is Verdict.REFUSED
    assert spent == [b"", b"x"]


def test_a_null_path_leaves_the_mailbox_to_the_patterns() -> None:
    identity = check(LoginRow("", "jan", "{plaintext}haslo", "daemon")).identity
    assert identity is not None
    assert identity.mailbox == ""


def test_a_mail_group_replaces_the_group_and_a_fixed_owner_both_ids() -> None:
    identity = check(ROW, owner=Owner(Accounts(), group=77)).identity
    assert identity is not None
    assert (identity.uid, identity.gid) == (1, 77)
    fixed = Owner(Accounts(), fixed=Account(1234, 1235, "/home/me"))
    identity = check(LoginRow("/srv", "jan", "{plaintext}haslo", "nosuchuser"), owner=fixed).identity
    assert identity is not None
    assert (identity.uid, identity.gid, identity.home) == (1234, 1235, "/home/me")


@pytest.mark.parametrize("stored", ["{plaintext}haslo", make_stored("haslo")])
def test_scram_in_two_steps_taken_by_two_processes(stored: str) -> None:
    row = LoginRow("/srv/klient1.pl", "jan/", stored, "daemon")
    one, two = (VirtualEmail("fake", Rows(row), Owner(Accounts()), EXCHANGES) for _ in range(2))
    client = ScramClient(b"Jan@klient1.pl", b"haslo")
    said: tuple[bytes, ...] = (client.first(),)
    step = one.check(JAN, Credentials(Mechanism.SCRAM, JAN.user, b"", b"", PEER, said))
    assert (step.verdict, step.identity) == (Verdict.CONTINUE, None)
    said += step.challenge, client.final(step.challenge)
    step = two.check(JAN, Credentials(Mechanism.SCRAM, JAN.user, b"", b"", PEER, said))
    assert (step.verdict, step.challenge) == (Verdict.GRANTED, client.server_proof)
    assert step.identity is not None
    assert step.identity.user == "jan@klient1.pl"


def test_a_damaged_form_of_scram_is_a_fault_of_the_account() -> None:
    row = LoginRow("/srv", "jan", "{SCRAM-SHA-256}x", "daemon")
    driver = VirtualEmail("fake", Rows(row), Owner(Accounts()), EXCHANGES)
    credentials = Credentials(Mechanism.SCRAM, JAN.user, b"", b"", PEER, (b"n,,n=jan,r=abc",))
    decision = driver.check(JAN, credentials)
    assert decision.verdict is Verdict.UNAVAILABLE
    assert "damaged" in decision.detail


def test_apop() -> None:
    import hashlib

    digest = hashlib.md5(b"<stamp@x>haslo").hexdigest().encode()
    driver = VirtualEmail("fake", Rows(ROW), Owner(Accounts()), EXCHANGES)
    for stamp, verdict in ((b"<stamp@x>", Verdict.GRANTED), (b"<other@x>", Verdict.REFUSED)):
        credentials = Credentials(Mechanism.APOP, JAN.user, digest, stamp, PEER)
        assert driver.check(JAN, credentials).verdict is verdict
