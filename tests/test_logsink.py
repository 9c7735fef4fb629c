"""The places of log lines: full disks, rotation, pipes that nobody reads."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tpop3d_py.loghanding import Handing
from tpop3d_py.logsink import File, Stderr


@pytest.fixture
def stderr() -> Iterator[None]:
    """Give descriptor 2 back afterwards."""
    saved = os.dup(2)
    yield
    os.dup2(saved, 2)
    os.close(saved)


def test_a_line_has_the_shape_of_syslogs_files(tmp_path: Path) -> None:
    path = tmp_path / "pop.log"
    assert File(str(path), "pypop3d").put(5, "hello")
    shape = r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S+ pypop3d\[\d+\]: hello\n"
    assert re.fullmatch(shape, path.read_text())
    assert path.stat().st_mode & 0o777 == 0o640


def test_lines_without_a_head(tmp_path: Path) -> None:
    path = tmp_path / "pop.log"
    sink = File(str(path), "")
    assert sink.put(5, "{}")
    assert sink.put(5, '{"a": 1}')
    assert path.read_text() == '{}\n{"a": 1}\n'


def test_rotation(tmp_path: Path) -> None:
    path = tmp_path / "pop.log"
    sink = File(str(path), "")
    descriptor = sink._fd
    sink.put(5, "old")
    path.rename(tmp_path / "pop.log.1")
    sink.put(5, "still old")
    assert sink.reopen() == ""
    sink.put(5, "new")
    assert (tmp_path / "pop.log.1").read_text() == "old\nstill old\n"
    assert path.read_text() == "new\n"
    assert sink._fd == descriptor  # a thread in the middle of a write cannot meet another file there
    assert fcntl.fcntl(descriptor, fcntl.F_GETFD) & fcntl.FD_CLOEXEC


def test_what_is_there_is_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "pop.log"
    path.write_text("before\n")
    path.chmod(0o604)
    one, two = File(str(path), ""), File(str(path), "")
    one.put(5, "one")
    two.put(5, "two")
    one.put(5, "three")
    assert path.read_text() == "before\none\ntwo\nthree\n"
    assert path.stat().st_mode & 0o777 == 0o604


def test_a_file_that_cannot_be_reopened_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    sink = File(str(folder / "pop.log"), "")
    folder.rename(tmp_path / "moved")
    assert "No such file" in sink.reopen()
    assert sink.put(5, "kept")
    assert (tmp_path / "moved" / "pop.log").read_text() == "kept\n"


@pytest.mark.parametrize("kind", ["symlink", "fifo", "folder"])
def test_only_regular_files_are_written_to(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "pop.log"
    if kind == "symlink":
        (tmp_path / "victim").write_text("")
        path.symlink_to(tmp_path / "victim")
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(OSError, match=r".+"):
        File(str(path), "")


def test_only_what_root_made_itself_is_given_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    monkeypatch.setattr("tpop3d_py.logsink.os.geteuid", lambda: 0)
    monkeypatch.setattr("tpop3d_py.logsink.os.fchown", lambda _fd, uid, _gid: given.append(uid))
    path = tmp_path / "pop.log"
    sink = File(str(path), "", owner=1234)
    assert given == [1234]
    assert path.stat().st_mode & 0o777 == 0o660  # whatever the umask; root's group has to open it again
    sink.reopen()
    assert given == [1234]
    path.unlink()
    sink.reopen()
    assert given == [1234, 1234]


def test_half_a_line_never_becomes_one_with_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pop.log"
    sink = File(str(path), "")
    write = os.write
    monkeypatch.setattr(
        "tpop3d_py.logsink.os.write", lambda fd, data: write(fd, data[:3])
    )  # the disk is full
    assert not sink.put(5, "abcdef")
    monkeypatch.setattr("tpop3d_py.logsink.os.write", write)
    assert sink.put(5, "ghi")
    assert sink.put(5, "jkl")
    assert path.read_text() == "abc\nghi\njkl\n"


def test_a_full_disk_raises_nothing() -> None:
    sink = File.__new__(File)
    sink._fd, sink._ident, sink._torn = os.open("/dev/full", os.O_WRONLY), "", False
    assert not sink.put(5, "lost")
    os.close(sink._fd)


def test_a_pipe_that_nobody_reads_never_blocks(stderr: None) -> None:
    reading, writing = os.pipe()
    os.dup2(writing, 2)
    sink = Stderr()
    results = [sink.put(5, "x" * 1000) for _ in range(200)]
    assert results[0] is True
    assert results[-1] is False
    assert not fcntl.fcntl(writing, fcntl.F_GETFL) & os.O_NONBLOCK  # it is not ours alone
    taken = b""
    while len(taken) < 4096:
        taken += os.read(reading, 65536)
    assert sink.put(5, "again")
    os.set_blocking(reading, False)
    rest = taken + os.read(reading, 1 << 20)
    assert rest.endswith(b"\nagain\n")
    os.close(reading)
    assert not sink.put(5, "nobody there")
    os.close(writing)


def test_a_socket_that_nobody_reads_never_blocks(stderr: None) -> None:
    near, far = socket.socketpair()
    os.dup2(near.fileno(), 2)
    sink = Stderr()
    while sink.put(5, "x" * 1000):
        pass
    far.close()
    assert not sink.put(5, "nobody there")
    near.close()


def test_a_terminal(stderr: None) -> None:
    master, slave = pty.openpty()
    os.dup2(slave, 2)
    assert Stderr().put(5, "hello")
    assert os.read(master, 100) == b"hello\r\n"
    os.close(slave)
    os.close(master)


def test_a_file_as_standard_error_is_shared_with_others(tmp_path: Path) -> None:
    program = "from tpop3d_py.logsink import Stderr; s = Stderr(); s.put(5, 'one'); print(end='two\\n', "
    program += "file=__import__('sys').stderr, flush=True); s.put(5, 'three')"
    path = tmp_path / "errors"
    with path.open("w") as file:
        subprocess.run([sys.executable, "-c", program], stderr=file, check=True)
    assert path.read_text() == "one\ntwo\nthree\n"


def test_leaving_the_terminal(stderr: None) -> None:
    reading, writing = os.pipe()
    os.dup2(writing, 2)
    os.close(writing)
    sink = Stderr()
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 2)
    os.close(null)
    sink.reopen()
    assert sink.put(5, "nowhere")
    assert os.read(reading, 10) == b""  # and the pipe is held open by nobody
    os.close(reading)


def test_a_file_is_handed_to_processes_that_may_not_open_it(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    path = folder / "pop.log"
    sink = File(str(path), "")
    path.rename(folder / "pop.log.1")
    reading, writing = os.pipe()
    pids = []
    for number in range(3):
        pid = os.fork()
        if pid == 0:
            os.close(writing)
            os.read(reading, 1)  # until the master has opened the new file and the folder is gone
            os._exit(0 if sink.reopen() == "" and sink.put(5, f"from {number}") else 1)
        pids.append(pid)
    assert sink.reopen(len(pids)) == ""
    folder.rename(tmp_path / "moved")
    os.close(writing)
    os.close(reading)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0, 0, 0]
    lines = (tmp_path / "moved" / "pop.log").read_text().splitlines()
    assert sorted(lines) == ["from 0", "from 1", "from 2"]


def test_what_a_dead_process_did_not_take_is_nobodys_next_file(tmp_path: Path) -> None:
    path = tmp_path / "pop.log"
    sink = File(str(path), "")
    for number in (1, 2, 3):
        path.rename(tmp_path / f"pop.log.{number}")
        assert sink.reopen(2) == ""  # and nobody takes it
        sink.put(5, f"after {number}")
    assert path.read_text() == "after 3\n"
    assert sink.reopen() == ""  # takes one of the last two
    sink.put(5, "still here")
    assert path.read_text() == "after 3\nstill here\n"


def test_more_processes_than_the_way_holds_block_nobody(tmp_path: Path) -> None:
    sink = File(str(tmp_path / "pop.log"), "")
    assert sink.reopen(100_000) == ""
    assert sink.put(5, "here")


def test_only_the_master_says_where_others_write(tmp_path: Path) -> None:
    path = tmp_path / "pop.log"
    handing = Handing()
    sink, secret = File(str(path), "", None, handing), os.open(tmp_path / "elsewhere", os.O_RDWR | os.O_CREAT)
    pid = os.fork()
    if pid == 0:
        sink.follow()
        with contextlib.suppress(OSError):
            handing.give(secret, 5)  # what somebody would do who has taken this process over
        os._exit(0)
    os.waitpid(pid, 0)
    assert handing.take() is None
    handing.give(secret, 5)  # and even if it could:
    path.rename(tmp_path / "pop.log.1")
    assert sink.reopen(1) == ""
    assert sink.put(5, "the master's")
    assert path.read_text() == "the master's\n"
    os.close(secret)
