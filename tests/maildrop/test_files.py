from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tpop3d_py.contracts import Reason
from tpop3d_py.maildrop.files import Files, beside, read_all, unusable, write_all


def test_helper_files_have_names_of_their_own() -> None:
    assert beside("/d/box", "lock") == "/d/.box.pypop3d-lock"
    long = beside("/d/" + "x" * 255, "lock")
    assert len(os.path.basename(long)) < 255
    assert long != beside("/d/" + "x" * 254, "lock")


class Slow(Files):
    """Takes three octets at a time."""

    def pwrite(self, fd: int, data: bytes | memoryview, offset: int) -> int:
        return super().pwrite(fd, data[:3], offset)


def test_short_writes_are_completed(tmp_path: Path) -> None:
    files = Slow()
    fd = files.open(str(tmp_path / "file"), os.O_RDWR | os.O_CREAT)
    write_all(files, fd, b"0123456789", 5)
    assert read_all(fd, 100, 0) == b"\0" * 5 + b"0123456789"
    assert read_all(fd, 4, 6) == b"1234"
    files.close(fd)


def test_opening_follows_no_link_and_never_waits(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="symbolic links"):
        Files().open(str(tmp_path / "link"), os.O_RDWR | os.O_CREAT)
    assert not (tmp_path / "file").exists()
    fd = Files().open(str(tmp_path / "fifo"))
    assert not os.get_inheritable(fd)
    os.close(fd)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (errno.EMFILE, Reason.UNAVAILABLE),
        (errno.ENOSPC, Reason.UNAVAILABLE),
        (errno.EIO, Reason.UNAVAILABLE),
        (errno.EACCES, Reason.MAILBOX),
        (errno.ELOOP, Reason.MAILBOX),
    ],
)
def test_what_an_error_means(code: int, reason: Reason) -> None:
    found = unusable(OSError(code, os.strerror(code)), "/m/a\nb", "opening")
    assert found.reason is reason
    assert "\n" not in found.detail
