"""The forms of the configuration: included by section, on SQLite, on our own tables, with any password."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from tests.system.support.exim import Exim, exim_binary
from tests.system.support.mariadb import Mariadb
from tests.system.support.processes import wait_for
from tests.system.support.site import OTHER, OURS, Site, StartExim, filled, messages, permissions
from tpop3d_py.mta import exim as generator
from tpop3d_py.mta.facts import Database, MysqlServer, SqliteFile, database_of
from tpop3d_py.mta.queries import MYSQL, exim_queries

SERVER = generator.Server("mail.klient1.pl", "127.0.0.1", 2525)

#: A site that has an exim.conf of its own, with local users and an ACL, and includes our sections.
SITES_OWN = """
primary_hostname = mail.klient1.pl
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port}
keep_environment =
tls_advertise_hosts =
VMAIL_OWN_RCPT_ACL = yes
acl_smtp_rcpt = acl_check_rcpt
.include {folder}/vmail.main
domainlist local_domains = przyklad.pl : +vmail_domains

begin acl
.include {folder}/vmail.acl
acl_check_rcpt:
  deny    domains = +vmail_domains
          !acl = acl_vmail_recipient
  require domains = +local_domains
  require verify = recipient
  accept

begin routers
.include {folder}/vmail.routers
localuser:
  driver = accept
  domains = +local_domains
  check_local_user
  transport = local_delivery

begin transports
.include {folder}/vmail.transports
local_delivery:
  driver = appendfile
  file = /dev/null

