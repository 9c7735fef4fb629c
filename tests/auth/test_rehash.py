"""New forms for old passwords."""

from __future__ import annotations

import pytest

from tpop3d_py.auth import passwords
from tpop3d_py.auth.chores import Chores
from tpop3d_py.auth.rehash import Rehash
from tpop3d_py.directory.errors import DirectoryUnavailable
from tpop3d_py.log import Log

MD5 = "900150983cd24fb0d6963f7d28e17f72"  # of abc
SHA512_CRYPT = "{SHA512-CRYPT}$6$a$b"


class Store:
    def __init__(self) -> None:
        self.calls: list[tuple[str, str, str, str]] = []
        self.fails = False

    def replace_password(self, local_part: str, domain: str, old: str, new: str) -> None:
        self.calls.append((local_part, domain, old, new))
        if self.fails:
            raise DirectoryUnavailable("the server is read-only")


class Site:
    def __init__(self, which: str, scheme: str = "argon2id") -> None:
        log = Log("test", to_stderr=True)
        self.store, self.chores = Store(), Chores(log)
        self.rehash = Rehash(which, scheme, self.store, self.chores, log)

    def log_in(self, stored: str, password: bytes = b"abc") -> None:
        self.rehash.consider("Jan", "klient1.pl", stored, password)
        while self.chores:
            self.chores.do_one()

    def replaces(self, stored: str) -> bool:
        self.store.calls.clear()
        self.log_in(stored)
        return bool(self.store.calls)


def test_which_forms_are_replaced() -> None:
    argon2 = passwords.make_hash("abc")
    forms = (MD5, "{crypt}yLrEuHC9gqNxs", SHA512_CRYPT, "{plaintext}abc", argon2)
    for which, expected in (
        ("no", [False] * 5),
        ("weak", [True, True, False, False, False]),
        ("all", [True, True, True, True, False]),
    ):
        site = Site(which)
        assert [site.replaces(stored) for stored in forms] == expected, which


@pytest.mark.parametrize("scheme", ["argon2id", "scram-sha-256"])
def test_the_new_form_is_of_the_same_password(scheme: str, capfd: pytest.CaptureFixture[str]) -> None:
    site = Site("weak", scheme)
    site.log_in(MD5)
    [(local_part, domain, old, new)] = site.store.calls
    assert (local_part, domain, old) == ("Jan", "klient1.pl", MD5)
    assert passwords.is_current(new, scheme)
    assert passwords.verify(new, b"abc")
    said = capfd.readouterr().err
    assert f"the password of jan@klient1.pl is stored as {scheme} now" in said
    assert "abc" not in said


def test_a_directory_that_may_only_be_read_costs_one_line(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr("tpop3d_py.auth.rehash.time.monotonic", lambda: now[0])
    site = Site("weak")
    site.store.fails = True
    for _ in range(5):
        site.log_in(MD5)
    assert len(site.store.calls) == 1
    now[0] += 61
    site.log_in(MD5)
    assert len(site.store.calls) == 2
    assert capfd.readouterr().err.count("read-only") == 1
    site.store.fails = False
    now[0] += 61
    site.log_in(MD5)
    assert "is stored as argon2id now" in capfd.readouterr().err


def test_nothing_is_made_before_the_login_is_answered() -> None:
    site = Site("weak")
    site.rehash.consider("Jan", "klient1.pl", MD5, b"abc")
    assert site.chores
    assert site.store.calls == []


@pytest.mark.parametrize("password", [b"x" * 80, b"\xff"])
def test_a_password_that_the_new_scheme_cannot_hold_stays(password: bytes) -> None:
    site = Site("weak", "blf-crypt")
    site.log_in(MD5, password)
    assert site.store.calls == []


def test_a_plain_form_too_long_for_the_column_is_not_stored() -> None:
    site = Site("all", "plaintext")
    site.log_in(MD5, b"x" * 250)
    assert site.store.calls == []
