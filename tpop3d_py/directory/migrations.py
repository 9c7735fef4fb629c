"""Create the tables, adopt an original Vmail-SQL database, and bring either up to date.

The files under ``sql/DIALECT`` are the migrations: ``NNNN_name.sql`` in order,
and ``adopt.sql``, which turns an original database into what ``0001`` makes.
Each ends with the row of `schema_version` that says it ran, so they leave the
same traces whether this module or an administrator with a pipe runs them.

On SQLite and PostgreSQL a migration and its record are one transaction.  MariaDB commits every
DDL statement by itself; there each statement is written so that it may run
again, the record comes last, and an upgrade that broke off is simply repeated.
A second command is kept out meanwhile (`GET_LOCK`, an advisory lock, or SQLite's write lock).  Original
databases were MySQL's, so there is nothing to adopt on PostgreSQL.

When things fail: `Refused` with one line per fault, before anything is changed,
if the rows do not allow the keys; `DirectoryUnavailable` if the database fails.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect

import tpop3d_py
from tpop3d_py.directory import statements
from tpop3d_py.directory.audit import Finding, Row, examine
from tpop3d_py.directory.engine import location, reading, writing
from tpop3d_py.directory.errors import DirectoryUnavailable, Refused
from tpop3d_py.directory.schema import KEYS, metadata, schema_version
from tpop3d_py.log import printable

_NUMBERED = re.compile(r"([0-9]{4})_([a-z0-9_]+)\.sql")
_COMMENT = re.compile(r"(?:^|\s)--.*")
_FOLDERS = {"mysql": "mariadb", "postgresql": "postgresql", "sqlite": "sqlite"}


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file."""

    version: int
    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class Status:
    """What a database is, compared with the migrations.

    Args:
        where: the database, for messages.
        original: it has tables of Vmail-SQL, and no record of migrations.
        versions: the migrations that have run.
        pending: those that have not.
    """

    where: str
    original: bool
    versions: tuple[int, ...]
    pending: tuple[Migration, ...]

    @property
    def current(self) -> bool:
        """Nothing is left to do."""
        return not self.pending

    def __str__(self) -> str:
        if self.original:
            return f"{self.where}: original Vmail-SQL tables; run 'vmail db upgrade'"
        if not self.versions:
            return f"{self.where}: no tables; run 'vmail db init'"
        if self.pending:
            names = ", ".join(f"{m.version:04} {m.name}" for m in self.pending)
            return f"{self.where}: version {self.versions[-1]}; run 'vmail db upgrade' for {names}"
        return f"{self.where}: version {self.versions[-1]}, up to date"


@dataclass(frozen=True, slots=True)
class Upgrade:
    """What `upgrade` did."""

    adopted: bool
    applied: tuple[Migration, ...]
    warnings: tuple[Finding, ...]


