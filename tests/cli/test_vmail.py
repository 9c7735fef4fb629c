from __future__ import annotations

import sqlite3
import stat

from tests.cli.shell import Shell


def test_init_makes_a_private_file_once(bare: Shell) -> None:
    path = bare.folder / "vmail.db"
    assert bare("vmail db init").out == f"{path}: created, version 1\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert path.owner() == bare.owner
    assert "use 'vmail db upgrade'" in bare.refuses("vmail db init")


def test_status_is_a_question_with_an_exit_code(bare: Shell) -> None:
    assert "unable to open" in bare.refuses("vmail db status")
    (bare.folder / "vmail.db").touch()
    assert "run 'vmail db init'" in bare.refuses("vmail db status")
    bare("vmail db init")
    outcome = bare("vmail db status")
    assert (outcome.code, outcome.out) == (0, f"{bare.folder}/vmail.db: version 1, up to date\n")


def test_upgrade_adopts_once_and_then_has_nothing_to_do(bare: Shell) -> None:
    database = sqlite3.connect(bare.folder / "vmail.db", isolation_level=None)
    database.execute("CREATE TABLE domain (domain_name, unix_user, password_hash, path, max_popbox)")
    database.execute("INSERT INTO domain VALUES ('klient1.pl', NULL, NULL, '/m', NULL)")
    outcome = bare("vmail db upgrade")
    assert (outcome.code, outcome.out) == (
        0,
        f"{bare.folder}/vmail.db: adopted an original Vmail-SQL database\n",
    )
    assert outcome.err == "vmail: warning: domain: no Unix user or no directory: 'klient1.pl'\n"
    assert bare("vmail db upgrade").out == f"{bare.folder}/vmail.db: up to date, nothing to do\n"
    assert bare("VE-domain list").out == "klient1.pl\n"


def test_unfit_rows_are_listed_line_by_line(bare: Shell) -> None:
    database = sqlite3.connect(bare.folder / "vmail.db", isolation_level=None)
    database.execute("CREATE TABLE popbox (domain_name, local_part, password_hash, mbox_name)")
    database.execute("INSERT INTO popbox VALUES ('gone.pl', 'A\x1b', '', 'a'), (NULL, 'b', '', 'b')")
    before = list(database.iterdump())
    outcome = bare("vmail db upgrade")
    assert (outcome.code, outcome.out) == (1, "")
    lines = outcome.err.splitlines()
    assert all(line.startswith("vmail: ") and line.isprintable() for line in lines)
    assert lines[-1] == "vmail: 3 fault(s): nothing was changed; mend these rows and try again"
    assert list(database.iterdump()) == before
