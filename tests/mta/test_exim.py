"""Exim's file: sections, order, and the lines that must be just so."""

from __future__ import annotations

import itertools
import re

import pytest

from tpop3d_py.mta import exim, templates
from tpop3d_py.mta.facts import Database, MysqlServer, NotExpressible, SqliteFile

MYSQL = MysqlServer("127.0.0.1", 3306, "", "virtualemail", "vmail", "sekret")
SQLITE = SqliteFile("/var/lib/vmail/vmail.db")
BOTH = pytest.mark.parametrize("database", [MYSQL, SQLITE], ids=["mysql", "sqlite"])


def servers_line(**changes: str | int) -> str:
    fields = {"host": "127.0.0.1", "port": 3306, "socket": "", "database": "v", "user": "u", "password": "p"}
    server = MysqlServer(**{**fields, **changes})  # type: ignore[arg-type]
    (line,) = re.findall(r"^hide mysql_servers = .*$", exim.section("main", server), re.MULTILINE)
    assert isinstance(line, str)
    return line.removeprefix("hide mysql_servers = ")


@pytest.mark.parametrize(
    ("changes", "value"),
    [
        ({}, '"127.0.0.1::3306/v/u/p"'),
        ({"host": "db.example.org", "port": 3307}, '"db.example.org::3307/v/u/p"'),
        ({"socket": "/run/mysqld/mysqld.sock"}, '"localhost(/run/mysqld/mysqld.sock)/v/u/p"'),
        ({"password": ""}, '"127.0.0.1::3306/v/u/"'),
        ({"password": "a:b::c"}, '"127.0.0.1::3306/v/u/a::b::::c"'),
        ({"password": 'x"y'}, r'"127.0.0.1::3306/v/u/x\"y"'),
        ({"password": "x\\"}, r'"127.0.0.1::3306/v/u/x\\"'),
        ({"password": r"\n${x}#;,"}, r'"127.0.0.1::3306/v/u/\\n${x}#;,"'),
    ],
)
def test_mysql_servers(changes: dict[str, str | int], value: str) -> None:
    assert servers_line(**changes) == value


def test_password_is_in_one_line_of_one_section_before_every_macro() -> None:
    text = exim.fragment(MYSQL)
    assert text.count("sekret") == 1
    assert text.index("sekret") < text.index("\nVMAIL_SQL_BOX")
    assert not any("sekret" in exim.section(name, MYSQL) for name in exim.SECTIONS[1:])


@pytest.mark.parametrize("field", ["host", "socket", "database", "user", "password"])
def test_a_line_end_never_gets_into_the_file(field: str) -> None:
    with pytest.raises(templates.UnsafeValue):
        servers_line(**{field: "a\nnever_users ="})


def test_sqlite_file() -> None:
    text = exim.section("main", SQLITE)
    assert '\nsqlite_dbfile = "/var/lib/vmail/vmail.db"\n' in text
    assert "mysql" not in exim.fragment(SQLITE)


@BOTH
def test_sections_in_order(database: Database) -> None:
    text = exim.fragment(database)
    assert re.findall(r"^begin (\w+)$", text, re.MULTILINE) == ["acl", "routers", "transports"]
    for name in exim.SECTIONS:
        assert exim.section(name, database) in text
        assert "begin " not in exim.section(name, database)


@BOTH
def test_text_is_tidy(database: Database) -> None:
    text = exim.standalone(database, exim.Server("mail.klient1.pl", "::1", 2525))
    assert text.endswith("\n")
    assert "\n\n\n" not in text
    assert not re.search(r"[ \t]$", text, re.MULTILINE)
    assert not re.search("<<|>>|<%|%>", text)
    assert exim.standalone(database, exim.Server("mail.klient1.pl", "::1", 2525)) == text


def test_continued_lines_are_not_followed_by_a_gap() -> None:
    # A blank line or a comment after a backslash would end, or join, what it should not.
    lines = exim.fragment(MYSQL).splitlines()
    for line, following in itertools.pairwise(lines):
        if line.endswith("\\"):
            assert following.startswith("  ")
            assert following.strip()