begin retry
* * F,1h,15m
"""


def checked(config: Path) -> tuple[int, str]:
    """Let Exim read a configuration; return its exit code and what it complained about."""
    done = subprocess.run([exim_binary(), "-C", config, "-bV"], capture_output=True, text=True, check=False)
    return done.returncode, done.stderr.replace("Warning: purging the environment.", "").strip()


@pytest.mark.parametrize(
    "database",
    [MysqlServer("127.0.0.1", 3306, "", "v", "u", 'p"\\:'), SqliteFile("/tmp/vmail.db")],
    ids=["mysql", "sqlite"],
)
def test_exim_accepts_each_form(system: None, tmp_path: Path, database: Database) -> None:
    config = tmp_path / "exim.conf"
    for form in (generator.fragment(database), generator.standalone(database, SERVER)):
        config.write_text("keep_environment =\n" * (form.count("keep_environment") == 0) + form)
        assert checked(config) == (0, "")


def test_included_by_section_in_a_sites_own_configuration(
    area: Path, mariadb: Mariadb, exim: StartExim, vmail: pwd.struct_passwd
) -> None:
    url = mariadb.url("included")
    facts = database_of(make_url(url))
    folder = area / "included.d"
    folder.mkdir()
    for name in generator.SECTIONS:
        (folder / f"vmail.{name}").write_text(generator.section(name, facts))
        (folder / f"vmail.{name}").chmod(0o640)
    server = exim(lambda port: SITES_OWN.format(port=port, folder=folder))
    site = Site(url, area / "included", lambda _make: server, vmail)
    assert server.answers(
        [f"luser@{OURS}", f"root@{OURS}", f"daemon@{OURS}", "daemon@przyklad.pl", "nobody-here@przyklad.pl"]
    ) == {
        f"luser@{OURS}": "250 Accepted",
        # Not the Unix accounts of these names, although the site's router would take them.
        f"root@{OURS}": "550 5.1.1 Unknown user",
        f"daemon@{OURS}": "550 5.1.1 Unknown user",
        "daemon@przyklad.pl": "250 Accepted",
        "nobody-here@przyklad.pl": "550 Unrouteable address",
    }
    server.send([f"luser@{OURS}"])
    wait_for(lambda: filled(site.ours / "luser"), "the mail")
    site.is_safe()
    site.close()


def test_forgetting_our_acl_beside_ones_own_is_an_error(system: None, tmp_path: Path) -> None:
    """A site with two RCPT ACLs hears of it at once: neither wins in silence."""
    config = tmp_path / "exim.conf"
    main = generator.section("main", SqliteFile("/tmp/vmail.db"))
    config.write_text(
        f"keep_environment =\nacl_smtp_rcpt = acl_check_rcpt\n{main}\nbegin acl\nacl_check_rcpt:\n  deny\n"
    )
    code, complaint = checked(config)
    assert code == 1
    assert '"acl_smtp_rcpt" option set for the second time' in complaint


def test_password_is_hidden_from_users(mail_site: Site) -> None:
    """`exim -bP` is open to everybody; `hide` keeps the password out of it."""
    config = mail_site.exim.config
    command = ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups"]
    command += [mail_site.exim.binary, "-C", str(config), "-bP", "mysql_servers", "macros"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "kret" not in done.stdout + done.stderr
    assert "kret" in mail_site.exim.command("-bP", "mysql_servers").stdout


PASSWORDS = (
    *("", "a:b", "a::b:", ":", "a b", "a  b", "\\", "a\\", "\\n", '"', 'a"b"', "'", "''"),
    *("$", "${x}", "$x", "%s", "#", "#a", "a#b", ";", "a;b", ",", "<;a", "<", "[x]", "(x)", "a(b", "a[b"),
    *("{", "}", "~", "!", "@h", "zażółć", "VMAIL_SQL_BOX", ".include", "x" * 200),
)


@pytest.fixture(scope="module")
def querist(mariadb: Mariadb, area: Path) -> str:
    """The name of an account for which each test sets a password."""
    mariadb.url("passwords")
    mariadb.execute("CREATE OR REPLACE USER querist")
    mariadb.execute("GRANT SELECT ON passwords.* TO querist")
    return "querist"


def test_every_password_that_is_not_refused_works(mariadb: Mariadb, querist: str, area: Path) -> None:
    failures = {}
    config = area / "passwords.conf"
    for password in PASSWORDS:
        mariadb.execute("SET PASSWORD FOR querist = PASSWORD(%s)", password)
        url = make_url(f"mysql://querist@127.0.0.1:{mariadb.port}/passwords").set(password=password)
        config.write_text(generator.standalone(database_of(url), SERVER))
        command = [exim_binary(), "-C", str(config), "-be", "${lookup mysql{SELECT 40+2}}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.stdout.strip() != "42":
            failures[password] = done.stdout + done.stderr
    assert failures == {}


def test_unix_socket(mariadb: Mariadb, querist: str, area: Path) -> None:
    mariadb.execute("SET PASSWORD FOR querist = PASSWORD('x')")
    url = make_url(f"mysql://querist:x@localhost/passwords?unix_socket={mariadb.socket}")
    config = area / "socket.conf"
    config.write_text(generator.standalone(database_of(url), SERVER))
    command = [exim_binary(), "-C", str(config), "-be", "${lookup mysql{SELECT USER()}}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "querist@localhost"


def test_sqlite(area: Path, exim: StartExim, vmail: pwd.struct_passwd, vmail2: pwd.struct_passwd) -> None:
    folder = area / "sqlite"
    folder.mkdir(mode=0o755)
    url = f"sqlite:///{folder}/vmail.db"
    site = Site(url, folder / "mail", exim, vmail, vmail2)
    hostile = (
        "pipe",
        "up",
        "deep",
        "'",
        "\"x' or '1'='1\"",
        '"x\'; delete from popbox; -- "',
        '"luser "',
        "lúser",
    )
    answers = site.exim.answers(f"{name}@{OURS}" for name in hostile)
    assert set(answers.values()) == {"550 5.1.1 Unknown user"}
    assert site.exim.answer("x@example.org") == "550 5.7.1 Relaying not permitted"
    site.exim.send([f"o'hara@{OURS}", f"jan@{OURS}", f"many@{OURS}", f"anybody@{OTHER}"])
    wait_for(lambda: filled(site.ours / "o'hara") and filled(site.ours / "two"), "mail in mbox files")
    wait_for(lambda: messages(site.ours / "jan") and messages(site.other / "catcher"), "mail in maildirs")
    assert permissions(site.ours / "o'hara") == ("-rw-rw----", "vmail", "nogroup")
    # Exim's own user only reads the file: it has not made one, and not changed its owner.
    assert permissions(folder / "vmail.db")[1] == "root"
    site.is_safe()
    site.close()


def test_by_the_commands_on_our_own_tables(
    area: Path, mariadb: Mariadb, exim: StartExim, vmail: pwd.struct_passwd
) -> None:
    """The paper's session, then mail: `vmail db init`, VE-domain, VE-popbox, VE-forwarder, vmail-gen-exim."""
    folder = area / "commands"
    folder.mkdir(mode=0o755)
    (folder / "SERVERS").mkdir(mode=0o755)
    url = make_url(mariadb.url("commands"))
    (folder / "password").touch(0o600)
    (folder / "password").write_text(f"{url.password}\n")
    (folder / "vmail.conf").write_text(
        f"database-url: mysql+pymysql://{url.username}@{url.host}:{url.port}/commands\n"
        f"database-password-file: {folder}/password\n"
        f"mail-root: {folder}/SERVERS\n"
        "default-mailbox-type: bsd\n"
    )

    def run(module: str, *arguments: str) -> str:
        code = f"import sys; from tpop3d_py.cli.{module} import main; sys.exit(main())"
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env={**os.environ, "VMAIL_CONFIG": str(folder / "vmail.conf")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("vmail", "db", "init")
    run("ve_domain", "add", OURS)
    for name in ("luser", "jan", "a+b"):
        run("ve_popbox", "add", OURS, name, *(["--type", "maildir"] if name == "jan" else []))
    run("ve_forwarder", "add", OURS, "info", f"luser@{OURS}", f"jan@{OURS}")
    server: Exim = exim(
        lambda port: run("gen_exim", "--standalone", "--listen", "127.0.0.1", "--port", str(port))
    )
    assert server.answers(
        f"{name}@{OURS}" for name in ("luser", "jan", "a+b", "info", "nobody", "lúser")
    ) == {
        **{f"{name}@{OURS}": "250 Accepted" for name in ("luser", "jan", "a+b", "info")},
        **{f"{name}@{OURS}": "550 5.1.1 Unknown user" for name in ("nobody", "lúser")},
    }
    server.send([f"info@{OURS}"])
    home = folder / "SERVERS" / OURS
    wait_for(lambda: filled(home / "luser") and messages(home / "jan"), "both mails")
    assert permissions(home / "luser") == ("-rw-rw----", "vmail", "nogroup")
    run("ve_forwarder", "add", OURS, "_default_", f"luser@{OURS}")
    assert server.answer(f"nobody@{OURS}") == "250 Accepted"
    log = server.log()
    assert "quoted" not in log
    assert "tainted" not in log.lower()


def test_lookups_use_the_keys_of_our_tables(mariadb: Mariadb) -> None:
    """However many boxes there are, the statement reads one row of each table."""
    engine = create_engine(mariadb.url("keys"))
    file = Path(__file__).parents[2] / "sql" / "mariadb" / "0001_tables.sql"
    add = text("INSERT INTO popbox (domain_name, local_part, mbox_name) VALUES ('klient1.pl', :name, :name)")
    with engine.begin() as connection:
        for statement in _statements(file):
            connection.exec_driver_sql(statement)
        connection.exec_driver_sql("INSERT INTO domain (domain_name) VALUES ('klient1.pl')")
        connection.execute(add, [{"name": f"user{i}"} for i in range(200)])
        plan = connection.exec_driver_sql(f"EXPLAIN {_box_statement('user7')}").mappings().all()
    engine.dispose()
    assert [(row["type"], row["key"], int(row["rows"])) for row in plan] == [("const", "PRIMARY", 1)] * 2


def _statements(path: Path) -> list[str]:
    lines = (line.partition("--")[0] for line in path.read_text().splitlines())
    return [statement for statement in "\n".join(lines).split(";") if statement.strip()]


def _box_statement(local_part: str) -> str:
    """Expand the statement as Exim does for a name that needs no quoting."""
    statement = " ".join(exim_queries(MYSQL).box)
    for expansion, result in (
        (r"${if match{$local_part}{\N^[ -~]*$\N}{", ""),
        ("}{TRUE}}", ""),
        ("${quote_mysql:$domain}", OURS),
        ("${quote_mysql:$local_part}", local_part),
    ):
        statement = statement.replace(expansion, result)
    return statement
