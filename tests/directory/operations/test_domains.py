from __future__ import annotations

import os
from pathlib import Path

import pytest

from tpop3d_py.directory import operations, statements
from tpop3d_py.directory.engine import Directory, DirectorySettings, make_engine
from tpop3d_py.directory.errors import AlreadyThere, BadAddress, DirectoryUnavailable, NotFound, Refused


def test_a_new_domain_has_a_directory_and_no_limit(directory: Directory, tmp_path: Path) -> None:
    added = operations.add_domain(directory, "Klient1.PL")
    assert (added.name, added.path) == ("klient1.pl", f"{tmp_path}/SERVERS/klient1.pl")
    assert os.path.isdir(added.path)
    domain = operations.show_domain(directory, "KLIENT1.pl")
    assert (domain.max_popbox, domain.popboxes, domain.forwarders) == (None, 0, 0)
    assert domain.unix_user == directory.settings.default_unix_user
    assert operations.list_domains(directory) == ["klient1.pl"]


def test_a_u_label_is_stored_as_its_a_label(directory: Directory) -> None:
    assert operations.add_domain(directory, "Żółw.pl").name == "xn--w-uga1v8h.pl"
    with pytest.raises(AlreadyThere):
        operations.add_domain(directory, "xn--w-uga1v8h.pl")


def test_a_duplicate_changes_nothing(directory: Directory, tmp_path: Path) -> None:
    operations.add_domain(directory, "klient1.pl")
    operations.set_max_popbox(directory, "klient1.pl", 7)
    with pytest.raises(AlreadyThere, match=r"'klient1\.pl' exists already"):
        operations.add_domain(directory, "KLIENT1.PL", path=f"{tmp_path}/other")
    assert operations.show_domain(directory, "klient1.pl").max_popbox == 7
    assert not os.path.exists(f"{tmp_path}/other")


@pytest.mark.parametrize("below", ["", "/luser", "/a/b"])
def test_two_domains_never_share_files(directory: Directory, tmp_path: Path, below: str) -> None:
    operations.add_domain(directory, "klient1.pl")
    with pytest.raises(Refused, match=r"overlaps with that of domain 'klient1\.pl'"):
        operations.add_domain(directory, "klient2.pl", path=f"{tmp_path}/SERVERS/klient1.pl{below}")
    with pytest.raises(Refused, match="overlaps"):
        operations.add_domain(directory, "klient2.pl", path=f"{tmp_path}/SERVERS")
    operations.add_domain(directory, "klient1.pl.com")  # a longer name is not a directory below


@pytest.mark.parametrize(
    "name", ["", "a b.pl", "../etc", "klient1.pl\n", "a\0.pl", "x" * 300, "\x1b]0;x\x07.pl"]
)
def test_a_bad_name_makes_no_directory(directory: Directory, tmp_path: Path, name: str) -> None:
    before = os.listdir(tmp_path)
    with pytest.raises(BadAddress) as caught:
        operations.add_domain(directory, name)
    assert str(caught.value).isprintable()
    assert os.listdir(tmp_path) == before


def test_a_bad_owner_makes_no_directory(directory: Directory, tmp_path: Path) -> None:
    for user in ("root", "no-such-user"):
        with pytest.raises(Refused):
            operations.add_domain(directory, "klient1.pl", unix_user=user)
    assert operations.list_domains(directory) == []
    assert not os.path.exists(tmp_path / "SERVERS")


def test_a_database_that_fails_at_the_end_leaves_no_directory(
    directory: Directory, settings: DirectorySettings, tmp_path: Path
) -> None:
    hasty = Directory(settings, make_engine(settings, answer_seconds=0.01))
    with directory.writing(), pytest.raises(DirectoryUnavailable, match="locked"):
        operations.add_domain(hasty, "klient1.pl")
    assert os.listdir(tmp_path / "SERVERS") == []


def test_somebody_who_was_faster_wins(directory: Directory, tmp_path: Path) -> None:
    def meanwhile(_: object) -> None:
        with directory.writing() as connection:
            connection.execute(statements.add_domain("klient1.pl", "vmail", "/elsewhere"))

    with pytest.raises(AlreadyThere):
        operations.add_domain(directory, "klient1.pl", announce=meanwhile)
    assert os.listdir(tmp_path / "SERVERS") == []
    assert operations.show_domain(directory, "klient1.pl").path == "/elsewhere"


def test_a_limit_is_set_and_lifted(directory: Directory) -> None:
    operations.add_domain(directory, "klient1.pl")
    for limit in (50, 0, None, 2**31 - 1):
        operations.set_max_popbox(directory, "klient1.pl", limit)
        assert operations.show_domain(directory, "klient1.pl").max_popbox == limit
    for bad in (-1, 2**31):
        with pytest.raises(Refused, match="between"):
            operations.set_max_popbox(directory, "klient1.pl", bad)


def test_an_unknown_domain_names_the_nearest(directory: Directory) -> None:
    operations.add_domain(directory, "klient1.pl")
    for attempt in (
        lambda: operations.set_max_popbox(directory, "klient.pl", 5),
        lambda: operations.set_domain_password(directory, "klient.pl", "x", str),
        lambda: operations.delete_domain(directory, "klient.pl"),
        lambda: operations.show_domain(directory, "klient.pl"),
        lambda: operations.list_popboxes(directory, "klient.pl"),
        lambda: operations.add_popbox(directory, "klient.pl", "x"),
        lambda: operations.add_forwarder(directory, "klient.pl", "x", ["a@b.pl"]),
    ):
        with pytest.raises(NotFound, match=r"'klient\.pl' does not exist; did you mean 'klient1\.pl'\?"):
            attempt()
    with pytest.raises(NotFound, match=r"'zupelnie.inna' does not exist$"):
        operations.show_domain(directory, "zupelnie.inna")


def test_a_password_is_stored_as_its_hash(directory: Directory) -> None:
    operations.add_domain(directory, "klient1.pl")
    operations.set_domain_password(directory, "klient1.pl", "haslo_domeny", lambda p: f"{{x}}{p[::-1]}")
    with directory.reading() as connection:
        stored = connection.exec_driver_sql("SELECT password_hash FROM domain").scalar_one()
    assert stored == "{x}ynemod_olsah"


def test_deleting_a_domain_takes_its_rows_and_leaves_its_files(directory: Directory) -> None:
    for name in ("klient1.pl", "klient2.pl"):
        operations.add_domain(directory, name)
        operations.add_popbox(directory, name, "luser")
        operations.add_popbox(directory, name, "other")
        operations.add_forwarder(directory, name, "info", ["luser"])
    gone = operations.delete_domain(directory, "klient1.pl")
    assert (gone.name, gone.popboxes, gone.forwarders) == ("klient1.pl", 2, 1)
    assert os.path.isdir(gone.path)
    assert operations.list_domains(directory) == ["klient2.pl"]
    assert len(operations.list_popboxes(directory, "klient2.pl")) == 2
    assert operations.show_domain(directory, "klient2.pl").forwarders == 1
    operations.add_domain(directory, "klient1.pl")  # the directory that stayed is used again
