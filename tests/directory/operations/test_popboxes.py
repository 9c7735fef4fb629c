from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from tpop3d_py.directory import operations
from tpop3d_py.directory.engine import Directory
from tpop3d_py.directory.errors import AlreadyThere, BadAddress, LimitReached, NotFound, Refused
from tpop3d_py.directory.lookup import LoginLookup


@pytest.fixture
def domain(directory: Directory) -> str:
    return operations.add_domain(directory, "klient1.pl").path


def _names(directory: Directory) -> list[str]:
    return [box.address for box in operations.list_popboxes(directory, "klient1.pl")]


@pytest.mark.parametrize(
    ("mailbox_type", "mbox_name"), [(None, "luser/"), ("maildir", "luser/"), ("bsd", "luser")]
)
def test_a_new_box(directory: Directory, domain: str, mailbox_type: str | None, mbox_name: str) -> None:
    added = operations.add_popbox(directory, "KLIENT1.pl", "LUser", mailbox_type=mailbox_type)
    assert (added.address, added.mbox_name) == ("luser@klient1.pl", mbox_name)
    assert added.path == f"{domain}/{mbox_name}"
    assert not added.forwarded
    box = operations.show_popbox(directory, "klient1.pl", "luser")
    assert (box.mailbox_type, box.has_password) == (mailbox_type or "maildir", False)
    assert not os.path.exists(added.path)  # the MTA makes it


def test_names_alike_in_their_beginning_are_two_boxes(directory: Directory, domain: str) -> None:
    for name in ("jan.kowalski", "jan.kowalczyk", "o'hara", "a+b", "a%b"):
        operations.add_popbox(directory, "klient1.pl", name)
    assert len(_names(directory)) == 5


@pytest.mark.parametrize(
    "name", ["a/b", "a\0b", "a\nb", "../x", "", "x" * 65, "_default_", "a b", "\x1b[2J", "ż"]
)
def test_a_bad_name_changes_nothing(directory: Directory, domain: str, name: str) -> None:
    with pytest.raises(BadAddress) as caught:
        operations.add_popbox(directory, "klient1.pl", name)
    assert str(caught.value).isprintable()
    assert _names(directory) == []


def test_a_duplicate_is_refused(directory: Directory, domain: str) -> None:
    operations.add_popbox(directory, "klient1.pl", "luser")
    for mailbox_type in ("bsd", "maildir"):
        with pytest.raises(AlreadyThere, match=r"'luser@klient1\.pl' exists already"):
            operations.add_popbox(directory, "klient1.pl", "LUSER", mailbox_type=mailbox_type)
    assert _names(directory) == ["luser@klient1.pl"]


def test_an_unknown_format_is_refused(directory: Directory, domain: str) -> None:
    with pytest.raises(Refused, match="bsd, maildir"):
        operations.add_popbox(directory, "klient1.pl", "luser", mailbox_type="mbx")


def test_the_limit_holds_and_deleting_makes_room(directory: Directory, domain: str) -> None:
    operations.set_max_popbox(directory, "klient1.pl", 2)
    operations.add_popbox(directory, "klient1.pl", "a")
    operations.add_popbox(directory, "klient1.pl", "b")
    with pytest.raises(LimitReached, match="is full: it has 2 of 2"):
        operations.add_popbox(directory, "klient1.pl", "c")
    with pytest.raises(AlreadyThere):  # the better answer of two
        operations.add_popbox(directory, "klient1.pl", "a")
    operations.delete_popbox(directory, "klient1.pl", "a")
    operations.add_popbox(directory, "klient1.pl", "c")
    operations.set_max_popbox(directory, "klient1.pl", 0)
    with pytest.raises(LimitReached):
        operations.add_popbox(directory, "klient1.pl", "d")
    assert _names(directory) == ["b@klient1.pl", "c@klient1.pl"]


def test_the_limit_holds_when_many_add_at_once(directory: Directory, domain: str) -> None:
    operations.set_max_popbox(directory, "klient1.pl", 5)
    full: list[int] = []

    def add(number: int) -> None:
        try:
            operations.add_popbox(directory, "klient1.pl", f"user{number}")
        except LimitReached:
            full.append(number)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(_names(directory)) == 5
    assert len(full) == 7


