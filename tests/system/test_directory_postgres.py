"""The directory on PostgreSQL: tables, commands, rules, and a login."""

from __future__ import annotations

import os
import pwd
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.system.support.mariadb import PASSWORD, USER
from tests.system.support.pop3d import Pop3d, Shell, Telnet
from tests.system.support.processes import CHECKOUT, free_port, program
from tests.system.support.sqlsite import Base


class Site:
    """A vmail.conf for a new database, and its tables."""

    def __init__(self, folder: Path, base: Base, owner: pwd.struct_passwd) -> None:
        folder.mkdir()
        folder.chmod(0o755)
        base.execute("CREATE DATABASE directory_of_tests")
        base.execute(f"GRANT ALL ON DATABASE directory_of_tests TO {USER}")
        base.execute(f"ALTER DATABASE directory_of_tests OWNER TO {USER}")
        (folder / "password").write_text(f"{PASSWORD}\n")
        (folder / "password").chmod(0o600)
        (folder / "vmail.conf").write_text(
            f"database-url: postgresql+psycopg://{USER}@127.0.0.1:{base.port}/directory_of_tests\n"
            f"database-password-file: {folder}/password\nmail-root: {folder}/SERVERS\n"
            f"default-unix-user: {owner.pw_name}\n"
        )
        self.folder, self.owner = folder, owner
        self.shell = Shell(folder / "vmail.conf")


@pytest.fixture(scope="module")
def site(area: Path, sql_pgsql: Base, vmail: pwd.struct_passwd) -> Iterator[Site]:
    site = Site(area / "postgres-directory", sql_pgsql, vmail)
    assert "run 'vmail db init'" in site.shell.attempt("vmail db status").stderr
    assert "created, version 1" in site.shell.run("vmail db init")
    yield site
    sql_pgsql.execute("DROP DATABASE directory_of_tests WITH (FORCE)")


def test_the_papers_session_and_a_login(site: Site) -> None:
    shell = site.shell
    assert "use 'vmail db upgrade'" in shell.attempt("vmail db init").stderr
    assert "up to date" in shell.run("vmail db status")
    assert "nothing to do" in shell.run("vmail db upgrade")
    shell.run("VE-domain add klient1.pl")
    shell.run("VE-domain popboxes klient1.pl max 2")
    shell.run("VE-popbox add klient1.pl luser")
    shell.run("VE-passwd luser@klient1.pl -", stdin="haslo_lusera\n")
    port = free_port()
    config = site.folder / "tpop3d.conf"
    config.write_text(
        f"include: vmail.conf\nlisten-address: 127.0.0.1:{port}(klient1.pl)\nauth-directory-enable: yes\n"
        f"append-domain: yes\nrun-as: {site.owner.pw_name}\n"
    )
    pop3d = Pop3d(config, port)
    try:
        client = Telnet(port)
        client.read()
        client.type("USER luser")
        assert client.type("PASS haslo_lusera").startswith("+OK Welcome aboard!")
        client.close()
    finally:
        pop3d.stop()
    assert "ARGON2                       1" in shell.run("vmail passwords report")


def test_the_rules_hold(site: Site) -> None:
    shell = site.shell
    shell.run("VE-domain add klient2.pl")
    shell.run("VE-domain popboxes klient2.pl max 3")
    assert "exists already" in shell.attempt("VE-domain add klient2.pl").stderr
    shell.run("VE-forwarder add klient2.pl biuro jan@example.net")
    assert "jan@example.net" in shell.run("VE-forwarder list klient2.pl")
    shell.run("VE-popbox add klient2.pl jan")
    assert "exists already" in shell.attempt("VE-popbox add klient2.pl jan").stderr
    with ThreadPoolExecutor(4) as people:
        codes = list(
            people.map(lambda n: shell.attempt(f"VE-popbox add klient2.pl b{n}").returncode, range(4))
        )
    assert sorted(codes) == [0, 0, 1, 1], "three boxes and no more, whoever is first"
    assert len(shell.run("VE-popbox list klient2.pl").splitlines()) == 3
    shell.run("VE-popbox delete klient2.pl jan --yes")
    shell.run("VE-forwarder delete klient2.pl biuro")


def test_tables_of_somebody_else_are_left_alone(site: Site, sql_pgsql: Base) -> None:
    conf = site.folder / "foreign.conf"
    conf.write_text((site.folder / "vmail.conf").read_text().replace("directory_of_tests", sql_pgsql.name))
    os.chmod(conf, 0o600)
    told = Shell(conf).attempt("vmail db upgrade")
    assert told.returncode == 1
    assert "use 'vmail db init' in a new database" in told.stderr


def test_the_accounts_of_database_sql_may_what_they_need(site: Site, sql_pgsql: Base) -> None:
    script = (CHECKOUT / "sql" / "postgresql" / "database.sql").read_text()
    for name in ("virtualemail", "vmail", "pypop3d"):
        script = re.sub(rf"\b{name}\b", f"{name}_of_file", script)
    grant = re.search(r"--\s+(GRANT UPDATE .*;)", script)
    assert grant is not None
    _psql(sql_pgsql, "postgres", "postgres", script)
    url = f"postgresql+psycopg://vmail_of_file@127.0.0.1:{sql_pgsql.port}/virtualemail_of_file"
    (site.folder / "file.password").write_text("change-me-1\n")
    (site.folder / "file.password").chmod(0o600)
    (site.folder / "file.conf").write_text(
        f"database-url: {url}\ndatabase-password-file: {site.folder}/file.password\n"
    )
    Shell(site.folder / "file.conf").run("vmail db init")
    reader = "virtualemail_of_file", "pypop3d_of_file"
    _psql(sql_pgsql, *reader, "SELECT * FROM popbox; SELECT * FROM domain;")
    update = "UPDATE popbox SET password_hash = 'x' WHERE password_hash = 'y';"
    with pytest.raises(subprocess.CalledProcessError):
        _psql(sql_pgsql, *reader, update)
    _psql(sql_pgsql, "virtualemail_of_file", "vmail_of_file", grant[1])
    _psql(sql_pgsql, *reader, update)
    with pytest.raises(subprocess.CalledProcessError):
        _psql(sql_pgsql, *reader, "UPDATE popbox SET mbox_name = 'x';")


def _psql(base: Base, database: str, account: str, script: str) -> None:
    """Run a script by the server's socket, where everybody is believed."""
    command = [program("psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", base.socket_folder]
    command += ["-p", str(base.port), "-U", account, database]
    subprocess.run(command, input=script, text=True, capture_output=True, check=True, timeout=30)
