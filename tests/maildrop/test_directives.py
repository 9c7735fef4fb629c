"""Directives, from the word in the file to what a client or another program sees."""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from tests.maildrop.kit import FROM, QuickFiles, Recorder, identity, mail, make_maildir, mbox
from tpop3d_py.contracts import MaildropError, Reason
from tpop3d_py.maildrop.locking import METHODS
from tpop3d_py.maildrop.opener import MaildropSettings, Opener
from tpop3d_py.settings import build, declarations


def read(**words: str) -> MaildropSettings:
    """Build settings from words as they stand in a file."""
    kinds = {declared.name: declared.kind for declared in declarations(MaildropSettings)}
    values = {name.replace("_", "-"): word for name, word in words.items()}
    return build(MaildropSettings, {name: kinds[name].parse(word) for name, word in values.items()})


def opener(**words: str) -> Opener:
    return Opener(read(mailspool_lock_timeout="0", **words), Recorder(), QuickFiles())


def uids(path: Path, **words: str) -> list[bytes]:
    drop = opener(**words).open(identity(mailbox=str(path)))
    found = list(drop.uids)
    drop.close()
    return found


def md5(octets: bytes) -> bytes:
    return hashlib.md5(octets).hexdigest().encode()


LONG = b"Message-Id: <long@x.pl>\n\n" + b"line\n" * 200


def test_the_ancestors_identifiers_of_an_mbox(tmp_path: Path) -> None:
    box = tmp_path / "luser"
    messages = [mail(1), LONG, LONG + b"differs far behind\n", b"\n", mail(2)]
    box.write_bytes(mbox(messages))
    found = uids(box, uidl_style="tpop3d")
    assert found == [md5((FROM + message + b"\n")[:512]) for message in messages]
    assert found[1] == found[2], "a weakness that must be repeated"
    assert uids(box, uidl_style="qmail") == found
    assert not set(uids(box)) & set(found)
    box.write_bytes(mbox(messages)[:-1])  # without the last empty line
    assert uids(box, uidl_style="tpop3d")[-1] == md5(FROM + mail(2))


def test_the_ancestors_identifiers_of_a_maildir(tmp_path: Path) -> None:
    path = Path(make_maildir(tmp_path / "M", [mail(1)], [mail(2)]))
    names = [b"1000.M0P1.host", b"1001.M1P1.host"]
    assert uids(path, uidl_style="tpop3d") == [md5(name) for name in names]
    assert uids(path, uidl_style="qmail") == names
    assert uids(path) == names
    (path / "cur" / ("2000." + "x" * 80)).write_bytes(mail(3))
    (path / "cur" / "3000.a b").write_bytes(mail(4))
    for style in ("qmail", "stable"):
        *known, long, blank = uids(path, uidl_style=style)
        assert known == names
        assert all(len(uid) <= 70 and b" " not in uid for uid in (long, blank))
    assert uids(path, uidl_style="tpop3d")[2] == md5(b"2000." + b"x" * 80)


def test_lower_case_is_for_paths_of_logins(tmp_path: Path) -> None:
    (tmp_path / "luser").write_bytes(mbox([mail(1)]))
    (tmp_path / "LUSER").write_bytes(mbox([mail(1), mail(2)]))
    who = identity(mailbox=f"{tmp_path}/LUSER", local_part="LUSER")
    for word, count in (("no", 2), ("yes", 1)):
        drop = opener(lowercase_mailbox=word).open(who)
        assert len(drop.sizes) == count
        drop.close()
    pattern = opener(lowercase_mailbox="yes", mailbox=f"{tmp_path}/$(local_part)")
    drop = pattern.open(identity(local_part="LUSER"))
    assert len(drop.sizes) == 2
    drop.close()


@pytest.mark.parametrize(
    ("words", "no_dotlock", "methods"),
    [
        ("fcntl dotlock", "no", ("dotlock", "fcntl")),
        ("c-client flock fcntl dotlock", "no", METHODS),
        ("c-client flock fcntl dotlock", "yes", METHODS[1:]),
        ("flock", "no", ("flock",)),
        ("", "no", ()),
    ],
)
def test_locks_have_one_order(words: str, no_dotlock: str, methods: tuple[str, ...]) -> None:
    settings = read(mailspool_locks=words, mailspool_no_dotfile_locking=no_dotlock)
    assert settings.methods == methods


def test_each_lock_is_taken_only_if_it_is_wanted(tmp_path: Path) -> None:
    box = tmp_path / "luser"
    box.write_bytes(mbox([mail(1)]))
    lock = tmp_path / "luser.lock"
    lock.touch()
    assert refused(box, "dotlock") == "dotlock"
    assert refused(box, "fcntl flock") == ""
    lock.unlink()
    with box.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert refused(box, "dotlock fcntl flock") != ""


def refused(box: Path, locks: str) -> str:
    """Return the method that stands in the way, if one does."""
    try:
        opener(mailspool_locks=locks).open(identity(mailbox=str(box))).close()
    except MaildropError as error:
        return error.detail.rpartition(": ")[2].split()[0] if error.reason is Reason.LOCKED else "no lock"
    return ""


def test_a_flock_lasts_only_while_the_mailbox_is_indexed(tmp_path: Path) -> None:
    box = tmp_path / "luser"
    box.write_bytes(mbox([mail(1), mail(2)]))
    drop = opener(mailspool_locks="flock").open(identity(mailbox=str(box)))
    with box.open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        other.write(mbox([mail(3)]))
    drop.commit([0], ())
    drop.close()
    assert box.read_bytes() == mbox([mail(2), mail(3)])


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("uidl_style", "pop3d"),
        ("mailspool_locks", "dotlock fnctl"),
        ("mailspool_index", "index"),
        ("maildir_ignore_folders", "^("),
        ("maildir_size_string", ""),
        ("mailspool_reserve_kilobytes", "-1"),
    ],
)
def test_mistakes_are_told(name: str, word: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        read(**{name: word})


def test_maildir_directives_reach_the_maildir(tmp_path: Path) -> None:
    path = make_maildir(tmp_path / "M", [mail(1)])
    for number, name in enumerate((".Sent", ".Work", ".Spam"), 10):
        make_maildir(tmp_path / "M" / name, [mail(number)])
    words: dict[str, Any] = {"maildir_recursion": "yes"}
    assert len(uids(Path(path), **words)) == 3
    assert len(uids(Path(path), maildir_ignore_folders="^S", **words)) == 2
    assert len(uids(Path(path), maildir_ignore_folders="", **words)) == 4
    drop = opener(maildir_exclusive_lock="yes").open(identity(mailbox=path))
    with pytest.raises(MaildropError):
        opener(maildir_exclusive_lock="yes").open(identity(mailbox=path))
    drop.close()
    assert not os.path.exists(f"{path}/.poplock")
