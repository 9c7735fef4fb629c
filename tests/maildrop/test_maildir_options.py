from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.maildrop.kit import FaultyFiles, bodies, identity, mail, maildir_driver, make_maildir, settle
from tpop3d_py.contracts import MaildropError
from tpop3d_py.maildrop.files import Files
from tpop3d_py.maildrop.maildir_options import FolderPattern, MaildirOptions
from tpop3d_py.maildrop.uidl import Style
from tpop3d_py.maildrop.wire import to_wire


def options(*words: str) -> MaildirOptions:
    return MaildirOptions(recursion=True, ignored=tuple(map(FolderPattern.parse, words)))


@pytest.fixture
def tree(tmp_path: Path) -> str:
    path = make_maildir(tmp_path / "M", [mail(1)])
    for number, name in enumerate(("Work", "Work.2001", "Trash", "Sent", "Sent.Old"), 10):
        folder = Path(path, f".{name}")
        make_maildir(folder, [], [mail(number)])
        old = folder / "cur" / "1000.M0P1.host:2,"
        old.rename(folder / "cur" / f"{2000 + number}.M1P1.{name}:2,")
        settle(folder)
    Path(path, ".notes").write_text("no folder")
    Path(path, "plain").mkdir()
    Path(path, ".link").symlink_to(Path(path, ".Work"))
    return path


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        ((), [1, 10, 11, 12, 13, 14]),
        (("Trash", "Sent"), [1, 10, 11, 14]),
        (("^Sent", "Trash"), [1, 10, 11]),
        (("^",), [1]),
        (("Wor",), [1, 10, 11, 12, 13, 14]),
        (("W.rk",), [1, 10, 11, 12, 13, 14]),
    ],
)
def test_subfolders_are_shown_as_if_they_were_the_mailbox(
    tree: str, words: tuple[str, ...], numbers: list[int]
) -> None:
    drop = maildir_driver(options=options(*words)).open(tree, identity())
    assert bodies(drop) == [to_wire(mail(number)) for number in numbers]
    assert len(set(drop.uids)) == len(numbers)
    assert len(maildir_driver().open(tree, identity()).sizes) == 1


