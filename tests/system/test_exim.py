"""A real Exim with the generated configuration, over a real MariaDB with the original four tables."""

from __future__ import annotations

import fcntl
import os
import pwd
import smtplib
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url

from tests.system.support.exim import Exim
from tests.system.support.mariadb import Mariadb
from tests.system.support.paper import Directory
from tests.system.support.processes import wait_for
from tpop3d_py.mta import exim as generator
from tpop3d_py.mta.facts import MysqlServer, database_of

StartExim = Callable[[Callable[[int], str]], Exim]

OURS = "klient1.pl"
OTHER = "drugi.klient.pl"

BOXES = (
    (OURS, "luser", "luser"),
    (OURS, "jan", "jan/"),
    (OURS, "keep", "keep"),
    (OURS, "one", "one"),
    (OURS, "two", "two"),
    (OURS, "both", "both"),
    (OURS, "o'hara", "o'hara"),
    (OURS, "a%b", "a%b"),
    (OURS, "a+b", "a+b"),
    (OURS, "a b", "a b"),
    (OURS, "żółw", "żółw/"),
    (OURS, "Upper", "upper"),
    (OURS, "dots", "a..b"),
    (OTHER, "luser", "luser"),
    (OTHER, "catcher", "catcher/"),
    # Rows of a domain's owner who would like to have more.
    (OURS, "up", "../drugi.klient.pl/luser"),
    (OURS, "upup", ".."),
    (OURS, "updir", "../"),
    (OURS, "dot", "."),
    (OURS, "deep", "sub/box"),
    (OURS, "root", "/etc/passwd"),
    (OURS, "slash", "/"),
    (OURS, "hidden", ".luser"),
    (OURS, "empty", ""),
    (OURS, "null", None),
    (OURS, "_default_", "luser"),
)

FORWARDERS = (
    (OURS, "alias", f"luser@{OURS}"),
    (OURS, "bare", "luser"),
    (OURS, "many", f"one@{OURS}"),
    (OURS, "many", f"two@{OURS}"),
    (OURS, "list", f"one@{OURS}, two@{OURS}"),
    (OURS, "keep", f"keep@{OURS}"),
    (OURS, "keep", f"one@{OURS}"),
    (OURS, "both", f"two@{OURS}"),
    (OURS, "across", f"catcher@{OTHER}"),
    (OURS, "away", "somebody@example.org"),
    (OURS, "loop1", f"loop2@{OURS}"),
    (OURS, "loop2", f"loop1@{OURS}"),
    (OURS, "dead", f"nobody@{OURS}"),
    (OTHER, "_default_", f"catcher@{OTHER}"),
    # Hostile rows.
    (OURS, "pipe", "|/usr/bin/touch /tmp/hostile"),
    (OURS, "blankpipe", " |/usr/bin/touch /tmp/hostile"),
    (OURS, "secondpipe", f"one@{OURS}, |/usr/bin/touch /tmp/hostile"),
    (OURS, "linepipe", f"one@{OURS}\n|/usr/bin/touch /tmp/hostile"),
    (OURS, "quotedpipe", '"|/usr/bin/touch /tmp/hostile"'),
    (OURS, "file", "/tmp/hostile"),
    (OURS, "blankfile", " /tmp/hostile"),
    (OURS, "secondfile", f"one@{OURS},  /tmp/hostile"),
    (OURS, "tabfile", "\t/tmp/hostile"),
    (OURS, "include", ":include:/etc/passwd"),
    (OURS, "fail", ":fail: go away"),
    (OURS, "defer", ":defer: later"),
    (OURS, "blackhole", ":blackhole:"),
    (OURS, "comment", "#nothing"),
    (OURS, "wholedomain", f"@{OTHER}"),
    (OURS, "nothing", ""),
    (OURS, "blank", " "),
    (OURS, "null", None),
)

ACCEPTED = (
    "luser",
    "LUSER",
    "jan",
    "o'hara",
    "a%b",
    "a+b",
    '"a b"',
    "upper",
    "dots",
    "alias",
    "bare",
    "many",
    "list",
    "keep",
    "both",
    "across",
    "żółw",
)

HOSTILE_ROWS = (
    *("up", "upup", "updir", "dot", "deep", "root", "slash", "hidden", "empty", "null", "_default_"),
    *(
        "pipe",
        "blankpipe",
        "secondpipe",
        "linepipe",
        "quotedpipe",
        "file",
        "blankfile",
        "secondfile",
        "tabfile",
    ),
    *("include", "fail", "defer", "blackhole", "comment", "wholedomain", "nothing", "blank"),
    *("loop1", "dead"),
)

