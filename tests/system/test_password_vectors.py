"""Stored passwords as other programs make them, new in each run, and ours as other programs check them."""

from __future__ import annotations

import subprocess

import pytest

from tests.system.support.processes import program
from tpop3d_py.auth import passwords

PASSWORD = "zażółć hasło"
pytestmark = pytest.mark.usefixtures("system")


def say(*command: str) -> str:
    """Return what a program prints, without line ends."""
    done = subprocess.run(
        [program(command[0]), *command[1:]], capture_output=True, text=True, check=True, timeout=20
    )
    return done.stdout.strip()


def check(stored: str, password: str = PASSWORD) -> None:
    assert passwords.verify(stored, password.encode()), stored
    assert not passwords.verify(stored, b"x" + password.encode()), stored


@pytest.mark.parametrize(
    "scheme",
    [
        "PLAIN",
        "CLEARTEXT",
        "SSHA",
        "SSHA256",
        "SSHA512",
        "SHA",
        "SHA1",
        "SHA256",
        "SHA512",
        "SMD5",
        "LDAP-MD5",
        "PLAIN-MD5",
        "MD5",
        "MD5-CRYPT",
        "SHA256-CRYPT",
        "SHA512-CRYPT",
        "BLF-CRYPT",
        "CRYPT",
        "DES-CRYPT",
        "ARGON2I",
        "ARGON2ID",
        "PBKDF2",
        "SCRAM-SHA-1",
        "SCRAM-SHA-256",
        "PLAIN.B64",
        "PLAIN.HEX",
        "SSHA.HEX",
        "SSHA512.B64",
        "SHA256.HEX",
        "PLAIN-MD5.B64",
        "CRYPT.B64",
    ],
)
def test_doveadm_pw(scheme: str) -> None:
    check(say("doveadm", "pw", "-s", scheme, "-p", PASSWORD))


@pytest.mark.parametrize("scheme", ["argon2id", "blf-crypt", "sha512-crypt", "scram-sha-256"])
def test_doveadm_checks_ours(scheme: str) -> None:
    stored = passwords.make_hash(PASSWORD, scheme)
    assert "verified" in say("doveadm", "pw", "-t", stored, "-p", PASSWORD)


@pytest.mark.parametrize(
    "method",
    [
        "yescrypt",
        "gost-yescrypt",
        "scrypt",
        "bcrypt",
        "bcrypt-a",
        "sha512crypt",
        "sha256crypt",
        "sunmd5",
        "md5crypt",
        "bsdicrypt",
        "descrypt",
        "nt",
    ],
)
def test_mkpasswd(method: str) -> None:
    stored = say("mkpasswd", "-m", method, "haslo")
    check("{crypt}" + stored, "haslo")


@pytest.mark.parametrize("rounds", ["1000", "100000"])
def test_mkpasswd_with_rounds(rounds: str) -> None:
    check(say("mkpasswd", "-m", "sha512crypt", "-R", rounds, PASSWORD))


@pytest.mark.parametrize(
    ("method", "cost"), [("bcrypt", "13"), ("yescrypt", "8"), ("sha512crypt", "2000000")]
)
def test_what_takes_too_long_is_not_even_begun(method: str, cost: str) -> None:
    stored = say("mkpasswd", "-m", method, "-R", cost, "haslo")
    with pytest.raises(passwords.TooCostly):
        passwords.verify("{crypt}" + stored, b"haslo")


@pytest.mark.parametrize("option", ["-1", "-5", "-6", "-apr1"])
def test_openssl_passwd(option: str) -> None:
    check(say("openssl", "passwd", option, PASSWORD))


@pytest.mark.parametrize("option", ["-m", "-B", "-s", "-d", "-2", "-5"])
def test_htpasswd(option: str) -> None:
    password = "haslo" if option == "-d" else PASSWORD
    stored = say("htpasswd", "-nb", option, "x", password).partition(":")[2]
    check("{crypt}" + stored if option == "-d" else stored, password)


@pytest.mark.parametrize("scheme", ["SSHA", "SMD5", "SHA", "MD5"])
def test_slappasswd(scheme: str) -> None:
    check(say("slappasswd", "-h", f"{{{scheme}}}", "-s", PASSWORD))


@pytest.mark.parametrize("scheme", ["SSHA256", "SHA256", "SSHA512", "SHA512", "SHA384"])
def test_slappasswd_with_its_module(scheme: str) -> None:
    stored = say("slappasswd", "-o", "module-load=pw-sha2", "-h", f"{{{scheme}}}", "-s", PASSWORD)
    if scheme == "SHA384":
        with pytest.raises(passwords.UnknownScheme):
            passwords.verify(stored, PASSWORD.encode())
    else:
        check(stored)


def test_slappasswd_with_argon2() -> None:
    command = [
        "slappasswd",
        "-o",
        "module-load=argon2",
        "-o",
        "module-path=/usr/lib/ldap",
        "-h",
        "{ARGON2}",
        "-s",
    ]
    check(say(*command, PASSWORD))


def test_the_servers_own_functions(sql_mysql: object) -> None:
    [(old, new)] = sql_mysql.execute("SELECT OLD_PASSWORD('haslo'), PASSWORD('haslo')")  # type: ignore[attr-defined]
    check("{mysql}" + old, "haslo")
    check("{mysql}" + old[:8], "haslo")
    check("{mysql}" + new, "haslo")
