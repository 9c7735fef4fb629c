"""With a million popboxes a login costs no more than with a thousand: two rows are read, by their keys."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, Engine

from tests.system.support.mariadb import PASSWORD, USER, Mariadb
from tests.system.support.pop3d import new_directory
from tpop3d_py.directory import statements
from tpop3d_py.directory.engine import engine_for
from tpop3d_py.directory.lookup import LoginLookup

_PER_DOMAIN = 1000


@dataclass(frozen=True, slots=True)
class Filled:
    """A directory with many boxes."""

    boxes: int
    engine: Engine

    @property
    def domains(self) -> int:
        return self.boxes // _PER_DOMAIN

    def ask(self, sql: str, **values: str) -> list[tuple[Any, ...]]:
        connection = self.engine.raw_connection()
        try:
            cursor = connection.cursor()
            cursor.execute(sql, values or None)
            return list(cursor.fetchall())
        finally:
            connection.close()

    def read(self, local_part: str, domain: str) -> dict[str, int]:
        """Find a box in a session of its own; return what the server read from the tables for that."""
        sql = str(statements.login().compile(dialect=self.engine.dialect))
        connection = self.engine.raw_connection()
        try:
            cursor = connection.cursor()
            counts = []
            for asked in (False, False, True):
                if asked:
                    cursor.execute(sql, {"local_part": local_part, "domain_name": domain})
                    cursor.fetchall()
                cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
                counts.append({name: int(count) for name, count in cursor.fetchall()})
            first, second, third = counts
            # Looking at the counts is counted too.
            return {name: third[name] - second[name] - (second[name] - first[name]) for name in first}
        finally:
            connection.close()


def _fill(area: Path, mariadb: Mariadb, boxes: int) -> Filled:
    database = f"boxes{boxes}"
    new_directory(area / database, mariadb, database)
    mariadb.execute(
        "INSERT INTO domain (domain_name, unix_user, path) SELECT CONCAT('d', LPAD(seq, 4, '0'), '.pl'),"
        f" 'vmail', CONCAT('/m/', seq) FROM seq_0_to_{boxes // _PER_DOMAIN - 1}",
        database=database,
    )
    # In the order of the key, so that the table is written once and from front to back.
    mariadb.execute(
        "INSERT INTO popbox (domain_name, local_part, password_hash, mbox_name)"
        f" SELECT CONCAT('d', LPAD(seq DIV {_PER_DOMAIN}, 4, '0'), '.pl'),"
        f" CONCAT('u', LPAD(seq MOD {_PER_DOMAIN}, 4, '0')), MD5(seq), CONCAT('u', seq, '/')"
        f" FROM seq_0_to_{boxes - 1}",
        database=database,
    )
    mariadb.execute("ANALYZE TABLE domain, popbox", database=database)
    url = URL.create("mysql+pymysql", USER, PASSWORD, mariadb.host, mariadb.port, database)
    return Filled(boxes, engine_for(url))


@pytest.fixture(scope="module")
def filled(area: Path, mariadb: Mariadb) -> Iterator[list[Filled]]:
    many = [_fill(area, mariadb, boxes) for boxes in (1000, 1_000_000)]
    yield many
    for one in many:
        mariadb.execute(f"DROP DATABASE boxes{one.boxes}")


def test_all_are_found_and_no_other(filled: list[Filled]) -> None:
    for directory in filled:
        assert directory.ask("SELECT COUNT(*) FROM popbox") == [(directory.boxes,)]
        lookup = LoginLookup(directory.engine)
        last = directory.domains - 1
        row = lookup.find("U0999", f"d{last:04}.pl")
        assert row is not None
        assert (row.path, row.mbox_name) == (f"/m/{last}", f"u{directory.boxes - 1}/")
        assert lookup.find("u1000", f"d{last:04}.pl") is None
        assert lookup.find("u0999", f"d{directory.domains:04}.pl") is None
        lookup.close()


def test_the_server_means_to_use_the_whole_keys(filled: list[Filled]) -> None:
    for directory in filled:
        sql = str(statements.login().compile(dialect=directory.engine.dialect))
        plan = directory.ask(f"EXPLAIN {sql}", local_part="u0500", domain_name="d0000.pl")
        # id, select_type, table, type, possible_keys, key, key_len, ref, rows, Extra
        told = {row[2]: (row[3], row[5], row[7], int(row[8])) for row in plan}
        assert told == {
            "domain": ("const", "PRIMARY", "const", 1),
            "popbox": ("const", "PRIMARY", "const,const", 1),
        }


@pytest.mark.parametrize(
    ("local_part", "domain"), [("u0500", "d0000.pl"), ("nobody", "d0000.pl"), ("u0500", "no.pl")]
)
def test_the_server_reads_as_much_of_a_million_as_of_a_thousand(
    filled: list[Filled], local_part: str, domain: str
) -> None:
    small, large = (directory.read(local_part, domain) for directory in filled)
    assert small == large
    assert 1 <= large.pop("Handler_read_key") <= 2
    assert set(large.values()) == {0}, "nothing is read row by row"
