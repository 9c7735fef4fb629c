"""How passwords are stored, counted."""

from __future__ import annotations

import json
import sqlite3

import pytest

from tests.cli.shell import Shell

STORED = [
    "900150983cd24fb0d6963f7d28e17f72",
    "{md5}900150983cd24fb0d6963f7d28e17f72",
    "{ARGON2ID}$argon2id$v=19$m=19456,t=2,p=1$a$b",
    "{plaintext}haslo",
    "{SCRAM-SHA-256}4096,a,b,c",
    "{crypt}$6$a$b",
    "{rot13}unyfb",
    None,
]
PAGE = """\
scheme                   boxes   domains
MD5                          2         0  weak
ARGON2                       1         0
PLAIN                        1         0  APOP, SCRAM
SCRAM-SHA-256                1         0  SCRAM
SHA512-CRYPT                 1         0
no password                  1         0
{ROT13}                      1         0  weak
BLF-CRYPT                    0         1
"""


@pytest.fixture
def filled(shell: Shell) -> Shell:
    with sqlite3.connect(shell.folder / "vmail.db") as rows:
        rows.execute("INSERT INTO domain VALUES ('klient1.pl', 'vmail', '{BLF-CRYPT}$2y$05$x', '/m', 50)")
        for number, stored in enumerate(STORED):
            rows.execute("INSERT INTO popbox VALUES ('klient1.pl', ?, ?, 'x')", (f"box{number}", stored))
    return shell


def test_a_page_for_people(filled: Shell) -> None:
    outcome = filled("vmail passwords report")
    assert (outcome.code, outcome.out, outcome.err) == (0, PAGE, "")


def test_the_same_for_programs(filled: Shell) -> None:
    facts = json.loads(filled("vmail passwords report --json").out)
    assert facts["domains"] == [
        {"scheme": "BLF-CRYPT", "count": 1, "weak": False, "apop": False, "scram": False}
    ]
    assert facts["boxes"][0] == {"scheme": "MD5", "count": 2, "weak": True, "apop": False, "scram": False}
    assert sum(kind["count"] for kind in facts["boxes"]) == len(STORED)


def test_nothing_of_a_password_is_shown(filled: Shell) -> None:
    for line in ("vmail passwords report", "vmail passwords report --json"):
        out = filled(line).out
        assert not any(secret in out for secret in ("haslo", "unyfb", "9001", "box1"))


def test_an_empty_directory(shell: Shell) -> None:
    assert shell("vmail passwords report").out == "scheme                   boxes   domains\n"
