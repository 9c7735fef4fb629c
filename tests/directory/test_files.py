from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path

import pytest

from tpop3d_py.directory import files
from tpop3d_py.directory.errors import AlreadyThere, NotFound, Refused

ME = pwd.getpwuid(os.geteuid())


@pytest.fixture
def account() -> pwd.struct_passwd:
    return files.owner("nobody" if os.geteuid() == 0 else ME.pw_name)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "SERVERS" / "klient1.pl"


def test_a_directory_belongs_to_its_owner_whatever_the_umask(path: Path, account: pwd.struct_passwd) -> None:
    path.parent.mkdir(mode=0o2775)
    path.parent.chmod(0o2775)  # as Debian's /var/mail, whose setgid bit is inherited
    old = os.umask(0o077)
    try:
        with files.domain_directory(str(path), account):
            assert path.is_dir()
    finally:
        os.umask(old)
    status = path.stat()
    assert stat.S_IMODE(status.st_mode) == 0o750
    assert (status.st_uid, status.st_gid) == (account.pw_uid, account.pw_gid)


def test_only_the_last_parent_is_made(path: Path, account: pwd.struct_passwd) -> None:
    with files.domain_directory(str(path), account):
        pass
    assert path.parent.stat().st_uid == os.geteuid()
    deep = path.parent / "none" / "none" / "klient2.pl"
    with pytest.raises(Refused, match="No such file"), files.domain_directory(str(deep), account):
        pass
    assert os.listdir(path.parent) == ["klient1.pl"]


def test_a_failure_takes_the_directory_away_again(path: Path, account: pwd.struct_passwd) -> None:
    with pytest.raises(KeyError), files.domain_directory(str(path), account):
        raise KeyError
    assert not path.exists()


def test_a_failure_leaves_a_directory_that_was_there(path: Path, account: pwd.struct_passwd) -> None:
    with files.domain_directory(str(path), account):
        pass
    with pytest.raises(KeyError), files.domain_directory(str(path), account):
        raise KeyError
    assert path.is_dir()


def test_a_failure_leaves_mail_that_arrived_meanwhile(path: Path, account: pwd.struct_passwd) -> None:
    def fail() -> None:
        with files.domain_directory(str(path), account):
            (path / "luser").write_text("From x\n")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert (path / "luser").read_text() == "From x\n"


def test_what_is_not_a_directory_is_refused(path: Path, tmp_path: Path, account: pwd.struct_passwd) -> None:
    path.parent.mkdir()
    real = tmp_path / "real"
    real.mkdir()
    os.chown(real, account.pw_uid, account.pw_gid)
    for target in (None, str(real), "nowhere"):
        if target is None:
            path.touch()
        else:
            path.symlink_to(target)
        with pytest.raises(Refused, match="not a directory"), files.domain_directory(str(path), account):
            pass
        path.unlink()


def test_a_directory_that_others_may_change_is_refused(path: Path, account: pwd.struct_passwd) -> None:
    with files.domain_directory(str(path), account):
        path.chmod(0o777)
    with pytest.raises(Refused, match="everybody"), files.domain_directory(str(path), account):
        pass


def test_a_directory_of_somebody_else_is_refused(path: Path) -> None:
    path.mkdir(parents=True)
    other = pwd.struct_passwd(("other", "x", os.geteuid() + 1, 1, "", "/", "/bin/false"))
    with pytest.raises(Refused, match="does not belong to 'other'"), files.domain_directory(str(path), other):
        pass


def test_mail_never_belongs_to_root() -> None:
    with pytest.raises(Refused, match="must not belong to root"):
        files.owner("root")


@pytest.mark.parametrize("name", ["", "no-such-user", "a\0b", "\x1b[31m"])
def test_an_unknown_owner_is_named(name: str) -> None:
    with pytest.raises(NotFound, match="does not exist") as caught:
        files.owner(name)
    assert str(caught.value).isprintable()


def test_only_root_can_make_directories_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    with pytest.raises(Refused, match="only root can"):
        files.owner("nobody")


@pytest.mark.parametrize("mbox_name", ["luser", "luser/"])
def test_old_mail_is_found_in_either_format(tmp_path: Path, mbox_name: str) -> None:
    files.refuse_old_mail(str(tmp_path), mbox_name)
    (tmp_path / "luser").mkdir()
    with pytest.raises(AlreadyThere, match="--adopt"):
        files.refuse_old_mail(str(tmp_path), mbox_name)
    (tmp_path / "luser").rmdir()
    (tmp_path / "luser").symlink_to("nowhere")
    with pytest.raises(AlreadyThere):
        files.refuse_old_mail(str(tmp_path), mbox_name)


def test_without_the_directory_nobody_can_tell(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="does not exist"):
        files.refuse_old_mail(f"{tmp_path}/none", "luser")
    (tmp_path / "file").touch()
    with pytest.raises(Refused, match="not a directory"):
        files.refuse_old_mail(f"{tmp_path}/file", "luser")
    with pytest.raises(Refused):
        files.refuse_old_mail("", "luser")