def options(text: str, name: str) -> dict[str, str]:
    """Return the options of one driver; a boolean one has an empty value."""
    (body,) = re.findall(rf"^{name}:\n((?:  .*\n)+)", text, re.MULTILINE)
    pairs = (line.strip().partition(" = ") for line in body.replace("\\\n", "").splitlines())
    return {key: value for key, _, value in pairs}


def test_routers_in_the_papers_order_with_a_fence_behind() -> None:
    text = exim.section("routers", MYSQL)
    names = re.findall(r"^(\w+):$", text, re.MULTILINE)
    assert names == ["virtual_forward", "virtual_localuser", "virtual_defaultuser", "virtual_unknownuser"]
    for name in names:
        assert options(text, name)["domains"] == "+vmail_domains"


@pytest.mark.parametrize("name", ["virtual_forward", "virtual_defaultuser"])
def test_redirections_obey_no_row(name: str) -> None:
    found = options(exim.section("routers", MYSQL), name)
    assert {"forbid_file", "forbid_pipe", "forbid_include", "forbid_blackhole"} <= found.keys()
    assert not {"allow_fail", "allow_filter", "pipe_transport", "file_transport"} & found.keys()


def test_mbox_transport() -> None:
    found = options(exim.section("transports", MYSQL), "virtual_localdelivery")
    expected = {
        "mode": "0660",
        "mode_fail_narrower": "false",
        "use_lockfile": "true",
        "use_fcntl_lock": "true",
        "delivery_date_add": "",
        "envelope_to_add": "",
        "return_path_add": "",
        "user": "${extract{unix_user}{$address_data}}",
    }
    assert expected.items() <= found.items()


@pytest.mark.parametrize("name", exim.SECTIONS)
def test_paths_and_owners_are_never_made_of_the_address(name: str) -> None:
    # Exim 4.94 and later call such values tainted, and refuse them only when mail is delivered.
    for line in exim.section(name, MYSQL).splitlines():
        if re.match(r"  (file|directory|user) = ", line):
            assert "$domain" not in line
            assert "$local_part" not in line


def test_acl_says_unknown_only_when_it_is_known() -> None:
    text = exim.section("acl", MYSQL)
    verify, message = text.index("!verify    = recipient"), text.index("message    = 550 5.1.1 Unknown user")
    assert verify < message


def test_standalone_settings() -> None:
    text = exim.standalone(MYSQL, exim.Server("mail.klient1.pl", "127.0.0.1", 2525))
    for line in (
        "primary_hostname = mail.klient1.pl",
        "local_interfaces = <; 127.0.0.1",
        "daemon_smtp_ports = 2525",
        "never_users = root",
    ):
        assert f"\n{line}\n" in text
    assert re.findall(r"^begin (\w+)$", text, re.MULTILINE) == ["acl", "routers", "transports", "retry"]


def test_standalone_defaults() -> None:
    text = exim.standalone(MYSQL, exim.Server())
    assert "\ndaemon_smtp_ports = 25\n" in text
    assert "primary_hostname" not in text
    assert "local_interfaces" not in text


@pytest.mark.parametrize("name", ["a b", "a\nb", "-a.pl", "a..pl", ".pl", "a_b.pl", "ż.pl", "a.pl\n"])
def test_bad_host_names(name: str) -> None:
    with pytest.raises(NotExpressible, match="not a host name"):
        exim.standalone(MYSQL, exim.Server(hostname=name))


@pytest.mark.parametrize(
    "address", ["localhost", "1.2.3", "127.0.0.1\n", "127.0.0.1 ; 0.0.0.0", "::1%eth0\n"]
)
def test_bad_addresses(address: str) -> None:
    with pytest.raises(NotExpressible, match="not an IP address"):
        exim.standalone(MYSQL, exim.Server(listen=address))