# mta.md section 5: injections, wildcards, other spellings of a name, words of Exim's and Postfix' languages.
HOSTILE_LOCAL_PARTS = (
    "nobody",
    "\"x' or '1'='1\"",
    '"x\' or 1=1 limit 1 #"',
    '"x\' or 1=1 -- "',
    "'",
    '"\\\\\'"',
    '"x\\\\\' or 1=1 -- "',
    '"\\\\"',
    '"a\\"b"',
    '"x\'/**/or/**/1=1/**/#"',
    '"x\'; delete from popbox; -- "',
    "\"x' union select path,unix_user,'luser' from domain -- \"",
    '"x\' or sleep(4) -- "',
    "%",
    "luse_",
    "_ser",
    "l%",
    "*",
    '"luser "',
    '" luser"',
    "lúser",
    "${run{/usr/bin/touch$value/tmp/hostile}}",
    '"${run{/usr/bin/touch /tmp/hostile}}"',
    '"${lookup mysql{DELETE FROM popbox}}"',
    '"../../etc/passwd"',
    '"../drugi.klient.pl/luser"',
    '"|/usr/bin/touch /tmp/hostile"',
    '":include:/etc/passwd"',
    '"%s"',
    '"%u@%d"',
    '"{"',
    '"}}"',
    "$local_part",
)


class Site:
    """Everything a test needs to know about the servers it talks to."""

    def __init__(self, directory: Directory, exim: Exim, *owners: pwd.struct_passwd) -> None:
        self.directory = directory
        self.exim = exim
        self.ours = directory.add_domain(OURS, owners[0])
        self.other = directory.add_domain(OTHER, owners[1])
        directory.insert("popbox", *BOXES)
        directory.insert("forwarder", *FORWARDERS)

    def clean(self) -> None:
        """Remove all mail."""
        for path in (*self.ours.rglob("*"), *self.other.rglob("*")):
            if path.is_file():
                path.unlink()


@pytest.fixture(scope="module")
def database(mariadb: Mariadb) -> str:
    return mariadb.url("exim")


@pytest.fixture(scope="module")
def site(
    area: Path, database: str, exim: StartExim, vmail: pwd.struct_passwd, vmail2: pwd.struct_passwd
) -> Iterator[Site]:
    facts = database_of(make_url(database))
    server = exim(
        lambda port: generator.standalone(facts, generator.Server("mail.klient1.pl", "127.0.0.1", port))
    )
    directory = Directory(create_engine(database), area / "exim-mail")
    yield Site(directory, server, vmail, vmail2)
    assert "not properly quoted" not in server.log()
    assert "ainted" not in server.log()
    assert not server.paniclog.exists() or "SQL" not in server.paniclog.read_text()
    assert not Path("/tmp/hostile").exists()
    directory.engine.dispose()


@pytest.fixture(autouse=True)
def _fresh(site: Site) -> None:
    site.clean()


def maildir(path: Path) -> list[Path]:
    return sorted((path / "new").iterdir()) if (path / "new").is_dir() else []


def owner_and_mode(path: Path) -> tuple[str, str, str]:
    status = path.stat()
    group = __import__("grp").getgrgid(status.st_gid).gr_name
    return stat.filemode(status.st_mode), pwd.getpwuid(status.st_uid).pw_name, group


def test_configuration_is_clean(site: Site) -> None:
    done = site.exim.command("-bV")
    assert (done.returncode, done.stderr) == (0, "")
    listed = site.exim.command("-bP", "router_list").stdout.split()
    assert listed == [
        "virtual_forward",
        "virtual_localuser",
        "virtual_defaultuser",
        "virtual_unknownuser",
        "remote_domains",
    ]


@pytest.mark.parametrize("local_part", ACCEPTED)
def test_accepts_at_rcpt(site: Site, local_part: str) -> None:
    assert site.exim.answer(f"{local_part}@{OURS}").startswith("250 ")


@pytest.mark.parametrize("local_part", HOSTILE_ROWS)
def test_hostile_row_is_an_unknown_user(site: Site, local_part: str) -> None:
    assert site.exim.answer(f"{local_part}@{OURS}") == "550 5.1.1 Unknown user"


@pytest.mark.parametrize("local_part", HOSTILE_LOCAL_PARTS)
def test_hostile_local_part_is_refused(site: Site, local_part: str) -> None:
    answer = site.exim.answer(f"{local_part}@{OURS}")
    assert answer == "550 5.1.1 Unknown user" or answer.startswith("501 ")
    assert site.exim.answer(f"luser@{OURS}").startswith("250 ")


