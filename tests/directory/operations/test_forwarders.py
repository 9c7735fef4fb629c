from __future__ import annotations

import pytest

from tpop3d_py.directory import operations
from tpop3d_py.directory.engine import Directory
from tpop3d_py.directory.errors import AlreadyThere, BadAddress, NotFound, Refused

#: Forwarders that exist, what is added, and whether mail would go round.
LOOPS: list[tuple[list[tuple[str, str]], tuple[str, str], bool]] = [
    ([], ("a", "b"), False),
    ([("a", "b")], ("b", "a"), True),
    ([("a", "b"), ("b", "c")], ("c", "a"), True),
    ([("a", "b"), ("b", "c")], ("a", "c"), False),
    ([("a", "a@klient2.pl")], ("a@klient2.pl", "a"), True),
    ([("a", "a@elsewhere.example")], ("b", "a"), False),
    ([("x", "y"), ("y", "z"), ("z", "box")], ("box2", "x"), False),
    ([], ("a", "a"), True),  # no box to keep a copy in
    ([], ("box", "box"), False),
    ([("box", "box")], ("box", "b"), False),
    ([("box", "box")], ("a", "box"), False),
    ([("a", "box")], ("box", "a"), True),
    ([], ("_default_", "box"), False),
    ([], ("_default_", "nobody"), True),  # comes back to the catch-all
    ([("nobody", "a@elsewhere.example")], ("_default_", "nobody"), False),
    ([("_default_", "box")], ("box", "nobody"), True),
    ([("_default_", "box")], ("box", "b@elsewhere.example"), False),
    ([("_default_", "x@klient2.pl")], ("_default_@klient2.pl", "y"), True),
    ([("a", "b"), ("b", "a@klient2.pl")], ("A@Klient2.PL", "A"), True),
]


@pytest.fixture(autouse=True)
def domains(directory: Directory) -> None:
    for name in ("klient1.pl", "klient2.pl"):
        operations.add_domain(directory, name)
    for name in ("box", "box2"):
        operations.add_popbox(directory, "klient1.pl", name)


def _add(directory: Directory, name: str, target: str) -> operations.AddedForwarder:
    local_part, _, domain = name.partition("@")
    return operations.add_forwarder(directory, domain or "klient1.pl", local_part, [target])


def _all(directory: Directory) -> dict[str, tuple[str, ...]]:
    return {f.address: f.targets for f in operations.list_forwarders(directory, "klient1.pl")}


def test_targets_are_stored_in_one_form(directory: Directory) -> None:
    added = operations.add_forwarder(
        directory, "klient1.pl", "Info", ["BOX", "Some.One@Przyklad.PL", "X@KLIENT2.pl", "box@klient1.pl"]
    )
    expected = ("box@klient1.pl", "Some.One@przyklad.pl", "x@klient2.pl")
    assert added.targets == expected
    assert not added.bypassed
    assert _all(directory) == {"info@klient1.pl": tuple(sorted(expected))}


@pytest.mark.parametrize(
    "target",
    [
        "|/bin/sh",
        "/etc/passwd",
        ":include:/etc/passwd",
        '"a"@b.pl',
        "#x@b.pl",
        "a b@c.pl",
        "a@b\n",
        "",
        "@b.pl",
    ],
)
def test_one_bad_target_adds_none(directory: Directory, target: str) -> None:
    with pytest.raises(BadAddress) as caught:
        operations.add_forwarder(directory, "klient1.pl", "info", ["box", target])
    assert str(caught.value).isprintable()
    assert _all(directory) == {}


def test_at_least_one_target(directory: Directory) -> None:
    with pytest.raises(Refused, match="at least one"):
        operations.add_forwarder(directory, "klient1.pl", "info", [])


def test_a_duplicate_adds_none(directory: Directory) -> None:
    _add(directory, "info", "box")
    with pytest.raises(AlreadyThere, match=r"'info@klient1\.pl' is forwarded to 'box@klient1\.pl' already"):
        operations.add_forwarder(directory, "klient1.pl", "info", ["new", "BOX@KLIENT1.PL"])
    assert _all(directory) == {"info@klient1.pl": ("box@klient1.pl",)}


@pytest.mark.parametrize(("existing", "new", "round_"), LOOPS)
def test_mail_never_goes_round(
    directory: Directory, existing: list[tuple[str, str]], new: tuple[str, str], round_: bool
) -> None:
    for name, target in existing:
        _add(directory, name, target)
    before = _all(directory)
    if not round_:
        _add(directory, *new)
        return
    with pytest.raises(Refused, match=r"round for ever|forwarded to itself"):
        _add(directory, *new)
    assert _all(directory) == before


def test_a_loop_inside_one_command_adds_none(directory: Directory) -> None:
    _add(directory, "b", "a")
    with pytest.raises(Refused):
        operations.add_forwarder(directory, "klient1.pl", "a", ["c@przyklad.pl", "b"])
    assert list(_all(directory)) == ["b@klient1.pl"]


def test_a_box_that_gets_no_copy_is_mentioned(directory: Directory) -> None:
    assert _add(directory, "box", "a@przyklad.pl").bypassed
    assert not _add(directory, "box", "box").bypassed


def test_one_target_or_all_are_deleted(directory: Directory) -> None:
    operations.add_forwarder(directory, "klient1.pl", "info", ["a@b.pl", "box", "c@d.pl"])
    gone = operations.delete_forwarder(directory, "klient1.pl", "info", ["BOX", "A@B.PL"])
    assert gone.targets == ("box@klient1.pl", "a@b.pl")
    assert _all(directory) == {"info@klient1.pl": ("c@d.pl",)}
    with pytest.raises(NotFound, match=r"not forwarded to 'x@y\.pl'"):
        operations.delete_forwarder(directory, "klient1.pl", "info", ["c@d.pl", "x@y.pl"])
    assert _all(directory) == {"info@klient1.pl": ("c@d.pl",)}
    assert operations.delete_forwarder(directory, "klient1.pl", "INFO").targets == ("c@d.pl",)
    with pytest.raises(NotFound, match=r"forwarder 'info@klient1\.pl' does not exist"):
        operations.delete_forwarder(directory, "klient1.pl", "info")


def test_targets_of_an_original_database_can_be_deleted(directory: Directory) -> None:
    with directory.writing() as connection:
        connection.exec_driver_sql(
            "INSERT INTO forwarder VALUES ('klient1.pl', 'info', 'Box'), ('klient1.pl', 'x', '|cmd')"
        )
    assert operations.delete_forwarder(directory, "klient1.pl", "info", ["box"]).targets == ("Box",)
    assert operations.delete_forwarder(directory, "klient1.pl", "x").targets == ("|cmd",)
    assert _all(directory) == {}


def test_one_forwarder_is_listed(directory: Directory) -> None:
    _add(directory, "_default_", "box")
    _add(directory, "info", "box")
    found = operations.list_forwarders(directory, "klient1.pl", "_default_")
    assert found == [operations.Forwarder("_default_@klient1.pl", ("box@klient1.pl",))]
    with pytest.raises(NotFound):
        operations.list_forwarders(directory, "klient1.pl", "none")
    assert operations.list_forwarders(directory, "klient2.pl") == []