class UnfitRows(Refused):
    """The rows of an original database do not allow the keys; nothing was changed."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        faults = sum(finding.fatal for finding in findings)
        last = f"{faults} fault(s): nothing was changed; mend these rows and try again"
        super().__init__("\n".join([*map(str, findings), last]))
        self.findings = tuple(findings)


def sql_folder() -> Path:
    """Find the SQL files: inside the installed package, else beside it in a checkout.

    Raises:
        DirectoryUnavailable: they are in neither place.
    """
    package = Path(tpop3d_py.__file__).parent
    for folder in (package / "data" / "sql", package.parent / "sql"):
        if folder.is_dir():
            return folder
    raise DirectoryUnavailable(f"the SQL files are not where they were installed: {package}/data/sql")


def migrations(engine: Engine) -> tuple[Migration, ...]:
    """List the migrations for this kind of database, in order."""
    found = []
    for path in sorted(_folder(engine).iterdir()):
        if match := _NUMBERED.fullmatch(path.name):
            found.append(Migration(int(match[1]), match[2], path))
    return tuple(found)


def init(engine: Engine) -> tuple[Migration, ...]:
    """Create all tables in an empty database.

    Raises:
        Refused: there are tables already.
        DirectoryUnavailable: the database failed.
    """
    with _exclusive(engine) as connection:
        if present := _present(connection):
            names = ", ".join(present)
            raise Refused(f"{location(engine)}: tables exist already ({names}); use 'vmail db upgrade'")
        todo = migrations(engine)
        _apply(connection, (migration.path for migration in todo))
    return todo


def create_file(path: str, owner: tuple[int, int] | None = None) -> bool:
    """Make an empty SQLite file, mode 0640 because it will hold password hashes; tell whether it is new.

    Args:
        path: absolute.
        owner: uid and gid to give it to.

    Raises:
        DirectoryUnavailable: it cannot be made.
    """
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
    except FileExistsError:
        return False
    except OSError as error:
        raise DirectoryUnavailable(f"directory {printable(path)}: {error.strerror}") from error
    try:
        os.fchmod(file, 0o640)  # whatever the umask
        if owner is not None:
            os.fchown(file, *owner)
    finally:
        os.close(file)
    return True


def upgrade(engine: Engine) -> Upgrade:
    """Adopt an original database if it is one, then run the migrations that have not run.

    Raises:
        UnfitRows: the rows of an original database do not allow the keys.
        Refused: there are no tables, or foreign ones.
        DirectoryUnavailable: the database failed.
    """
    with _exclusive(engine) as connection:
        present = _present(connection)
        if not present:
            raise Refused(f"{location(engine)}: no tables; use 'vmail db init'")
        original = not _versions(connection, present)
        if original and not (_folder(engine) / "adopt.sql").exists():
            raise Refused(f"{location(engine)}: foreign tables; use 'vmail db init' in a new database")
        warnings = _check_original(connection, present) if original else ()
        if original:
            _apply(connection, [_folder(engine) / "adopt.sql"])
        done = _versions(connection, _present(connection))
        todo = tuple(m for m in migrations(engine) if m.version not in done)
        _apply(connection, (migration.path for migration in todo))
    return Upgrade(original, todo, warnings)


def status(engine: Engine) -> Status:
    """Compare a database with the migrations.

    Raises:
        DirectoryUnavailable: the database failed.
    """
    with reading(engine) as connection:
        present = _present(connection)
        versions = _versions(connection, present)
    pending = tuple(m for m in migrations(engine) if m.version not in versions)
    return Status(location(engine), bool(present) and not versions, versions, pending)


def _folder(engine: Engine) -> Path:
    return sql_folder() / _FOLDERS[engine.dialect.name]


@contextlib.contextmanager
def _exclusive(engine: Engine) -> Iterator[Connection]:
    with writing(engine) as connection:
        if engine.dialect.name == "mysql":
            _require_mariadb(connection)
            # Released when the connection closes: the pool keeps none.
            if connection.execute(statements.take_schema_lock()).scalar() != 1:
                raise DirectoryUnavailable(f"{location(engine)}: another 'vmail db' command is at work")
        elif engine.dialect.name == "postgresql":
            connection.execute(statements.wait_for_schema_lock())
        yield connection


def _require_mariadb(connection: Connection) -> None:
    if not getattr(connection.dialect, "is_mariadb", False):
        raise Refused("this server is not MariaDB: it has no collation utf8mb4_nopad_bin")


def _present(connection: Connection) -> tuple[str, ...]:
    names = set(inspect(connection).get_table_names())
    return tuple(name for name in metadata.tables if name in names)


def _versions(connection: Connection, present: Iterable[str]) -> tuple[int, ...]:
    if schema_version.name not in present:
        return ()
    return tuple(row.version for row in connection.execute(statements.applied_versions()))


def _apply(connection: Connection, paths: Iterable[Path]) -> None:
    for path in paths:
        for statement in split(path.read_text("utf-8")):
            connection.exec_driver_sql(statement)


def split(script: str) -> list[str]:
    """Split one of our SQL files into statements: no text in them contains ``;`` or `` --``."""
    bare = "\n".join(_COMMENT.sub("", line) for line in script.splitlines())
    return [statement.strip() for statement in bare.split(";") if statement.strip()]


def _check_original(connection: Connection, present: Sequence[str]) -> tuple[Finding, ...]:
    tables = [name for name in KEYS if name in present]
    findings = [finding for name in tables for finding in _structure(connection, name)]
    if not findings:  # rows can be read only from the columns of the paper
        rows: dict[str, Sequence[Row]] = {
            name: connection.execute(statements.every_row(name)).fetchall() for name in tables
        }
        findings = examine(rows)
    if any(finding.fatal for finding in findings):
        raise UnfitRows(findings)
    return tuple(findings)


def _structure(connection: Connection, table: str) -> Iterable[Finding]:
    inspector = inspect(connection)
    columns = {column["name"] for column in inspector.get_columns(table)}
    ours = {column.name for column in metadata.tables[table].columns}
    if missing := sorted(ours - columns):
        yield Finding(table, f"no column {', '.join(missing)}: this is not a table of Vmail-SQL", True)
    if connection.dialect.name == "sqlite" and (more := sorted(columns - ours)):
        yield Finding(table, f"column {', '.join(map(printable, more))} would be lost", True)
    key = inspector.get_pk_constraint(table)["constrained_columns"]
    if foreign := sorted(set(key) - set(KEYS[table])):
        yield Finding(table, f"primary key on {', '.join(map(printable, foreign))}: drop it first", True)
