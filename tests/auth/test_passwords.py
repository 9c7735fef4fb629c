"""Stored password forms, with vectors made by other programs."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tpop3d_py.auth import passwords, schemes, schemes_crypt

POLISH = "zażółć haslo".encode()

# Made by other programs; tests/system/test_password_vectors.py makes new ones.
VECTORS = [
    # md5sum, sha1sum, and base64 of them
    ("900150983cd24fb0d6963f7d28e17f72", b"abc"),
    ("900150983CD24FB0D6963F7D28E17F72", b"abc"),
    ("kAFQmDzST7DWlj99KOF/cg==", b"abc"),
    ("{md5}900150983cd24fb0d6963f7d28e17f72", b"abc"),
    ("{MD5}kAFQmDzST7DWlj99KOF/cg==", b"abc"),
    ("{sha1}a9993e364706816aba3e25717850c26c9cd0d89d", b"abc"),
    ("{sha1}qZk+NkcGgWq6PiVxeFDCbJzQ2J0=", b"abc"),
    # MySQL 3.23: SELECT PASSWORD('mypass'), whole and as an old column cuts it; MySQL 4.1
    ("{mysql}6f8c114b58f2ce9e", b"mypass"),
    ("{mysql}6F8C114B58F2CE9E", b"mypass"),
    ("{mysql}6f8c114b", b"mypass"),
    ("{mysql}*6C8989366EAF75BB670AD8EA7A7FC1176A95CEF4", b"mypass"),
    # openssl passwd
    ("{crypt}$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/", b"password"),
    ("{crypt_md5}$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/", b"password"),
    ("$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/", b"password"),
    # mkpasswd
    ("{crypt}$2b$05$abcdefghijklmnopqrstuuBL9.K1AKOTpNEQzhwp8U0UiCFiQON86", b"haslo"),
    ("{crypt}$y$j9T$F5Jx5fExrKuPp53xLKQ..1$1tetAMUDi8jNBhkSjCpnQ32B5szBpzaLi9jeF2dC1F5", b"haslo"),
    ("{crypt}$gy$j9T$8BPHedW0YUNl0R8pohAuS/$M4eQjgsnJT4o3MuxONbdZiqlq9X0gf8MC3dWA.W/Pq0", b"haslo"),
    ("{crypt}$7$CU..../....bafF0p4ZJZbRYKP4hwTOF0$O.opSBH7AmWd6TjFbQYRnx2z8KDmphDTJKRJLhYu0V8", b"haslo"),
    ("{crypt}$5$AhRh0ekKzWKM0WJZ$Y2UPd66j3TTMxvEogQu23P85QRl9lAaLpg8ZLE4WaY8", b"haslo"),
    ("{crypt}$md5,rounds=75875$PLNYhxue$$rj1o7.iCXZCoeHajXM9fg.", b"haslo"),
    ("{crypt}_J9..oGUDdbLiPESQ9g.", b"haslo"),
    ("{DES-CRYPT}yLrEuHC9gqNxs", b"haslo"),
    ("{crypt}$3$$adf3eaed19a925d0f5249a1da1a7a432", b"haslo"),
    ("{NTLM}ADF3EAED19A925D0F5249A1DA1A7A432", b"haslo"),
    # htpasswd
    ("{crypt}$2y$06$1aQSTECvOt3bEqSssn6nvup2DUebC9A.5TCqHP6Jo/yBpiUddcGKm", POLISH),
    ("$apr1$Ffv84UYR$0wAw3kN7hUw.0lkKcO5xL.", POLISH),
    ("{SHA}eU52Epwlj3EaIiRQqWdS8Q6gGf4=", POLISH),
    # slappasswd
    ("{SSHA}Z+gjaTtBTZX6epFLujERpq0joK7Nwzz6", POLISH),
    ("{SMD5}UwfupTNOsXSMIqWyKLyxFgP6U8E=", POLISH),
    (
        "{SSHA512}ucn6fMsHz+qM9fh+fPOzMvIg4CXeoO9UpixdMprt8EucPu9h1Uw/NC5Vnc9Z/X30QPuUbrrOzyQ0SjVPqk1DMFkz"
        "VI3NWaE/",
        POLISH,
    ),
    ("{CRYPT}JgJsnCe6GOdv.VoPsY3W8sT.", POLISH),
    # doveadm pw
    ("{PLAIN}zażółć haslo", POLISH),
    ("{CLEARTEXT}zażółć haslo", POLISH),
    ("{PLAIN.B64}emHFvMOzxYLEhyBoYXNsbw==", POLISH),
    ("{plain.hex}7a61c5bcc3b3c582c487206861736c6f", POLISH),
    ("{SSHA.HEX}9bb6ee5c56f9bc0f3a0bf9d1ace983ad24dd5d4a30840f2f", POLISH),
    ("{SSHA256}Hv1wGdQorJlMMlm3wf36Hb4xnB0riqRGPSgkhCz1Na7MYUmd", POLISH),
    ("{SHA256}s243wlgEf/x0R+WrjjWSpHPNEi0v5YwQS0ddmtoC9g0=", POLISH),
    ("{SHA256.HEX}b36e37c258047ffc7447e5ab8e3592a473cd122d2fe58c104b475d9ada02f60d", POLISH),
    (
        "{SHA512}U+FN2PooclUmTOZRr/eDNIjL8aUezF9J+LCW9G7X+LAs071xXbwSbwZ/d2USnVfcwBaymsg29MLvbxkC+cSwWg==",
        POLISH,
    ),
    ("{LDAP-MD5}dNKINNSgGv1jke1y6C217w==", POLISH),
    ("{PLAIN-MD5}74d28834d4a01afd6391ed72e82db5ef", POLISH),
    ("{PLAIN-MD5.B64}dNKINNSgGv1jke1y6C217w==", POLISH),
    ("{MD5}$1$maI.ENUl$3mQRmjSMA.lO0wwvgzVnq1", POLISH),
    ("{MD5-CRYPT}$1$dQ.s7B6E$DTSPLVqcV3eNL0MqFdbcE/", POLISH),
    ("{SHA256-CRYPT}$5$pv5KFm2XqHAqZQK0$4EyMH2M3ZhpyYDtgAWa3hmoZm2m4nB0HWuFk12oyq.B", POLISH),
    ("{BLF-CRYPT}$2y$05$mCVcwjjVGPFDx1B5bEEFkeEeSJEElvZPFZzUjiA/jT5VJwbVswHM6", POLISH),
    (
        "{ARGON2I}$argon2i$v=19$m=32768,t=4,p=1$dNq9I5yyhwUuBOVXIPMQ/Q$"
        "edrWMVo3tiRlOAzGtXo0lO0MqCbCKNru1+Op3K7mSdo",
        POLISH,
    ),
    (
        "{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$vDaBMUs4JDj3oH9B3LGWxw$"
        "WutJbVWS0vkLO1KxOYl69acNNIZSzKDsk6Nd3tAlwEA",
        POLISH,
    ),
    ("{PBKDF2}$1$YUEpJO.8Fzcasf7O$5000$52e02c840d1679a726117ef927f68088007822bd", POLISH),
    (
        "{SCRAM-SHA-256}4096,E269jd1527na5NiFW6JDyQ==,6Ki+JM91iuxC75203jo5/aK2wXj/tB6J4SlnlWVhiIg=,"
        "+UiIbbsolnH4SdJjS1hozHCsxAz84n92XzONfnitKY8=",
        POLISH,
    ),
    (
        "{SCRAM-SHA-1}4096,yZK9UO7ZUGXmXVTDWpwuJw==,V/i2AAyoaFGz9yR/T7HanQqKKEc=,"
        "dm6Q3skeIvsuE8O7eadIm/MNhjU=",
        POLISH,
    ),
    # openssl kdf, written as OpenLDAP's pw-pbkdf2 writes it
    ("{PBKDF2}6400$c2FsdHNhbHRzYWx0c2FsdA$kDMUtKV9QkirFT1UsqlewFizRm0", b"password"),
    ("{PBKDF2-SHA256}6400$c2FsdHNhbHRzYWx0c2FsdA$SjugYu7ZPm/2vgGhvpJO5OhTJOckhO77BQUaCnLK3cs", b"password"),
    (
        "{PBKDF2-SHA512}6400$c2FsdHNhbHRzYWx0c2FsdA$"
        "ju27oQSyN6c2TmlhXUho7bSCyOV5/Pl6ilQuhArwaAPDYIFO.oCDd2YbiVdksT9jYSY0GCeRnx4RLV.CQtxlJQ",
        b"password",
    ),
    ("{plaintext}haslo_lusera", b"haslo_lusera"),
]


@pytest.mark.parametrize(("stored", "password"), VECTORS)
def test_known_forms(stored: str, password: bytes) -> None:
    assert passwords.verify(stored, password)
    assert not passwords.verify(stored, password + b"x")
    assert not passwords.verify(stored, b"")


@pytest.mark.parametrize("stored", ["{mysql}6f8c114c", "{mysql}6f8c", "{mysql}*6C8989366EAF75BB", "{mysql}*"])
def test_what_is_no_mysql_password_matches_nothing(stored: str) -> None:
    assert not passwords.verify(stored, b"mypass")


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        ("{crypt}$2b$13$abcdefghijklmnopqrstuuBL9.K1AKOTpNEQzhwp8U0UiCFiQON86", "13 as its cost"),
        ("$6$rounds=1000001$abc$x", "1000001 rounds"),
        ("$5$rounds=999999999$abc$x", "999999999 rounds"),
        ("$sha1$1000001$abc$x", "1000001 rounds"),
        ("$md5,rounds=1000001$abc$$x", "1000001 rounds"),
        ("{crypt}_zzzzabcdefghijklmno", "16777215 rounds"),
        ("{crypt}$y$jCT$F5Jx5fExrKuPp53xLKQ..1$1tet", "131072 KiB"),
        ("{crypt}$y$j9k$F5Jx5fExrKuPp53xLKQ..1$1tet", "unusual"),
        ("{crypt}$y$j9T..$F5Jx5fExrKuPp53xLKQ..1$1tet", "unusual"),
        ("{crypt}$7$DU..../....bafF0p4ZJZbRYKP4hwTOF0$O", "131072 KiB"),
        ("{crypt}$7$CU....z....bafF0p4ZJZbRYKP4hwTOF0$O", "63 lanes"),
        (
            "{ARGON2ID}$argon2id$v=19$m=65537,t=3,p=1$vDaBMUs4JDj3oH9B3LGWxw$WutJbVWS0vkLO1KxOYl69acN",
            "65537 KiB",
        ),
        (
            "{ARGON2ID}$argon2id$v=19$m=65536,t=5,p=1$vDaBMUs4JDj3oH9B3LGWxw$WutJbVWS0vkLO1KxOYl69acN",
            "5 passes",
        ),
        ("$argon2id$v=19$m=65536,t=3,p=5$vDaBMUs4JDj3oH9B3LGWxw$WutJbVWS0vkLO1KxOYl69acN", "5 lanes"),
        ("{PBKDF2}$1$salt$1000001$00", "1000001 iterations"),
        (
            "{PBKDF2-SHA256}1000001$0ZrzXitFSGltTQnBWOsdeg$wbQVpAFcF4jLK.ThfQ1Sa0lMWUQTVvrrB4vZ8YzMOi4",
            "1000001 iterations",
        ),
    ],
)
def test_nobody_may_ask_for_too_much(stored: str, words: str) -> None:
    with pytest.raises(passwords.TooCostly, match=words):
        passwords.verify(stored, b"x")


def test_a_form_without_a_scheme_is_what_the_place_says() -> None:
    md5, des = "900150983cd24fb0d6963f7d28e17f72", "yLrEuHC9gqNxs"
    assert passwords.verify(md5, b"abc", passwords.BARE_MD5)
    assert not passwords.verify(md5, b"abc", passwords.BARE_CRYPT)
    assert passwords.verify(des, b"haslo", passwords.BARE_CRYPT)
    assert not passwords.verify(des, b"haslo", passwords.BARE_MD5)
    assert passwords.verify("{md5}" + md5, b"abc", passwords.BARE_CRYPT)


def test_old_forms_without_libcrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schemes_crypt, "_crypt", None)
    old = {"$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/": b"password", "{crypt}yLrEuHC9gqNxs": b"haslo"}
    for stored, password in old.items():
        assert passwords.verify(stored, password)
        assert not passwords.verify(stored, b"x")
    with pytest.raises(passwords.UnknownScheme):
        passwords.verify("{crypt}$2b$05$abcdefghijklmnopqrstuuBL9.K1AKOTpNEQzhwp8U0UiCFiQON86", b"haslo")


def test_no_form_needs_a_file_that_is_read_at_its_first_use() -> None:
    # A daemon that has given root up may not reach the folder it was started from.
    forms = [stored for stored, _ in VECTORS]
    program = f"""