def test_a_pattern_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\^\("):
        FolderPattern.parse("^(")
    assert str(FolderPattern.parse("^a.*")) == "^a.*"


def test_messages_of_subfolders_are_marked_and_removed_there(tree: str) -> None:
    drop = maildir_driver(options=options("Trash", "Sent")).open(tree, identity())
    uids = list(drop.uids)
    drop.commit([2], [0, 1, 2])
    assert os.listdir(f"{tree}/.Work/cur") == ["2010.M1P1.Work:2,S"]
    assert os.listdir(f"{tree}/.Work.2001/cur") == []
    assert os.listdir(f"{tree}/cur") == ["1000.M0P1.host:2,S"]
    again = maildir_driver(options=options("Trash", "Sent")).open(tree, identity())
    assert list(again.uids) == [uids[0], uids[1], uids[3]]


def test_a_new_subfolder_and_its_mail_are_noticed(tree: str) -> None:
    driver = maildir_driver(options=options())
    assert len(driver.open(tree, identity()).sizes) == 6
    make_maildir(Path(tree, ".Fresh"), [mail(50)])
    assert len(driver.open(tree, identity()).sizes) == 7
    Path(tree, ".Work", "new", "9999.M1P1.host").write_bytes(mail(51))
    assert len(driver.open(tree, identity()).sizes) == 8


class Counting(Files):
    """Knows how many files were open at once."""

    def __init__(self) -> None:
        self.now = self.most = 0

    def open(
        self, path: str | bytes, flags: int = os.O_RDONLY, mode: int = 0o600, folder: int | None = None
    ) -> int:
        fd = super().open(path, flags, mode, folder)
        self.now += 1
        self.most = max(self.most, self.now)
        return fd

    def close(self, fd: int) -> None:
        super().close(fd)
        self.now -= 1


def test_many_subfolders_take_few_descriptors(tmp_path: Path) -> None:
    path = make_maildir(tmp_path / "M")
    for number in range(50):
        make_maildir(Path(path, f".{number}"), [mail(number)])
    files = Counting()
    drop = maildir_driver(files, options=options()).open(path, identity())
    assert sorted(bodies(drop)) == sorted(to_wire(mail(number)) for number in range(50))
    drop.close()
    assert files.now == 0
    assert 10 < files.most < 20


def test_unchanged_subfolders_are_not_listed_again(tree: str, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = maildir_driver(options=options())
    driver.open(tree, identity())
    Path(tree, ".Work", "new", "9999.M1P1.host").write_bytes(mail(51))
    listed: list[bytes] = []
    scandir = os.scandir

    def watching(path: object) -> object:
        if isinstance(path, bytes) and path.endswith((b"new", b"cur")):
            listed.append(path)
        return scandir(path)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "scandir", watching)
    assert len(driver.open(tree, identity()).sizes) == 7
    assert listed == [os.fsencode(f"{tree}/.Work/new")]


def test_one_name_in_two_folders_gives_two_identifiers(tree: str) -> None:
    for folder in ("", ".Work/", ".Sent/"):
        Path(tree, f"{folder}new", "5000.M1P1.twin").write_bytes(mail(1))
    for style in (Style.STABLE, Style.QMAIL):
        driver = maildir_driver(options=MaildirOptions(recursion=True, style=style))
        uids = list(driver.open(tree, identity()).uids)
        assert len(set(uids)) == len(uids) == 9


@pytest.mark.parametrize("trusts", [False, True])
def test_a_size_in_a_name_saves_looks_and_tells_nothing(tmp_path: Path, trusts: bool) -> None:
    path = make_maildir(tmp_path / "M")
    octets = mail(1)
    names = [
        f"1.M1.h,S={len(octets)}",
        f"2.M1.h,S={len(octets) + 5},W=9",
        "3.M1.h,W=1",
        "4.M1.h,S=x",
        f"5.M1.h,S={'9' * 30}",
    ]
    for name in names:
        Path(path, "new", name).write_bytes(octets)
    driver = maildir_driver(options=MaildirOptions(trusts_names=trusts))
    for _ in range(2):
        drop = driver.open(path, identity())
        assert list(drop.sizes) == [len(to_wire(octets))] * 5
        assert bodies(drop) == [to_wire(octets)] * 5
        Path(path, "new", "7.M1.late").write_bytes(octets)  # so that the folder is looked at again
        Path(path, "new", "7.M1.late").unlink()


def test_a_message_changed_under_its_name_is_counted_again_after_one_refusal(tmp_path: Path) -> None:
    path = make_maildir(tmp_path / "M")
    file = Path(path, "new", f"1.M1.h,S={len(mail(1))}")
    file.write_bytes(mail(1))
    settle(path)
    driver = maildir_driver(options=MaildirOptions(trusts_names=True))
    driver.open(path, identity())
    file.write_bytes(mail(2) + b"longer\n")
    drop = driver.open(path, identity())
    with pytest.raises(MaildropError):
        drop.open(0)
    assert bodies(driver.open(path, identity())) == [to_wire(mail(2) + b"longer\n")]


def test_another_size_string(tmp_path: Path) -> None:
    assert MaildirOptions(size_string=b",O=").size_in(b"new/1.x,O=77,S=5") == 77
    assert MaildirOptions().size_in(b"new/1.x,O=77,S=5:2,S") == 5
    assert MaildirOptions().size_in(b"new/1.x") is None


@pytest.mark.parametrize(
    ("stored", "deleted", "line"),
    [
        (b"1000S,10C\n500 5\n", [0, 2], b"-77 -2\n"),
        (b"1000S\n", [1], b"-%d -1\n" % len(mail(1))),
    ],
)
def test_the_quota_file_gets_one_line(tmp_path: Path, stored: bytes, deleted: list[int], line: bytes) -> None:
    path = make_maildir(tmp_path / "M")
    for name, number in (("1.M1.h,S=70", 0), ("2.M1.h", 1), ("3.M1.h,S=7:2,S", 2)):
        Path(path, "cur", name).write_bytes(mail(number))
    quota = Path(path, "maildirsize")
    quota.write_bytes(stored)
    drop = maildir_driver().open(path, identity())
    drop.commit([], [0])
    assert quota.read_bytes() == stored
    drop.commit(deleted, [])
    assert quota.read_bytes() == stored + line


def test_what_others_removed_is_not_subtracted_again(tmp_path: Path) -> None:
    path = make_maildir(tmp_path / "M", [mail(0), mail(1)])
    Path(path, "maildirsize").write_bytes(b"9S\n")
    drop = maildir_driver().open(path, identity())
    Path(path, "new", "1000.M0P1.host").unlink()
    drop.commit([0], [])
    assert Path(path, "maildirsize").read_bytes() == b"9S\n"


def test_the_trash_does_not_count(tree: str) -> None:
    Path(tree, "maildirsize").write_bytes(b"9S\n")
    drop = maildir_driver(options=options()).open(tree, identity())
    drop.commit([1, 3], [])  # of Work and of Trash
    assert Path(tree, "maildirsize").read_bytes() == b"9S\n-%d -1\n" % len(mail(10))


@pytest.mark.parametrize("how", ["error", "half", "replaced", "symlink", "fifo"])
def test_a_quota_file_that_cannot_be_kept_right_is_removed(tmp_path: Path, how: str) -> None:
    path = make_maildir(tmp_path / "M", [mail(0)])
    quota, elsewhere = Path(path, "maildirsize"), tmp_path / "elsewhere"
    elsewhere.write_bytes(b"mine\n")
    quota.write_bytes(b"9S\n")

    class Odd(FaultyFiles):
        def pwrite(self, fd: int, data: bytes | memoryview, offset: int) -> int:
            if how == "error":
                raise OSError(28, "full")
            if how == "replaced":
                fresh = Path(path, "fresh")
                fresh.write_bytes(b"9S\n1 1\n")
                fresh.rename(quota)
            return super().pwrite(fd, data[:2] if how == "half" else data, offset)

    drop = maildir_driver(Odd()).open(path, identity())
    if how in ("symlink", "fifo"):
        quota.unlink()
        quota.symlink_to(elsewhere) if how == "symlink" else os.mkfifo(quota)
    drop.commit([0], [])
    assert not os.path.lexists(quota)
    assert elsewhere.read_bytes() == b"mine\n"