@pytest.mark.parametrize("kind", ["file", "maildir"])
def test_a_new_owner_does_not_get_old_mail_unasked(directory: Directory, domain: str, kind: str) -> None:
    old = Path(domain) / "luser"
    if kind == "file":
        old.write_text("From x\n")
    else:
        (old / "new").mkdir(parents=True)
    for mailbox_type in ("bsd", "maildir"):
        with pytest.raises(AlreadyThere, match="holds mail of an earlier box"):
            operations.add_popbox(directory, "klient1.pl", "luser", mailbox_type=mailbox_type)
    assert _names(directory) == []
    operations.add_popbox(directory, "klient1.pl", "luser", adopt=True)
    assert _names(directory) == ["luser@klient1.pl"]


def test_without_its_directory_a_domain_gets_no_boxes(directory: Directory, domain: str) -> None:
    os.rmdir(domain)
    with pytest.raises(Refused, match="does not exist"):
        operations.add_popbox(directory, "klient1.pl", "luser")
    assert _names(directory) == []


def test_two_boxes_never_share_a_file(directory: Directory, domain: str) -> None:
    operations.add_popbox(directory, "klient1.pl", "old.name")
    with directory.writing() as connection:
        connection.exec_driver_sql("UPDATE popbox SET mbox_name = 'luser'")
    with pytest.raises(AlreadyThere, match=r"'old\.name@klient1\.pl' keeps its mail in 'luser'"):
        operations.add_popbox(directory, "klient1.pl", "luser", adopt=True)


def test_a_forwarder_of_the_same_name_is_mentioned(directory: Directory, domain: str) -> None:
    operations.add_forwarder(directory, "klient1.pl", "luser", ["a@przyklad.pl"])
    assert operations.add_popbox(directory, "klient1.pl", "luser").forwarded


def test_a_password_holds_from_the_next_login_on(directory: Directory, domain: str) -> None:
    operations.add_popbox(directory, "klient1.pl", "luser")
    lookup = LoginLookup(directory.engine)
    found = lookup.find("luser", "klient1.pl")
    assert found is not None
    assert found.password_hash == ""
    for password in ("haslo_lusera", "zażółć gęślą jaźń "):
        operations.set_password(directory, "LUser@Klient1.pl", password, lambda p: f"{{x}}{p}")
        found = lookup.find("luser", "klient1.pl")
        assert found is not None
        assert found.password_hash == f"{{x}}{password}"
    assert operations.show_popbox(directory, "klient1.pl", "luser").has_password


@pytest.mark.parametrize("password", ["", "a\0b", "a\nb", "a\r", "\n", "x" * 249, "ż" * 125, "a\udcffb"])
def test_a_password_that_no_client_can_send_is_refused(
    directory: Directory, domain: str, password: str
) -> None:
    operations.add_popbox(directory, "klient1.pl", "luser")
    with pytest.raises(Refused, match="password") as caught:
        operations.set_password(directory, "luser@klient1.pl", password, str)
    assert str(caught.value).isprintable()
    assert not operations.show_popbox(directory, "klient1.pl", "luser").has_password


def test_an_unknown_box_is_refused_before_the_hash_is_made(directory: Directory, domain: str) -> None:
    def never(_password: str) -> str:
        raise AssertionError

    with pytest.raises(NotFound, match=r"'luser@klient1\.pl' does not exist"):
        operations.set_password(directory, "luser@klient1.pl", "x", never)
    with pytest.raises(NotFound):
        operations.delete_popbox(directory, "klient1.pl", "luser")
    with pytest.raises(NotFound):
        operations.show_popbox(directory, "klient1.pl", "luser")


def test_a_box_deleted_meanwhile_is_told(directory: Directory, domain: str) -> None:
    operations.add_popbox(directory, "klient1.pl", "luser")

    def slow(password: str) -> str:
        operations.delete_popbox(directory, "klient1.pl", "luser")
        return password

    with pytest.raises(NotFound):
        operations.set_password(directory, "luser@klient1.pl", "x", slow)


def test_deleting_says_where_the_mail_stays(directory: Directory, domain: str) -> None:
    operations.add_popbox(directory, "klient1.pl", "luser", mailbox_type="bsd")
    (Path(domain) / "luser").write_text("From x\n")
    gone = operations.delete_popbox(directory, "klient1.pl", "luser")
    assert gone.path == f"{domain}/luser"
    assert Path(gone.path).read_text() == "From x\n"
    assert _names(directory) == []