import sys
from tpop3d_py.auth import passwords, schemes, schemes_crypt
passwords.burn_time(b"")
class OutOfReach:
    def find_spec(self, name, *_):
        raise AssertionError(name)
sys.meta_path.insert(0, OutOfReach())
for stored in {forms!r}:
    assert not passwords.verify(stored, b"wrong")
"""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("scheme", "begins"),
    [
        ("argon2id", "{ARGON2ID}$argon2id$v=19$m=19456,t=2,p=1$"),
        ("blf-crypt", "{BLF-CRYPT}$2b$10$"),
        ("sha512-crypt", "{SHA512-CRYPT}$6$rounds=100000$"),
        ("scram-sha-256", "{SCRAM-SHA-256}4096,"),
        ("plaintext", "{plaintext}zażółć"),
    ],
)
def test_new_passwords_of_each_scheme(scheme: str, begins: str) -> None:
    stored = passwords.make_hash("zażółć", scheme)
    assert stored.startswith(begins)
    assert passwords.verify(stored, "zażółć".encode())
    assert not passwords.verify(stored, b"zazolc")
    assert passwords.is_current(stored, scheme)
    assert len(stored) <= 255, "the column of Vmail-SQL"


def test_what_is_not_current_and_what_is_weak() -> None:
    argon2 = "{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$vDaBMUs4JDj3oH9B3LGWxw$WutJbVWS0vkLO1KxOYl69acN"
    bcrypt = "{BLF-CRYPT}$2y$05$mCVcwjjVGPFDx1B5bEEFkeEeSJEElvZPFZzUjiA/jT5VJwbVswHM6"
    md5 = "900150983cd24fb0d6963f7d28e17f72"
    for stored in (argon2, bcrypt, md5, "{plaintext}x", "{rot13}x", ""):
        assert not passwords.is_current(stored, "argon2id")
        assert not passwords.is_current(stored, "blf-crypt")
    for stored in (md5, "{SSHA}Z+gjaTtBTZX6epFLujERpq0joK7Nwzz6", "{crypt}yLrEuHC9gqNxs", "{NTLM}00"):
        assert passwords.is_weak(stored)
    for stored in (argon2, bcrypt, "{plaintext}x", "{rot13}x", "{crypt}*"):
        assert not passwords.is_weak(stored)


def test_bcrypt_takes_no_password_that_it_would_cut() -> None:
    passwords.make_hash("x" * 72, "blf-crypt")
    with pytest.raises(ValueError, match="72 octets"):
        passwords.make_hash("x" * 73, "blf-crypt")


@pytest.mark.parametrize("scheme", ["argon2id", "scram-sha-256", "sha512-crypt"])
def test_nobody_costs_what_new_passwords_cost(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords._Expected, "stored", "")
    passwords.expect(scheme)
    checked = []
    monkeypatch.setattr(passwords, "verify", lambda stored, password: checked.append((stored, password)))
    passwords.burn_time(b"x" * 600)
    [(stored, password)] = checked
    assert passwords.is_current(stored, scheme)
    assert password == b"x" * 512


def test_a_new_hash_is_argon2id_and_salted() -> None:
    one, two = passwords.make_hash("haslo_lusera"), passwords.make_hash("haslo_lusera")
    assert one.startswith("{ARGON2ID}$argon2id$v=19$")
    assert one != two
    for stored in (one, two, one.removeprefix("{ARGON2ID}")):
        assert passwords.verify(stored, b"haslo_lusera")
        assert not passwords.verify(stored, b"haslo_luser")


def test_a_password_is_octets() -> None:
    assert passwords.verify(passwords.make_hash("zażółć"), "zażółć".encode())
    assert passwords.verify(passwords.make_hash(" two words "), b" two words ")


@pytest.mark.parametrize("bad", ["", "a\0b", "a\nb", "a\rb", "x" * 513, "\udcff"])
def test_passwords_that_pop3_cannot_carry(bad: str) -> None:
    with pytest.raises(ValueError, match="password"):
        passwords.make_hash(bad)


@pytest.mark.parametrize(
    "damaged",
    [
        "",
        "x",
        "{md5}",
        "{md5}AAAAAAAAAAAAAAAAAAAAAA",
        "{md5}" + "g" * 32,
        "{crypt}",
        "{crypt}*",
        "{crypt}!",
        "{argon2id}$argon2id$broken",
        "{ARGON2ID}",
        "{SSHA}",
        "{SSHA}AAAA",
        "{SSHA256}" + "g" * 64,
        "{SSHA.HEX}abc",
        "{NTLM}abc",
        "{PBKDF2}",
        "{PBKDF2}$1$x$y$z",
        "{PBKDF2}$1$x$1000",
        "{PBKDF2-SHA512}1$2$3",
        "{SCRAM-SHA-1}4096,,,",
        "{mysql}",
        "{mysql}ł",
        "{md5}ł" + "0" * 31,
        "{BLF-CRYPT}",
    ],
)
def test_damaged_forms_match_nothing(damaged: str) -> None:
    for password in (b"", b"x", b"*", b"!", damaged.encode()):
        assert not passwords.verify(damaged, password)


def test_an_empty_password_matches_only_where_one_is_stored() -> None:
    # Whether that lets anybody in is for the chain to say.
    for stored in ("{plaintext}", "{md5}d41d8cd98f00b204e9800998ecf8427e"):
        assert passwords.verify(stored, b"")
        assert not passwords.verify(stored, b"x")


def test_the_form_that_let_anybody_in_does_not() -> None:
    # tpop3d 1.5.5 took any password for this one (reference 4.2).
    assert not passwords.verify("{md5}AAAAAAAAAAAAAAAAAAAAAA==", b"anything")


@pytest.mark.parametrize("stored", ["{rot13}nop", "{plain.b64}!", "$9$unknown", "{crypt}$y$j9T$x$y"])
def test_unknown_forms_are_a_fault_of_the_account(stored: str) -> None:
    with pytest.raises(passwords.UnknownScheme):
        passwords.verify(stored, b"x")


def test_apop_with_a_secret_that_is_not_ascii_prepared_or_not() -> None:
    for sent in ("łódź\u00a0IX", "łódź IX"):
        digest = hashlib.md5(b"<s@x>" + sent.encode()).hexdigest().encode()
        assert passwords.verify_apop("{plaintext}łódź\u00a0IX", b"<s@x>", digest)
    digest = hashlib.md5(b"<s@x>lodz IX").hexdigest().encode()
    assert not passwords.verify_apop("{plaintext}łódź\u00a0IX", b"<s@x>", digest)


def test_apop_digest_of_the_rfc() -> None:
    # RFC 1939 section 7, the example
    stamp, digest = b"<1896.697170952@dbc.mtview.ca.us>", b"c4c9334bac560ecc979e58001b3e22fb"
    assert passwords.verify_apop("{plaintext}tanstaaf", stamp, digest)
    assert passwords.verify_apop("{plaintext}tanstaaf", stamp, digest.upper())
    assert not passwords.verify_apop("{plaintext}tanstaaf", b"<1896.697170953@dbc.mtview.ca.us>", digest)
    assert not passwords.verify_apop(hashlib.md5(b"tanstaaf").hexdigest(), stamp, digest)
    assert not passwords.verify_apop("{plaintext}", stamp, hashlib.md5(stamp).hexdigest().encode())


@pytest.mark.parametrize(
    ("stored", "kind"),
    [
        ("", ("MD5", True)),
        ("{plain.b64}eA==", ("PLAIN", False)),
        ("{crypt}$6$a$b", ("SHA512-CRYPT", False)),
        ("$apr1$a$b", ("APR1-CRYPT", True)),
        ("{crypt}!", ("locked or damaged", False)),
        ("$argon2id$x", ("ARGON2", False)),
        ("{Rot13}x", ("{ROT13}", True)),
        ("{plain.hex}x", ("damaged", True)),
    ],
)
def test_what_a_report_calls_it(stored: str, kind: tuple[str, bool]) -> None:
    assert schemes.kind(schemes.read(stored)) == kind


_NUMBERS = st.one_of(
    st.integers(-3, 70_000).map(str),
    st.sampled_from(["", "1_0", "+1", "٣", "1e3", "0x10", "9" * 30, "2147483648", "4294967297", " 1"]),
)
_BASE64 = st.binary(max_size=40).map(lambda octets: base64.b64encode(octets).decode())
_RESTS = st.one_of(
    st.text(max_size=60),
    _BASE64,
    st.binary(max_size=40).map(bytes.hex),
    st.tuples(_NUMBERS, _BASE64, _BASE64, _BASE64).map(",".join),
    st.tuples(_NUMBERS, _BASE64, _BASE64).map("$".join),
    st.builds(lambda n, salt, rest: f"$1${salt}${n}${rest}", _NUMBERS, _BASE64, _BASE64),
    st.builds(lambda n, rest: f"$2y${n}${rest}", _NUMBERS, _BASE64),
    st.builds(lambda n, rest: f"$6$rounds={n}$abc${rest}", _NUMBERS, _BASE64),
    st.builds(
        lambda v, m, t, p, rest: f"$argon2id$v={v}$m={m},t={t},p={p}$c2FsdHNhbHQ${rest}",
        *[_NUMBERS] * 4,
        _BASE64,
    ),
    st.sampled_from([stored.partition("}")[2] for stored, _ in VECTORS]).flatmap(
        lambda rest: st.integers(0, len(rest)).map(lambda at: rest[:at])
    ),
)


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(["", *(f"{{{name}}}" for name in schemes.SCHEMES), "{PLAIN.B64}", "{SSHA.HEX}"]), _RESTS
)
@example("{pbkdf2}", "$1$salt$-1$00")
@example("{pbkdf2}", "$1$salt$0$00")
@example("{argon2id}", "$argon2id$v=19$m=1,t=0,p=0$c2FsdHNhbHQ$AAAA")
def test_whatever_is_stored_the_answer_is_no_or_that_it_cannot_be_checked(scheme: str, rest: str) -> None:
    with contextlib.suppress(passwords.UnknownScheme, passwords.TooCostly):
        assert not passwords.verify(scheme + rest, b"nobody has this password")
