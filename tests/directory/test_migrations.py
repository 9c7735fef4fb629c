from __future__ import annotations

import re
import shutil
import sqlite3
import stat
from pathlib import Path

import pytest
from sqlalchemy import inspect

from tpop3d_py.directory import migrations
from tpop3d_py.directory.engine import Directory, location
from tpop3d_py.directory.errors import DirectoryUnavailable, Refused
from tpop3d_py.directory.schema import metadata

ORIGINAL = """
CREATE TABLE domain (domain_name TEXT, unix_user TEXT, password_hash TEXT, path TEXT, max_popbox INT);
CREATE TABLE popbox (domain_name TEXT, local_part TEXT, password_hash TEXT, mbox_name TEXT);
CREATE TABLE forwarder (domain_name TEXT, local_part TEXT, remote_name TEXT);
INSERT INTO domain VALUES ('klient1.pl', 'vmail', 'd41d8', '/m/klient1.pl', 50);
INSERT INTO domain VALUES ('żółw.pl', 'vmail', '', '/m', NULL);
INSERT INTO popbox VALUES ('klient1.pl', 'jan.kowalski', '0cc1', 'jan');
INSERT INTO popbox VALUES ('klient1.pl', 'jan.kowalczyk', NULL, 'j;k');
INSERT INTO forwarder VALUES ('klient1.pl', '_default_', 'jan.kowalski'), ('klient1.pl', 'x', '|cmd');
"""


def _database(directory: Directory) -> sqlite3.Connection:
    return sqlite3.connect(location(directory.engine), isolation_level=None)


def _dump(database: sqlite3.Connection) -> list[str]:
    return list(database.iterdump())


def _rows(database: sqlite3.Connection) -> dict[str, list[tuple[object, ...]]]:
    names = ("domain", "popbox", "forwarder")
    return {name: sorted(database.execute(f"SELECT * FROM {name}"), key=repr) for name in names}


def test_init_makes_the_tables_of_the_paper(directory: Directory) -> None:
    inspector = inspect(directory.engine)
    assert set(inspector.get_table_names()) == set(metadata.tables)
    for name, table in metadata.tables.items():
        assert [c["name"] for c in inspector.get_columns(name)] == [c.name for c in table.columns]
        assert inspector.get_pk_constraint(name)["constrained_columns"] == [c.name for c in table.primary_key]
    assert migrations.status(directory.engine).current


def test_init_refuses_tables_that_exist(directory: Directory) -> None:
    before = _dump(_database(directory))
    with pytest.raises(Refused, match="vmail db upgrade"):
        migrations.init(directory.engine)
    assert _dump(_database(directory)) == before


def test_init_refuses_an_original_database(empty: Directory) -> None:
    _database(empty).execute("CREATE TABLE forwarder (domain_name, local_part, remote_name)")
    with pytest.raises(Refused, match=r"exist already \(forwarder\)"):
        migrations.init(empty.engine)


def test_upgrade_of_nothing_says_to_use_init(empty: Directory) -> None:
    with pytest.raises(Refused, match="vmail db init"):
        migrations.upgrade(empty.engine)
    assert str(migrations.status(empty.engine)).endswith("no tables; run 'vmail db init'")


def test_upgrade_twice_changes_nothing(directory: Directory) -> None:
    before = _dump(_database(directory))
    result = migrations.upgrade(directory.engine)
    assert (result.adopted, result.applied) == (False, ())
    assert _dump(_database(directory)) == before


def test_an_original_database_is_adopted_and_keeps_its_rows(empty: Directory) -> None:
    database = _database(empty)
    database.executescript(ORIGINAL)
    before = _rows(database)
    assert migrations.status(empty.engine).original
    result = migrations.upgrade(empty.engine)
    assert result.adopted
    assert [finding.table for finding in result.warnings] == ["forwarder"]  # |cmd is as bad as before
    assert _rows(database) == before
    for name, table in metadata.tables.items():
        key = inspect(empty.engine).get_pk_constraint(name)["constrained_columns"]
        assert key == [c.name for c in table.primary_key]
    assert migrations.status(empty.engine).current
    assert not migrations.upgrade(empty.engine).adopted


def test_adopting_and_creating_end_in_the_same_tables(empty: Directory, tmp_path: Path) -> None:
    database = _database(empty)
    database.executescript(ORIGINAL.split("INSERT", maxsplit=1)[0])
    migrations.upgrade(empty.engine)
    fresh = sqlite3.connect(":memory:")
    fresh.executescript((migrations.sql_folder() / "sqlite" / "0001_tables.sql").read_text())
    assert _shapes(database) == _shapes(fresh)


