from __future__ import annotations

import os

import pytest

from tests.cli.shell import Shell
from tpop3d_py.cli import common


def test_a_limit_is_lifted_by_none(klient1: Shell) -> None:
    klient1("VE-domain popboxes klient1.pl max 1")
    assert "is full: it has 1 of 1 boxes" in klient1.refuses("VE-popbox add klient1.pl other")
    assert klient1("VE-domain popboxes klient1.pl max none").out == "Done.\n"
    assert klient1("VE-popbox add klient1.pl other").code == 0


def test_list_and_show(klient1: Shell) -> None:
    klient1("VE-domain add drugi.klient.pl")
    assert klient1("VE-domain list").out == "drugi.klient.pl\nklient1.pl\n"
    assert klient1("VE-domain show KLIENT1.pl").out == (
        "Domain:     klient1.pl\n"
        f"Unix user:  {klient1.owner}\n"
        f"Directory:  {klient1.folder}/SERVERS/klient1.pl\n"
        "Popboxes:   1 (no limit)\n"
        "Forwarders: 0\n"
    )


def test_user_and_path_can_be_named(shell: Shell) -> None:
    outcome = shell(f"VE-domain add klient1.pl --user {shell.owner} --path {shell.folder}/elsewhere")
    assert f"Used directory '{shell.folder}/elsewhere'" in outcome.out
    assert os.path.isdir(shell.folder / "elsewhere")
    assert "must not belong to root" in shell.refuses("VE-domain add klient2.pl --user root")
    assert "absolute" in shell.refuses("VE-domain add klient2.pl --path relative")


@pytest.mark.parametrize(
    "name", ["", "a/b.pl", "../x", "a\nb.pl", "a b.pl", "x" * 300, "\udcff.pl", "klient1.pl"]
)
def test_a_name_that_cannot_be_added(klient1: Shell, name: str) -> None:
    klient1.refuses("VE-domain add", name)


def test_an_unknown_domain_names_the_nearest(klient1: Shell) -> None:
    for line in (
        "VE-domain popboxes klient.pl max 5",
        "VE-domain show klient.pl",
        "VE-domain delete klient.pl --yes",
        "VE-popbox add klient.pl x",
        "VE-popbox list klient.pl",
        "VE-forwarder list klient.pl",
        "VE-passwd klient.pl x",
        "VE-passwd luser@klient.pl x",
    ):
        assert "did you mean 'klient1.pl'?" in klient1.refuses(line)


@pytest.mark.parametrize("word", ["delete", "del"])
def test_deleting_says_what_happens_to_the_files(klient1: Shell, word: str) -> None:
    outcome = klient1(f"VE-domain {word} klient1.pl --yes")
    assert outcome.code == 0
    assert outcome.out == (
        "Deleted domain 'klient1.pl', 1 popbox(es), 0 forwarder(s)\n"
        f"Mail stays in '{klient1.folder}/SERVERS/klient1.pl'; remove it by hand\n"
        "Done\n"
    )
    assert os.path.isdir(klient1.folder / "SERVERS/klient1.pl")


def test_without_a_terminal_nothing_is_deleted_unasked(klient1: Shell) -> None:
    for line in ("VE-domain delete klient1.pl", "VE-popbox del klient1.pl luser"):
        assert "--yes" in klient1.refuses(line, stdin=b"y\n")


@pytest.mark.parametrize(
    ("answer", "deleted"), [("y", True), ("Yes ", True), ("", False), ("n", False), ("tak", False)]
)
def test_on_a_terminal_it_asks(
    klient1: Shell, monkeypatch: pytest.MonkeyPatch, answer: str, deleted: bool
) -> None:
    asked: list[str] = []

    def reply(question: str) -> str:
        asked.append(question)
        return answer

    monkeypatch.setattr("builtins.input", reply)
    monkeypatch.setattr(common, "has_terminal", lambda: True)
    assert klient1("VE-domain delete klient1.pl").code == (0 if deleted else 1)
    assert asked == ["Delete domain 'klient1.pl' with 1 popbox(es) and 0 forwarder(s)? [y/N] "]
    assert (klient1("VE-domain list").out == "") is deleted
