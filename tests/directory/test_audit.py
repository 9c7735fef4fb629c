from __future__ import annotations

from collections.abc import Sequence

import pytest

from tpop3d_py.directory.audit import examine

DOMAIN = ("klient1.pl", "vmail", "/m/klient1.pl")
BOX = ("klient1.pl", "luser", "luser")
FORWARDER = ("klient1.pl", "info", "luser@klient1.pl")
SESSION = ("0123", "klient1.pl")

FAULTS = [
    ("domain", (None, "vmail", "/m"), "NULL"),
    ("domain", ("Klient2.pl", "vmail", "/m"), "capitals"),
    ("domain", DOMAIN, "2 rows with one key: 'klient1.pl'"),
    ("popbox", (None, "luser", "luser"), "NULL"),
    ("popbox", ("klient1.pl", None, "luser"), "NULL"),
    ("popbox", ("klient1.pl", "luser", "other"), "2 rows with one key: 'klient1.pl', 'luser'"),
    ("popbox", ("klient1.pl", "LUser", "luser"), "capitals"),
    ("popbox", ("klient1.pl", "luser ", "luser"), "blanks"),
    ("popbox", ("gone.pl", "luser", "luser"), "does not exist: gone.pl"),
    ("popbox", ("klient1.pl ", "x", "x"), "blanks"),
    ("forwarder", ("klient1.pl", "info", None), "NULL"),
    ("forwarder", FORWARDER, "2 rows with one key"),
    ("forwarder", ("gone.pl", "info", "a@b.pl"), "does not exist"),
    ("forwarder", ("klient1.pl", "Info", "a@b.pl"), "capitals"),
    ("web_session", (None, "klient1.pl"), "NULL"),
    ("web_session", SESSION, "2 rows"),
    ("web_session", ("4567", "gone.pl"), "does not exist"),
]

WARNINGS = [
    ("domain", ("klient2.pl", None, "/m"), "no Unix user"),
    ("domain", ("klient2.pl", "vmail", ""), "no directory"),
    ("popbox", ("klient1.pl", "żółw", "x"), "must be ASCII"),
    ("popbox", ("klient1.pl", "a", "../b"), "one file name"),
    ("popbox", ("klient1.pl", "a", None), "must not be empty"),
    ("popbox", ("klient1.pl", "a\x1b[31mb", "b"), "control"),
    ("forwarder", ("klient1.pl", "a", "|/bin/sh"), "must be an address"),
    ("forwarder", ("klient1.pl", "a", ":include:/etc/passwd"), "must be an address"),
]

#: None of these is remarkable.
FINE = [
    ("popbox", ("klient1.pl", "o'hara", "o'hara/")),
    ("popbox", ("klient1.pl", "jan.kowalczyk", "jan")),
    ("forwarder", ("klient1.pl", "_default_", "luser")),
    ("forwarder", ("klient1.pl", "info", "Other@przyklad.pl")),
    ("forwarder", ("klient1.pl", "luser", "luser@klient1.pl")),
    ("web_session", ("4567", None)),
    ("web_session", ("ABCDEF", "klient1.pl")),
]


def _tables(table: str, row: Sequence[str | None]) -> dict[str, list[Sequence[str | None]]]:
    tables: dict[str, list[Sequence[str | None]]] = {
        "domain": [DOMAIN],
        "popbox": [BOX],
        "forwarder": [FORWARDER],
        "web_session": [SESSION],
    }
    tables[table].append(row)
    return tables


@pytest.mark.parametrize(("table", "row", "text"), FAULTS)
def test_a_row_that_a_key_refuses_or_that_would_stop_working_is_a_fault(
    table: str, row: Sequence[str | None], text: str
) -> None:
    found = [finding for finding in examine(_tables(table, row)) if finding.fatal]
    assert [finding for finding in found if finding.table == table and text in finding.text]
    assert all(str(finding).isprintable() for finding in found)


@pytest.mark.parametrize(("table", "row", "text"), WARNINGS)
def test_a_row_that_is_no_worse_afterwards_is_a_warning(
    table: str, row: Sequence[str | None], text: str
) -> None:
    found = examine(_tables(table, row))
    assert [(finding.table, finding.fatal) for finding in found] == [(table, False)]
    assert text in found[0].text
    assert str(found[0]).isprintable()


@pytest.mark.parametrize(("table", "row"), FINE)
def test_a_usual_row_is_not_mentioned(table: str, row: Sequence[str | None]) -> None:
    assert examine(_tables(table, row)) == []


def test_all_faults_are_listed_at_once() -> None:
    tables = {"domain": [DOMAIN, DOMAIN], "popbox": [BOX, BOX, ("gone.pl", "X", "x")]}
    assert len([finding for finding in examine(tables) if finding.fatal]) == 4