def test_hostile_local_parts_reach_a_catch_all_as_addresses_only(site: Site) -> None:
    for local_part in HOSTILE_LOCAL_PARTS:
        assert site.exim.answer(f"{local_part}@{OTHER}")[:4] in ("250 ", "501 ")
    site.exim.send([f'"|/usr/bin/touch /tmp/hostile"@{OTHER}'])
    wait_for(lambda: maildir(site.other / "catcher"), "the catch-all's mail")
    assert not Path("/tmp/hostile").exists()


def test_relays_for_nobody_but_this_host(site: Site) -> None:
    assert site.exim.answer("somebody@example.org") == "550 5.7.1 Relaying not permitted"
    assert site.exim.answer("luser@sub.klient1.pl") == "550 5.7.1 Relaying not permitted"
    assert site.exim.answer(f"somebody%example.org@{OURS}") == "550 5.1.1 Unknown user"
    assert site.exim.answer("somebody@example.org", source="127.0.0.1").startswith("250 ")


def test_unknown_users_of_this_host_too(site: Site) -> None:
    assert site.exim.answer(f"nobody@{OURS}", source="127.0.0.1") == "550 5.1.1 Unknown user"


@pytest.mark.parametrize(
    ("address", "router"),
    [
        (f"luser@{OURS}", "virtual_localuser, transport = virtual_localdelivery"),
        (f"jan@{OURS}", "virtual_localuser, transport = virtual_maildirdelivery"),
        (f"catcher@{OTHER}", "virtual_localuser, transport = virtual_maildirdelivery"),
    ],
)
def test_routing(site: Site, address: str, router: str) -> None:
    done = site.exim.command("-bt", address)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"router = {router}" in done.stdout


def test_routing_of_unknown_address(site: Site) -> None:
    done = site.exim.command("-bt", f"nobody@{OURS}")
    assert done.returncode == 2
    assert "undeliverable: Unknown user" in done.stdout


def test_forwarder_may_lead_outside(site: Site) -> None:
    # Routing would ask the DNS: look at the child only.
    lookup = "${lookup mysql{SELECT remote_name FROM forwarder WHERE local_part='away'}}"
    assert site.exim.command("-be", lookup).stdout.strip() == "somebody@example.org"


def test_mbox_delivery_as_in_the_paper(site: Site) -> None:
    site.exim.send([f"luser@{OURS}"], "From here\r\nto there\r\n")
    box = site.ours / "luser"
    wait_for(lambda: box.exists() and b"to there" in box.read_bytes(), "the mail")
    assert owner_and_mode(box) == ("-rw-rw----", "vmail", "nogroup")
    lines = box.read_text().splitlines()
    assert lines[0].startswith("From sender@example.org ")
    assert lines[1] == "Return-path: <sender@example.org>"
    assert lines[2] == f"Envelope-to: luser@{OURS}"
    assert lines[3].startswith("Delivery-date: ")
    assert ">From here" in lines


def test_domain_has_its_own_unix_user(site: Site) -> None:
    site.exim.send([f"luser@{OTHER}", f"unknown-to-all@{OTHER}"])
    box = site.other / "luser"
    wait_for(lambda: box.exists() and box.stat().st_size and maildir(site.other / "catcher"), "both mails")
    assert owner_and_mode(box) == ("-rw-rw----", "vmail2", "nogroup")
    (message,) = maildir(site.other / "catcher")
    assert owner_and_mode(message)[1] == "vmail2"
    assert f"Envelope-to: unknown-to-all@{OTHER}" in message.read_text()
    assert box.read_text().count("\nEnvelope-to: ") == 1


def test_maildir_delivery(site: Site) -> None:
    site.exim.send([f"jan@{OURS}"], "Zażółć\r\n".encode().decode("latin-1") and "plain\r\n.\r\nx\r\n")
    wait_for(lambda: maildir(site.ours / "jan"), "the mail")
    (message,) = maildir(site.ours / "jan")
    assert owner_and_mode(message) == ("-rw-------", "vmail", "nogroup")
    assert message.name.endswith(f",S={message.stat().st_size}")
    assert owner_and_mode(site.ours / "jan")[0] == "drwx------"
    assert (site.ours / "jan" / "cur").is_dir()


