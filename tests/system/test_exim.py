"""A real Exim with the generated configuration, over a real MariaDB with the original four tables."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator

import pytest

from tests.system.support.mariadb import Mariadb
from tests.system.support.processes import wait_for
from tests.system.support.site import OTHER, OURS, Site, filled, messages, permissions


@pytest.fixture
def site(mail_site: Site) -> Iterator[Site]:
    mail_site.clean()
    yield mail_site
    mail_site.is_safe()


def test_configuration_is_clean(site: Site) -> None:
    done = site.exim.command("-bV")
    assert (done.returncode, done.stderr) == (0, "")
    assert site.exim.command("-bP", "router_list").stdout.split() == [
        "virtual_forward",
        "virtual_localuser",
        "virtual_defaultuser",
        "virtual_unknownuser",
        "remote_domains",
    ]


def test_accepts_every_kind_of_address(site: Site) -> None:
    local_parts = ("luser", "LUSER", "jan", "o'hara", "a%b", "a+b", '"a b"', "upper", "żółw")
    forwarders = ("alias", "bare", "many", "list", "keep", "both", "across", "halfbad")
    answers = site.exim.answers([f"{name}@{OURS}" for name in (*local_parts, *forwarders)])
    assert set(answers.values()) == {"250 Accepted"}
    assert site.exim.answer(f"anybody@{OTHER}") == "250 Accepted"
    assert site.exim.answer(f"luser@{OURS.upper()}") == "250 Accepted"


def test_refuses_unknown_users_of_this_host_too(site: Site) -> None:
    for source in ("127.0.0.2", "127.0.0.1"):
        assert site.exim.answer(f"nobody@{OURS}", source) == "550 5.1.1 Unknown user"


def test_relays_for_nobody_but_this_host(site: Site) -> None:
    strange = [
        "somebody@example.org",
        "luser@sub.klient1.pl",
        "luser@klient1.pl.org",
        "luser@żółw.pl",
    ]
    assert set(site.exim.answers(strange).values()) == {"550 5.7.1 Relaying not permitted"}
    assert site.exim.answer(f"somebody%example.org@{OURS}") == "550 5.1.1 Unknown user"
    assert site.exim.answer("somebody@example.org", source="127.0.0.1") == "250 Accepted"


@pytest.mark.parametrize(
    ("address", "routing"),
    [
        (f"luser@{OURS}", "router = virtual_localuser, transport = virtual_localdelivery"),
        (f"jan@{OURS}", "router = virtual_localuser, transport = virtual_maildirdelivery"),
        (f"alias@{OURS}", f"<-- alias@{OURS}"),
        (f"anybody@{OTHER}", f"<-- anybody@{OTHER}"),
    ],
)
def test_routing(site: Site, address: str, routing: str) -> None:
    done = site.exim.command("-bt", address)
    assert (done.returncode, done.stderr) == (0, "")
    assert routing in done.stdout


def test_routing_of_unknown_address(site: Site) -> None:
    done = site.exim.command("-bt", f"nobody@{OURS}")
    assert done.returncode == 2
    assert "undeliverable: Unknown user" in done.stdout


def test_catch_all_that_leads_to_itself_ends_at_the_fence(site: Site, vmail: pwd.struct_passwd) -> None:
    site.directory.add_domain("round.pl", vmail)
    site.directory.insert("forwarder", ("round.pl", "_default_", "root@round.pl"))
    assert site.exim.answer("anybody@round.pl") == "550 5.1.1 Unknown user"
    assert site.exim.answer("root@round.pl") == "550 5.1.1 Unknown user"


def test_mbox_as_in_the_paper(site: Site) -> None:
    site.exim.send([f"luser@{OURS}"], "From here\r\nto there\r\n")
    box = site.ours / "luser"
    wait_for(lambda: filled(box), "the mail")
    assert permissions(box) == ("-rw-rw----", "vmail", "nogroup")
    lines = box.read_text().splitlines()
    assert lines[0].startswith("From sender@example.org ")
    assert lines[1] == "Return-path: <sender@example.org>"
    assert lines[2] == f"Envelope-to: luser@{OURS}"
    assert lines[3].startswith("Delivery-date: ")
    assert lines[-3:] == [">From here", "to there", ""]


def test_each_domain_has_its_unix_user(site: Site) -> None:
    site.exim.send([f"luser@{OTHER}", f"unknown-to-all@{OTHER}"])
    box, catcher = site.other / "luser", site.other / "catcher"
    wait_for(lambda: filled(box) and messages(catcher), "both mails")
    assert permissions(box) == ("-rw-rw----", "vmail2", "nogroup")
    (message,) = messages(catcher)
    assert permissions(message)[1] == "vmail2"
    assert f"Envelope-to: unknown-to-all@{OTHER}" in message.read_text()


def test_maildir(site: Site) -> None:
    site.exim.send([f"jan@{OURS}"], ".\r\nFrom here\r\n\r\n")
    wait_for(lambda: messages(site.ours / "jan"), "the mail")
    (message,) = messages(site.ours / "jan")
    assert permissions(message) == ("-rw-------", "vmail", "nogroup")
    assert permissions(site.ours / "jan") == ("drwx------", "vmail", "nogroup")
    assert message.name.endswith(f",S={message.stat().st_size}")
    assert message.read_text().startswith("Return-path: <sender@example.org>\n")
    assert message.read_text().endswith("\n\n.\nFrom here\n\n")


def test_forwarder_to_several_makes_one_copy_each(site: Site) -> None:
    site.exim.send([f"many@{OURS}", f"list@{OURS}", f"one@{OURS}"])
    one, two = site.ours / "one", site.ours / "two"
    wait_for(lambda: filled(one) and filled(two), "both mails")
    assert one.read_text().count("\nFrom: ") == 1
    assert two.read_text().count("\nFrom: ") == 1


def test_forwarder_to_itself_keeps_a_copy(site: Site) -> None:
    site.exim.send([f"keep@{OURS}"])
    wait_for(lambda: filled(site.ours / "keep") and filled(site.ours / "one"), "both mails")


def test_forwarder_beats_a_box_of_its_name(site: Site) -> None:
    done = site.since_now()
    site.exim.send([f"both@{OURS}"])
    wait_for(lambda: done("Completed"), "the delivery")
    assert filled(site.ours / "two")
    assert not (site.ours / "both").exists()


def test_names_with_punctuation(site: Site) -> None:
    done = site.since_now()
    site.exim.send([f"{name}@{OURS}" for name in ("o'hara", "a%b", "a+b", '"a b"', "upper")])
    wait_for(lambda: done("Completed"), "the deliveries")
    assert {p.name for p in site.ours.iterdir() if filled(p) and p.is_file()} == {
        *("o'hara", "a%b", "a+b", "a b", "upper")
    }


def test_file_with_fewer_permissions_is_taken(site: Site, vmail: pwd.struct_passwd) -> None:
    box = site.ours / "luser"
    box.touch(0o600)
    os.chown(box, vmail.pw_uid, vmail.pw_gid)
    site.exim.send([f"luser@{OURS}"])
    wait_for(lambda: filled(box), "the mail")
    assert permissions(box)[0] == "-rw-------"


def test_missing_directory_defers_and_is_not_made(site: Site, vmail: pwd.struct_passwd) -> None:
    path = site.directory.add_domain("nowhere.pl", vmail)
    site.directory.insert("popbox", ("nowhere.pl", "luser", "luser"))
    path.rmdir()
    logged = site.since_now()
    site.exim.send(["luser@nowhere.pl"])
    wait_for(lambda: logged("== luser@nowhere.pl"), "a deferral")
    assert not path.exists()


def test_database_that_fails_is_not_an_unknown_user(site: Site, mariadb: Mariadb) -> None:
    for table, recipients in (("popbox", [f"luser@{OURS}"]), ("domain", [f"luser@{OURS}", "x@example.org"])):
        mariadb.execute(f"RENAME TABLE {table} TO away", database="site")
        try:
            answers = site.exim.answers(recipients)
        finally:
            mariadb.execute(f"RENAME TABLE away TO {table}", database="site")
        assert {reply[:4] for reply in answers.values()} == {"451 "}
        assert "Unknown user" not in str(answers)
