"""The server's side of SCRAM-SHA-256, against the RFC's own exchange and a client written apart."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.scramclient import ScramClient
from tpop3d_py.auth import passwords, scram
from tpop3d_py.auth.chain import Chain
from tpop3d_py.auth.exchange import Exchanges
from tpop3d_py.auth.names import NameSettings
from tpop3d_py.auth.scram import BadForm, Salts
from tpop3d_py.contracts import Credentials, Mechanism, Peer
from tpop3d_py.log import Log

PEER = Peer("192.0.2.1", 4000, "192.0.2.2", 110, "klient1.pl")
# RFC 7677 section 3; stored as doveadm pw -s SCRAM-SHA-256 would with that salt.
SALT = base64.b64decode(b"W22ZaJ0SNY7soEsUEjb6gQ==")
RFC = (
    b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
    b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
    b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
    b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
)


def credentials(*exchange: bytes, binding: bytes = b"") -> Credentials:
    mechanism = Mechanism.SCRAM_PLUS if binding else Mechanism.SCRAM
    return Credentials(mechanism, "user", b"", b"", PEER, exchange, binding)


def converse(exchanges: Exchanges, stored: str, client: ScramClient, binding: bytes = b"") -> bytes | None:
    """Run an exchange; return the server's last message."""
    first = exchanges.answer(credentials(client.first(), binding=binding), stored, "user")
    if first is None:
        return None
    said = (client.first(), first, client.final(first))
    return exchanges.answer(credentials(*said, binding=binding), stored, "user")


EXCHANGES = Exchanges(Salts(b"key"))


def test_the_exchange_of_the_rfc() -> None:
    keys = scram.derive(b"pencil", SALT, 4096)
    last = scram.final_message(credentials(*RFC), keys)
    assert last == b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    for other in (b"pencil ", b"", b"Pencil"):
        assert scram.final_message(credentials(*RFC), scram.derive(other, SALT, 4096)) is None