def _shapes(database: sqlite3.Connection) -> set[str]:
    rows = database.execute("SELECT sql FROM sqlite_master WHERE type = 'table'")
    return {" ".join(re.sub(r"--.*", "", sql).replace('"', "").split()).replace("( ", "(") for (sql,) in rows}


def test_unfit_rows_stop_the_upgrade_before_it_begins(empty: Directory) -> None:
    database = _database(empty)
    database.executescript(ORIGINAL)
    database.execute("INSERT INTO popbox SELECT * FROM popbox")
    database.execute("INSERT INTO forwarder VALUES ('gone.pl', 'A', NULL)")
    before = _dump(database)
    with pytest.raises(migrations.UnfitRows) as caught:
        migrations.upgrade(empty.engine)
    lines = str(caught.value).splitlines()
    assert len([line for line in lines if line.startswith("error: ")]) == 5
    assert lines[-1].startswith("5 fault(s): nothing was changed")
    assert _dump(database) == before


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("ALTER TABLE popbox ADD COLUMN clearpw TEXT", "clearpw would be lost"),
        ("ALTER TABLE domain DROP COLUMN path", "no column path"),
        (
            "DROP TABLE forwarder; CREATE TABLE forwarder (id INTEGER PRIMARY KEY, x)",
            "not a table of Vmail-SQL",
        ),
    ],
)
def test_foreign_tables_are_refused(empty: Directory, change: str, why: str) -> None:
    database = _database(empty)
    database.executescript(ORIGINAL + change)
    before = _dump(database)
    with pytest.raises(migrations.UnfitRows, match=why):
        migrations.upgrade(empty.engine)
    assert _dump(database) == before


def test_a_migration_and_its_record_are_one_transaction(
    directory: Directory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "sql"
    shutil.copytree(migrations.sql_folder(), folder)
    monkeypatch.setattr(migrations, "sql_folder", lambda: folder)
    second = folder / "sqlite" / "0002_quota.sql"
    second.write_text(
        "ALTER TABLE popbox ADD COLUMN quota INT;\n"
        "INSERT INTO schema_version VALUES (2, 'quota', datetime('now'));\n"
        "INSERT INTO nowhere VALUES (1);\n"
    )
    before = _dump(_database(directory))
    assert str(migrations.status(directory.engine)).endswith("run 'vmail db upgrade' for 0002 quota")
    with pytest.raises(DirectoryUnavailable, match="no such table: nowhere"):
        migrations.upgrade(directory.engine)
    assert _dump(_database(directory)) == before
    second.write_text(second.read_text().replace("INSERT INTO nowhere VALUES (1);\n", ""))
    assert [m.version for m in migrations.upgrade(directory.engine).applied] == [2]
    assert migrations.upgrade(directory.engine).applied == ()
    assert migrations.status(directory.engine).versions == (1, 2)


def test_a_new_file_is_private_and_never_replaces_one(tmp_path: Path) -> None:
    path = tmp_path / "vmail.db"
    assert migrations.create_file(str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.write_text("rows")
    assert not migrations.create_file(str(path))
    assert path.read_text() == "rows"
    with pytest.raises(DirectoryUnavailable, match="No such file"):
        migrations.create_file(str(tmp_path / "none" / "vmail.db"))


@pytest.mark.parametrize("dialect", ["mariadb", "sqlite"])
def test_every_migration_ends_with_its_own_record(dialect: str) -> None:
    files = sorted((migrations.sql_folder() / dialect).glob("0*.sql"))
    assert files
    for number, path in enumerate(files, 1):
        last = migrations.split(path.read_text())[-1]
        name = path.stem.removeprefix(f"{number:04}_")
        assert re.match(rf"INSERT .*INTO schema_version .*VALUES \({number}, '{name}', ", last), path
    adopted = migrations.split((migrations.sql_folder() / dialect / "adopt.sql").read_text())[-1]
    assert "VALUES (1, 'tables'," in adopted


def test_both_dialects_have_the_same_migrations() -> None:
    folder = migrations.sql_folder()
    names = [{p.name for p in (folder / d).glob("0*.sql")} for d in ("mariadb", "sqlite")]
    assert names[0] == names[1]


def test_every_mariadb_statement_may_run_again() -> None:
    folder = migrations.sql_folder() / "mariadb"
    for path in (folder / "adopt.sql", *folder.glob("0*.sql")):
        for statement in migrations.split(path.read_text()):
            once_more = re.search(r"IF (NOT )?EXISTS|INSERT IGNORE", statement)
            assert once_more, f"{path.name}: {statement}"
            assert "%" not in statement


def test_comments_and_statements_are_told_apart() -> None:
    script = "-- one; two\nA (x, -- a; b\n  y);\n\n  -- last\nB 'a-b';"
    assert migrations.split(script) == ["A (x,\n  y)", "B 'a-b'"]
