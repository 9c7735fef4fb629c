"""The directory on a real MariaDB server: keys, collation, adoption, locks, the login query."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from tests.system.support.mariadb import Mariadb
from tpop3d_py.directory import migrations, operations
from tpop3d_py.directory.engine import Directory, DirectorySettings, engine_for, make_engine, writing
from tpop3d_py.directory.errors import (
    AlreadyThere,
    DirectoryInconsistent,
    DirectoryUnavailable,
    LimitReached,
    Refused,
)
from tpop3d_py.directory.lookup import LoginLookup, LoginRow
from tpop3d_py.directory.schema import KEYS, metadata

_TABLES = ("domain", "popbox", "forwarder", "web_session")

_COLUMNS = {
    "domain": "domain_name varchar(255) {pk}, unix_user varchar(255), password_hash varchar(255),"
    " path varchar(255), max_popbox int(11)",
    "popbox": "domain_name varchar(255) not null, local_part varchar(255) not null,"
    " password_hash varchar(255), mbox_name varchar(255)",
    "forwarder": "domain_name varchar(255), local_part varchar(255), remote_name varchar(255)",
    "web_session": "domain_name varchar(255), session_id varchar(32), expires int(11)",
}

#: How the tables of an original database may look: options of each table, and what popbox has more.
ORIGINALS = {
    "latin1 on MyISAM without keys": ("ENGINE=MyISAM DEFAULT CHARSET=latin1", ""),
    "keys on prefixes, as in README.auth_mysql": (
        "ENGINE=MyISAM DEFAULT CHARSET=latin1",
        ", primary key (domain_name(8), local_part(8))",
    ),
    "latin2 on Aria, fixed rows": ("ENGINE=Aria ROW_FORMAT=FIXED DEFAULT CHARSET=latin2", ""),
    "three-octet UTF-8 on InnoDB with somebody's column": (
        "ENGINE=InnoDB ROW_FORMAT=COMPACT DEFAULT CHARSET=utf8mb3",
        ", clearpw varchar(128) default 'x', key (mbox_name)",
    ),
}

_ROWS = [
    "INSERT INTO domain VALUES ('klient1.pl', 'vmail', 'd41d8cd98f00b204e9800998ecf8427e', '/m/k', 50)",
    "INSERT INTO domain VALUES ('klient2.pl', NULL, NULL, '/m/é', NULL)",
    "INSERT INTO popbox (domain_name, local_part, password_hash, mbox_name)"
    " VALUES ('klient1.pl', 'jan.kow', 'AAAA', 'Jan'), ('klient1.pl', 'luser', NULL, 'luser'),"
    " ('klient2.pl', 'o''hara', '', NULL)",
    "INSERT INTO forwarder VALUES ('klient1.pl', '_default_', 'luser'), ('klient1.pl', 'info', 'A@b.pl'),"
    " ('klient1.pl', 'info', 'a@b.pl'), ('klient2.pl', 'x', '|cmd')",
    "INSERT INTO web_session VALUES ('klient1.pl', 'aB3', 1000000000), (NULL, 'c', NULL)",
]


def _original(mariadb: Mariadb, database: str, options: str, more: str = "") -> str:
    url = mariadb.url(database)
    for name in _TABLES:
        columns = _COLUMNS[name].format(pk="primary key") + (more if name == "popbox" else "")
        mariadb.execute(f"CREATE TABLE {name} ({columns}) {options}", database=database)
    for row in _ROWS:
        mariadb.execute(row, database=database)
    return url


def _rows(mariadb: Mariadb, database: str) -> dict[str, list[tuple[Any, ...]]]:
    return {
        name: sorted(mariadb.execute(f"SELECT * FROM {name}", database=database), key=repr)
        for name in _TABLES
    }


def _shape(mariadb: Mariadb, database: str) -> dict[str, str]:
    names = [name for (name,) in mariadb.execute("SHOW TABLES", database=database)]
    shown = {name: mariadb.execute(f"SHOW CREATE TABLE {name}", database=database)[0][1] for name in names}
    return {name: shape.replace(" PAGE_CHECKSUM=1", "") for name, shape in shown.items()}  # Aria leaves it


def _directory(url: str, tmp_path: Path) -> Directory:
    settings = DirectorySettings(
        database_url=url,
        mail_root=f"{tmp_path}/SERVERS",
        default_unix_user="nobody",
        default_mailbox_type="bsd",
    )
    return Directory(settings, make_engine(settings, answer_seconds=30))


@pytest.fixture
def directory(mariadb: Mariadb, tmp_path: Path) -> Directory:
    made = _directory(mariadb.url("directory"), tmp_path)
    migrations.init(made.engine)
    return made


def test_keys_take_names_of_255_characters_and_compare_octets(mariadb: Mariadb, directory: Directory) -> None:
    for name, shape in _shape(mariadb, "directory").items():
        assert "COLLATE=utf8mb4_nopad_bin" in shape
        assert "ENGINE=InnoDB" in shape
        keys = ",".join(f"`{column.name}`" for column in metadata.tables[name].primary_key)
        assert f"PRIMARY KEY ({keys})" in shape
    long = "ż" * 255
    mariadb.execute("INSERT INTO domain (domain_name) VALUES (%s)", long, database="directory")
    mariadb.execute("INSERT INTO forwarder VALUES (%s, %s, %s)", long, long, long, database="directory")
    for alike in ("luser", "luser ", "LUSER", "lúser"):
        mariadb.execute("INSERT INTO popbox VALUES (%s, %s, '', '')", long, alike, database="directory")
    found = mariadb.execute("SELECT local_part FROM popbox WHERE local_part = 'luser'", database="directory")
    assert found == [("luser",)]


def test_the_session_of_the_paper(directory: Directory) -> None:
    assert operations.add_domain(directory, "klient1.pl").unix_user == "nobody"
    operations.set_max_popbox(directory, "klient1.pl", 50)
    operations.set_domain_password(directory, "klient1.pl", "haslo_domeny", lambda p: f"{{x}}{p}")
    assert operations.add_popbox(directory, "klient1.pl", "luser").mbox_name == "luser"
    operations.set_password(directory, "luser@klient1.pl", "haslo_lusera", lambda p: f"{{x}}{p}")
    operations.set_password(directory, "luser@klient1.pl", "haslo_lusera", lambda p: f"{{x}}{p}")  # same text
    operations.add_forwarder(directory, "klient1.pl", "_default_", ["luser", "other@przyklad.pl"])
    path = operations.show_domain(directory, "klient1.pl").path
    found = LoginLookup(directory.engine).find("luser", "klient1.pl")
    assert found == LoginRow(path, "luser", "{x}haslo_lusera", "nobody")
    for again in (
        lambda: operations.add_domain(directory, "klient1.pl"),
        lambda: operations.add_popbox(directory, "klient1.pl", "LUser"),
        lambda: operations.add_forwarder(directory, "klient1.pl", "_default_", ["luser"]),
    ):
        with pytest.raises(AlreadyThere):
            again()
    gone = operations.delete_domain(directory, "klient1.pl")
    assert (gone.popboxes, gone.forwarders) == (1, 2)
    assert operations.list_domains(directory) == []


def test_the_limit_holds_when_many_add_at_once(directory: Directory) -> None:
    operations.add_domain(directory, "klient1.pl")
    operations.set_max_popbox(directory, "klient1.pl", 5)
    refused: list[str] = []
    together = threading.Barrier(12)

    def add(number: int) -> None:
        together.wait()
        try:
            operations.add_popbox(directory, "klient1.pl", f"user{number}")
        except LimitReached as error:
            refused.append(str(error))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(operations.list_popboxes(directory, "klient1.pl")) == 5
    assert refused == ["domain 'klient1.pl' is full: it has 5 of 5 boxes"] * 7


def test_one_name_added_at_once_is_one_box(directory: Directory) -> None:
    operations.add_domain(directory, "klient1.pl")
    outcomes: list[str] = []
    together = threading.Barrier(6)

    def add() -> None:
        together.wait()
        try:
            operations.add_popbox(directory, "klient1.pl", "luser")
            outcomes.append("added")
        except AlreadyThere:
            outcomes.append("there")

    threads = [threading.Thread(target=add) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["added", *["there"] * 5]


@pytest.mark.parametrize("variant", ORIGINALS)
def test_an_original_database_is_adopted_without_touching_its_rows(mariadb: Mariadb, variant: str) -> None:
    options, more = ORIGINALS[variant]
    engine = engine_for(make_url(_original(mariadb, "original", options, more)), answer_seconds=30)
    before = _rows(mariadb, "original")
    assert migrations.status(engine).original
    result = migrations.upgrade(engine)
    assert result.adopted
    assert _rows(mariadb, "original") == before
    assert migrations.status(engine).current
    fresh = engine_for(make_url(mariadb.url("fresh")), answer_seconds=30)
    migrations.init(fresh)
    if "clearpw" not in more:
        assert _shape(mariadb, "original") == _shape(mariadb, "fresh")
    shape = _shape(mariadb, "original")
    assert not migrations.upgrade(engine).adopted
    assert _shape(mariadb, "original") == shape
    assert _rows(mariadb, "original") == before


def test_an_adoption_that_broke_off_anywhere_is_run_again(mariadb: Mariadb) -> None:
    statements = migrations.split((migrations.sql_folder() / "mariadb" / "adopt.sql").read_text())
    options, more = ORIGINALS["keys on prefixes, as in README.auth_mysql"]
    for done in (1, 8, 9, 12, len(statements) - 1):  # each costs a second
        engine = engine_for(make_url(_original(mariadb, "broken", options, more)), answer_seconds=30)
        before = _rows(mariadb, "broken")
        with writing(engine) as connection:
            for statement in statements[:done]:
                connection.exec_driver_sql(statement)
        assert migrations.upgrade(engine).adopted, statements[done - 1]
        assert _rows(mariadb, "broken") == before
        assert migrations.status(engine).current
        for name, key in KEYS.items():
            assert f"PRIMARY KEY ({','.join(f'`{c}`' for c in key)})" in _shape(mariadb, "broken")[name]


def test_unfit_rows_are_all_listed_and_nothing_is_changed(mariadb: Mariadb) -> None:
    url = _original(mariadb, "unfit", "ENGINE=MyISAM DEFAULT CHARSET=latin1")
    for row in (
        "INSERT INTO popbox VALUES ('klient1.pl', 'luser', '', 'other')",
        "INSERT INTO popbox VALUES ('gone.pl', 'LUser', '', 'x')",
        "INSERT INTO forwarder VALUES (NULL, 'a', 'b'), ('klient1.pl', 'info', 'a@b.pl')",
    ):
        mariadb.execute(row, database="unfit")
    engine = engine_for(make_url(url), answer_seconds=30)
    before = _shape(mariadb, "unfit"), _rows(mariadb, "unfit")
    with pytest.raises(migrations.UnfitRows) as caught:
        migrations.upgrade(engine)
    assert len([finding for finding in caught.value.findings if finding.fatal]) == 5
    assert (_shape(mariadb, "unfit"), _rows(mariadb, "unfit")) == before


def test_an_original_database_works_before_the_upgrade(mariadb: Mariadb, tmp_path: Path) -> None:
    url = _original(mariadb, "unadopted", "ENGINE=MyISAM DEFAULT CHARSET=latin1 COLLATE=latin1_swedish_ci")
    directory = _directory(url, tmp_path)
    lookup = LoginLookup(directory.engine)
    assert lookup.find("LUSER", "Klient1.PL") == LoginRow("/m/k", "luser", "", "vmail")
    # The server itself takes each of these for luser; we do not.
    for alike in ("luser ", "lúser", "LUSÉR"):
        sql = "SELECT COUNT(*) FROM popbox WHERE local_part = CONVERT(%s USING latin1)"
        assert mariadb.execute(sql, alike, database="unadopted")[0][0] == 1 or "É" in alike
        assert lookup.find(alike, "klient1.pl") is None
        assert lookup.find("luser", alike) is None
    # A name that latin1 cannot write is nobody's; the server calls it an error.
    assert lookup.find("łuser", "klient1.pl") is None
    assert lookup.find("luser", "łódź.pl") is None
    assert operations.list_domains(directory) == ["klient1.pl", "klient2.pl"]
    assert [box.address for box in operations.list_popboxes(directory, "klient2.pl")] == ["o'hara@klient2.pl"]
    operations.add_domain(directory, "klient3.pl")
    operations.add_popbox(directory, "klient3.pl", "new")
    operations.set_password(directory, "new@klient3.pl", "x", lambda _: "{x}1")
    assert lookup.find("new", "klient3.pl") == LoginRow(
        f"{tmp_path}/SERVERS/klient3.pl", "new", "{x}1", "nobody"
    )
    mariadb.execute("INSERT INTO popbox VALUES ('klient1.pl', 'LUser', 'h', 'luser')", database="unadopted")
    with pytest.raises(DirectoryInconsistent):
        lookup.find("luser", "klient1.pl")


@pytest.mark.parametrize(
    "name",
    [
        "x' or '1'='1",
        "x' or 1=1 -- ",
        "\\' or 1=1 -- ",
        "a\\",
        '"',
        "%",
        "luse_",
        "luser ",
        "lúser",
        "%s",
        "luser\0",
    ],
)
def test_no_name_changes_the_login_query(directory: Directory, name: str) -> None:
    operations.add_domain(directory, "klient1.pl")
    operations.add_popbox(directory, "klient1.pl", "luser")
    lookup = LoginLookup(directory.engine)
    assert lookup.find(name, "klient1.pl") is None
    assert lookup.find("luser", name) is None
    assert lookup.find("luser", "klient1.pl") is not None


def test_a_connection_killed_by_the_server_is_opened_again(mariadb: Mariadb, directory: Directory) -> None:
    operations.add_domain(directory, "klient1.pl")
    operations.add_popbox(directory, "klient1.pl", "luser")
    lookup = LoginLookup(directory.engine)
    assert lookup.find("luser", "klient1.pl") is not None
    for (number,) in mariadb.execute(
        "SELECT id FROM information_schema.processlist WHERE db = 'directory' AND command = 'Sleep'"
    ):
        mariadb.execute(f"KILL {number}")
    operations.set_password(directory, "luser@klient1.pl", "x", lambda _: "{x}new")
    found = lookup.find("luser", "klient1.pl")
    assert found is not None
    assert found.password_hash == "{x}new"


def test_a_password_changed_elsewhere_is_seen_at_once(directory: Directory) -> None:
    operations.add_domain(directory, "klient1.pl")
    operations.add_popbox(directory, "klient1.pl", "luser")
    lookup = LoginLookup(directory.engine)
    for hashed in ("{x}1", "{x}2"):
        operations.set_password(directory, "luser@klient1.pl", "x", {"x": hashed}.__getitem__)
        found = lookup.find("luser", "klient1.pl")
        assert found is not None
        assert found.password_hash == hashed


def test_a_refused_account_is_named_without_the_password(mariadb: Mariadb, directory: Directory) -> None:
    engine = engine_for(make_url(mariadb.url("refused")), password="zły sekret".encode())
    with pytest.raises(DirectoryUnavailable, match=r"refused at 127.*Access denied") as caught:
        LoginLookup(engine).find("luser", "klient1.pl")
    assert "sekret" not in str(caught.value)


def test_the_password_file_opens_the_database(mariadb: Mariadb, tmp_path: Path) -> None:
    url = make_url(mariadb.url("filed"))
    path = tmp_path / "password"
    path.write_text(f"{url.password}\n")
    path.chmod(0o600)
    bare = url.set(password=None).render_as_string(hide_password=False)
    settings = DirectorySettings(database_url=bare, database_password_file=str(path))
    engine = make_engine(settings, answer_seconds=30)
    assert str(migrations.status(engine)).endswith("no tables; run 'vmail db init'")
    migrations.init(engine)
    with pytest.raises(Refused, match="exist already"):
        migrations.init(engine)


def test_a_failed_insert_leaves_no_directory(mariadb: Mariadb, directory: Directory, tmp_path: Path) -> None:
    mariadb.execute("ALTER TABLE domain ADD CONSTRAINT never CHECK (domain_name = '')", database="directory")
    with pytest.raises((Refused, DirectoryUnavailable)):
        operations.add_domain(directory, "klient1.pl")
    assert os.listdir(tmp_path / "SERVERS") == []


def test_a_missing_database_or_table_says_what_to_do(mariadb: Mariadb) -> None:
    url = make_url(mariadb.url("missing"))
    with pytest.raises(DirectoryUnavailable, match="vmail db init"):
        LoginLookup(engine_for(url)).find("luser", "klient1.pl")
    mariadb.execute("DROP DATABASE missing")
    with pytest.raises(DirectoryUnavailable, match=r"Unknown database 'missing'.*database\.sql"):
        migrations.status(engine_for(url))