@pytest.mark.parametrize(
    ("step", "old", "new"),
    [
        (0, b"n=user", b"n=User"),
        (0, b"n,,", b"y,,"),
        (0, b"n,,", b"n,a=user,"),
        (1, b"i=4096", b"i=4095"),
        (1, b"r=rOpr", b"r=rOpS"),
        (2, b"biws", b"eSws"),
        (2, b"k0,p", b"k1,p"),
        (2, b"p=dHzb", b"p=eHzb"),
        (2, b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", b"p=AAAA"),
        (2, b"VQ=", b"VQ"),
        (2, b",p=", b",x=y,p="),
    ],
)
def test_one_octet_other_than_the_rfcs_is_refused(step: int, old: bytes, new: bytes) -> None:
    said = list(RFC)
    assert old in said[step]
    said[step] = said[step].replace(old, new)
    assert scram.final_message(credentials(*said), scram.derive(b"pencil", SALT, 4096)) is None


@pytest.mark.parametrize("stored", ["{plaintext}haslo", scram.make_stored("haslo")])
def test_a_login_with_each_form_that_allows_it(stored: str) -> None:
    client = ScramClient(b"user", b"haslo")
    assert converse(EXCHANGES, stored, client) == client.server_proof
    assert converse(EXCHANGES, stored, ScramClient(b"user", b"haslO")) is None


def test_a_login_bound_to_the_channel() -> None:
    stored, binding = scram.make_stored("haslo"), b"\5" * 32
    client = ScramClient(b"user", b"haslo", binding)
    assert converse(EXCHANGES, stored, client, binding) == client.server_proof
    assert converse(EXCHANGES, stored, client, b"\6" * 32) is None


@pytest.mark.parametrize(
    "stored", [passwords.make_hash("haslo"), "{md5}900150983cd24fb0d6963f7d28e17f72", ""]
)
def test_other_forms_allow_no_scram(stored: str) -> None:
    assert EXCHANGES.answer(credentials(RFC[0]), stored, "user") is None
    assert EXCHANGES.answer(credentials(*RFC), stored, "user") is None


def test_a_password_sent_as_it_is_matches_the_stored_keys() -> None:
    stored = scram.make_stored("zażółć")
    assert stored.startswith("{SCRAM-SHA-256}4096,")
    assert passwords.verify(stored, "zażółć".encode())
    assert passwords.verify(stored.lower().replace(stored.lower(), stored), "zażółć".encode())
    assert not passwords.verify(stored, b"zazolc")
    assert not passwords.verify(stored, b"\xff")
    keys = scram.read_stored(stored.partition("}")[2])
    assert keys == scram.derive("zażółć".encode(), keys.salt, keys.iterations)


@pytest.mark.parametrize(
    "rest",
    [
        "",
        "4096",
        "4096,AAAA,AAAA,AAAA",
        "0,c2FsdA==," + ",".join(["A" * 43 + "="] * 2),
        "-1,c2FsdA==," + ",".join(["A" * 43 + "="] * 2),
        "\u0664,c2FsdA==," + ",".join(["A" * 43 + "="] * 2),
        "4096,," + ",".join(["A" * 43 + "="] * 2),
        "4096,c2FsdA==," + ",".join(["A" * 43 + "="] * 3),
        "4096,c2Fsd,A,A",
    ],
)
def test_damaged_forms(rest: str) -> None:
    with pytest.raises(BadForm):
        scram.read_stored(rest)
    assert not passwords.verify("{SCRAM-SHA-256}" + rest, b"x")


def test_a_form_that_would_take_too_long() -> None:
    rest = "1000001,c2FsdA==," + ",".join(["A" * 43 + "="] * 2)
    with pytest.raises(passwords.TooCostly, match="1000001 iterations"):
        scram.read_stored(rest)
    with pytest.raises(passwords.TooCostly):
        passwords.verify("{SCRAM-SHA-256}" + rest, b"x")


def test_nobody_knows_nobodys_password() -> None:
    for password in (b"", b"nobody has this password"):
        client = ScramClient(b"user", password)
        first = EXCHANGES.for_nobody(credentials(client.first()), "user")
        said = credentials(client.first(), first, client.final(first))
        assert scram.final_message(said, scram.NOBODY) is None


def test_a_name_that_does_not_exist_looks_like_one_that_does() -> None:
    """The same salt each time and in any spelling, as many octets, the same iterations."""
    real = EXCHANGES.answer(credentials(RFC[0]), "{plaintext}x", "jan@klient1.pl")
    stored = EXCHANGES.answer(credentials(RFC[0]), scram.make_stored("x"), "jan@klient1.pl")
    fakes = [EXCHANGES.for_nobody(credentials(RFC[0]), name) for name in ("nobody@x.pl", "NOBODY@x.pl")]
    assert real is not None
    assert stored is not None
    nonces, salts, iterations = zip(*(m.split(b",") for m in (real, stored, *fakes)), strict=True)
    assert len(set(nonces)) == 4
    assert len({len(nonce) for nonce in nonces}) == 1
    assert salts[2] == salts[3]
    assert len({len(salt) for salt in salts}) == 1
    assert set(iterations) == {b"i=4096"}
    assert (
        Salts(b"key").of("nobody@x.pl")
        == Salts(b"key").of("nobody@x.pl")
        != Salts(b"other").of("nobody@x.pl")
    )


@pytest.mark.parametrize(
    ("password", "prepared"),
    [
        # RFC 4013 section 3.
        ("I\u00adX", b"IX"),
        ("user", b"user"),
        ("USER", b"USER"),
        ("\u00aa", b"a"),
        ("\u2168", b"IX"),
        ("a\u00a0b", b"a b"),
    ],
)
def test_saslprep(password: str, prepared: bytes) -> None:
    assert scram.saslprep(password.encode()) == prepared


def test_saslprep_leaves_other_octets_alone() -> None:
    assert scram.saslprep(b"za\xbf\xf3\xb3\xe6") == b"za\xbf\xf3\xb3\xe6"


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=80), st.binary(max_size=80))
def test_no_words_of_a_client_raise(first: bytes, final: bytes) -> None:
    for said in ((RFC[0], RFC[1], final), (RFC[0], final, RFC[2])):
        assert scram.final_message(credentials(*said), scram.NOBODY) is None


@pytest.mark.parametrize("said", [(), (b"",), (b"x", b"y", b"z")])
def test_an_exchange_that_no_client_can_have_had_is_a_damaged_request(said: tuple[bytes, ...]) -> None:
    with pytest.raises(ValueError, match="not a first message"):
        Chain((), NameSettings(), Log("test", to_stderr=False)).decide(credentials(*said))
