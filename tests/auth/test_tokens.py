"""Bearer tokens: who checks them, and what a check may do to a login."""

from __future__ import annotations

import pytest

from tpop3d_py.auth.accounts import Account, Accounts, Owner
from tpop3d_py.auth.chain import Chain
from tpop3d_py.auth.drivers.virtualemail import VirtualEmail
from tpop3d_py.auth.exchange import Exchanges
from tpop3d_py.auth.names import Attempt, NameSettings
from tpop3d_py.auth.scram import Salts
from tpop3d_py.auth.tokens import TokenCheckError, TokenSettings, load_check
from tpop3d_py.contracts import Credentials, Mechanism, Peer, TokenCheck, Verdict
from tpop3d_py.directory.lookup import LoginRow
from tpop3d_py.log import Log
from tpop3d_py.settings import build, declarations

PEER = Peer("192.0.2.1", 4000, "192.0.2.2", 110, "klient1.pl")


class FakeCheck:
    """Believes in one token."""

    def check(self, user: str, token: bytes) -> Verdict:
        if token == b"raise":
            raise ConnectionError("the issuer is away")
        if token == b"down":
            return Verdict.UNAVAILABLE
        good = (user, token) == ("jan@klient1.pl", b"good")
        return Verdict.GRANTED if good else Verdict.REFUSED


class NoCheck:
    """Has no method of that name."""


class Rows:
    def of(self, attempt: Attempt, credentials: Credentials) -> LoginRow | None:
        known = (attempt.local_part, attempt.domain) == ("jan", "klient1.pl")
        return LoginRow("/srv/klient1.pl", "jan/", "", "daemon") if known else None


def decide(token: bytes, user: str = "jan@klient1.pl", tokens: TokenCheck | None = None) -> Verdict:
    owner = Owner(Accounts(), Account(5000, 5000, "/"))
    driver = VirtualEmail("fake", Rows(), owner, Exchanges(Salts(b"")))
    chain = Chain([driver], NameSettings(), Log("test", to_stderr=False), tokens=tokens)
    return chain.decide(Credentials(Mechanism.BEARER, user, token, b"", PEER)).verdict


def test_a_token_lets_its_user_in_even_without_a_password() -> None:
    assert decide(b"good", tokens=FakeCheck()) is Verdict.GRANTED


@pytest.mark.parametrize(
    ("token", "user", "verdict"),
    [
        (b"bad", "jan@klient1.pl", Verdict.REFUSED),
        (b"good", "ola@klient1.pl", Verdict.REFUSED),
        (b"down", "jan@klient1.pl", Verdict.UNAVAILABLE),
        (b"raise", "jan@klient1.pl", Verdict.UNAVAILABLE),
    ],
)
def test_tokens_that_let_nobody_in(token: bytes, user: str, verdict: Verdict) -> None:
    assert decide(token, user, FakeCheck()) is verdict


def test_without_a_check_no_token_is_good() -> None:
    assert decide(b"good") is Verdict.REFUSED


def test_a_good_token_of_a_user_without_a_mailbox() -> None:
    class Everybody:
        def check(self, user: str, token: bytes) -> Verdict:
            return Verdict.GRANTED

    assert decide(b"good", "ola@klient1.pl", Everybody()) is Verdict.REFUSED


def test_loading() -> None:
    check = load_check(f"{__name__}:FakeCheck")
    assert check.check("jan@klient1.pl", b"good") is Verdict.GRANTED


@pytest.mark.parametrize("written", ["nosuchmodule:X", f"{__name__}:Missing", f"{__name__}:NoCheck"])
def test_what_cannot_be_loaded_is_told_at_start(written: str) -> None:
    with pytest.raises(TokenCheckError, match="auth-token-check: "):
        load_check(written)


@pytest.mark.parametrize("text", ["module", "module:", ":name", "a b:c", "a:b.c", "/x:y"])
def test_how_it_is_written(text: str) -> None:
    (declaration,) = declarations(TokenSettings)
    with pytest.raises(ValueError, match="MODULE:NAME"):
        declaration.kind.parse(text)
    assert build(TokenSettings, {"auth-token-check": "a.b:c"}).check == "a.b:c"