def test_forwarder_to_several_keeps_one_copy_each(site: Site) -> None:
    site.exim.send([f"many@{OURS}", f"list@{OURS}", f"one@{OURS}"])
    one, two = site.ours / "one", site.ours / "two"
    wait_for(
        lambda: one.exists() and two.exists() and one.stat().st_size and two.stat().st_size, "both mails"
    )
    assert site.exim.command("-bpc").stdout.strip() == "0"
    assert one.read_text().count("\nFrom: ") == 1
    assert two.read_text().count("\nFrom: ") == 1


def test_forwarder_to_itself_keeps_a_copy(site: Site) -> None:
    site.exim.send([f"keep@{OURS}"])
    boxes = (site.ours / "keep", site.ours / "one")
    wait_for(lambda: all(box.exists() and box.stat().st_size for box in boxes), "both mails")


def test_forwarder_beats_a_box_of_its_name(site: Site) -> None:
    site.exim.send([f"both@{OURS}"])
    wait_for(lambda: (site.ours / "two").exists() and (site.ours / "two").stat().st_size, "the mail")
    assert not (site.ours / "both").exists()


def test_names_with_punctuation(site: Site) -> None:
    names = {"o'hara": "o'hara", "a%b": "a%b", '"a b"': "a b", "dots": "a..b"}
    site.exim.send([f"{local_part}@{OURS}" for local_part in names])
    for name in names.values():
        wait_for(lambda name=name: (site.ours / name).exists(), name)  # type: ignore[misc]


def test_file_with_fewer_permissions_is_taken(site: Site, vmail: pwd.struct_passwd) -> None:
    box = site.ours / "luser"
    box.touch(0o600)
    os.chown(box, vmail.pw_uid, vmail.pw_gid)
    site.exim.send([f"luser@{OURS}"])
    wait_for(lambda: box.stat().st_size, "the mail")
    assert owner_and_mode(box)[0] == "-rw-------"


def deferred(site: Site, text: str) -> Callable[[], bool]:
    """Tell when a new line with a text is in the main log."""
    start = len(site.exim.log())
    return lambda: text in site.exim.log()[start:]


def test_missing_directory_defers(site: Site, mariadb: Mariadb, vmail: pwd.struct_passwd) -> None:
    path = site.directory.add_domain("nowhere.pl", vmail)
    site.directory.insert("popbox", ("nowhere.pl", "luser", "luser"))
    path.rmdir()
    waits = deferred(site, "== luser@nowhere.pl")
    site.exim.send(["luser@nowhere.pl"])
    wait_for(waits, "a deferral")
    assert not path.exists()
    site.exim.command("-Mrm", *site.exim.command("-bpr").stdout.split()[2:3])


def test_waits_for_dotlock(site: Site, vmail: pwd.struct_passwd) -> None:
    lock = site.ours / "luser.lock"
    lock.touch()
    os.chown(lock, vmail.pw_uid, vmail.pw_gid)
    assert_waits_until(site, lock.unlink)


def test_waits_for_fcntl_lock(site: Site, vmail: pwd.struct_passwd) -> None:
    box = site.ours / "luser"
    box.touch(0o660)
    os.chown(box, vmail.pw_uid, vmail.pw_gid)
    descriptor = os.open(box, os.O_RDWR)
    fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert_waits_until(site, lambda: os.close(descriptor))


def assert_waits_until(site: Site, unlock: Callable[[], None]) -> None:
    """Send a message to a locked box, and see that it comes only after `unlock()`."""
    box = site.ours / "luser"
    started = deferred(site, f"<= sender@example.org")
    site.exim.send([f"luser@{OURS}"])
    wait_for(started, "the message's arrival")
    # Exim runs as root, then as vmail: a delivery process that has tried the lock sleeps three seconds.
    wait_for(lambda: delivering(site), "a delivery process")
    __import__("time").sleep(0.5)
    assert not box.exists() or not box.stat().st_size
    unlock()
    wait_for(lambda: box.exists() and box.stat().st_size, "the mail after the lock")


def delivering(site: Site) -> bool:
    return any((site.exim.config.parent / "spool/msglog").rglob("*-*-*"))


def test_database_that_does_not_answer_is_not_an_unknown_user(site: Site, mariadb: Mariadb) -> None:
    site.directory.engine.dispose()
    mariadb.execute("RENAME TABLE popbox TO popbox_away", database="exim")
    try:
        assert site.exim.answer(f"luser@{OURS}").startswith("451 ")
    finally:
        mariadb.execute("RENAME TABLE popbox_away TO popbox", database="exim")
