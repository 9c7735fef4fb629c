"""Stored password forms, with vectors made by other programs."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from tpop3d_py.auth import passwords

# From md5sum, sha1sum, openssl passwd -1/-5/-6, mkpasswd (des, bcrypt, yescrypt), and MySQL 4.0's PASSWORD().
VECTORS = [
    ("900150983cd24fb0d6963f7d28e17f72", b"abc"),
    ("900150983CD24FB0D6963F7D28E17F72", b"abc"),
    ("{md5}900150983cd24fb0d6963f7d28e17f72", b"abc"),
    ("{MD5}kAFQmDzST7DWlj99KOF/cg==", b"abc"),
    ("{sha1}a9993e364706816aba3e25717850c26c9cd0d89d", b"abc"),
    ("{sha1}qZk+NkcGgWq6PiVxeFDCbJzQ2J0=", b"abc"),
    ("{plaintext}haslo_lusera", b"haslo_lusera"),
    ("{crypt}$2b$05$abcdefghijklmnopqrstuuBL9.K1AKOTpNEQzhwp8U0UiCFiQON86", b"haslo"),
    ("{crypt}$y$j9T$F5Jx5fExrKuPp53xLKQ..1$1tetAMUDi8jNBhkSjCpnQ32B5szBpzaLi9jeF2dC1F5", b"haslo"),
    ("{crypt}$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/", b"password"),
    ("{crypt_md5}$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/", b"password"),
    ("$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/", b"password"),
]


@pytest.mark.parametrize(("stored", "password"), VECTORS)
def test_known_forms(stored: str, password: bytes) -> None:
    assert passwords.verify(stored, password)
    assert not passwords.verify(stored, password + b"x")
    assert not passwords.verify(stored, b"")


def test_old_mysql_form_whole_and_cut_to_eight_digits() -> None:
    # MySQL 3.23: SELECT PASSWORD('mypass')
    assert passwords.verify("{mysql}6f8c114b58f2ce9e", b"mypass")
    assert passwords.verify("{mysql}6f8c114b", b"mypass")
    assert not passwords.verify("{mysql}6f8c114c", b"mypass")
    assert not passwords.verify("{mysql}6f8c", b"mypass")


def test_no_form_needs_a_file_that_is_read_at_its_first_use() -> None:
    # A daemon that has given root up may not reach the folder it was started from.
    forms = [*(stored for stored, _ in VECTORS), "{mysql}6f8c114b58f2ce9e", "{crypt}ab01FAX.bQRSU"]
    program = f"""
import sys
from tpop3d_py.auth import passwords
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


@pytest.mark.parametrize("bad", ["", "a\0b", "a\nb", "a\rb", "x" * 513])
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


@pytest.mark.parametrize("stored", ["{rot13}nop", "{ssha}abc", "$9$unknown", "{crypt}$y$j9T$x$y"])
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
