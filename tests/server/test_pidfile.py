"""The pid file: only a pid file is ever overwritten."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tpop3d_py.server.pidfile import PidFile, PidFileError


@pytest.mark.parametrize("before", [None, "", "12345\n", "12345", "  7\n"])
def test_a_new_or_stale_file_is_written_and_removed(tmp_path: Path, before: str | None) -> None:
    path = tmp_path / "d.pid"
    if before is not None:
        path.write_text(before)
    file = PidFile(str(path))
    file.write(99)
    assert path.read_text() == "99\n"
    file.remove()
    assert not path.exists()


@pytest.mark.parametrize(
    "precious",
    ["root:x:0:0:root:/root:/bin/bash\n", "12345\n67890\n", "9" * 40, "-1\n", "²\n", "\0", "1 2\n"],
)
def test_a_file_that_is_something_else_is_left_alone(tmp_path: Path, precious: str) -> None:
    path = tmp_path / "precious"
    path.write_text(precious)
    with pytest.raises(PidFileError, match=rf"^pid file {path}: it holds something else than a process id"):
        PidFile(str(path))
    assert path.read_text() == precious


def test_a_device_and_a_fifo_are_no_pid_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in ("/dev/null", str(tmp_path / "fifo")):
        with pytest.raises(PidFileError, match="not touched"):
            PidFile(path)
        assert os.path.exists(path)


def test_a_second_holder_is_told_who_is_first(tmp_path: Path) -> None:
    path = str(tmp_path / "d.pid")
    first = PidFile(path)
    first.write(4321)
    with pytest.raises(PidFileError, match="process 4321 is running"):
        PidFile(path)
    first.remove()


@pytest.mark.parametrize("name", ["missing/d.pid", ".", "link"])
def test_what_cannot_be_opened(tmp_path: Path, name: str) -> None:
    (tmp_path / "link").symlink_to("elsewhere")
    with pytest.raises(PidFileError, match=r"^pid file "):
        PidFile(str(tmp_path / name))
    assert not (tmp_path / "elsewhere").exists()
