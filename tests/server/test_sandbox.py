"""What a process cannot do any more, tried in processes of their own."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tpop3d_py.server import sandbox

ROOT = Path(__file__).parents[2]
HEAD = """
    import ctypes, os, socket, subprocess, sys, threading
    from tpop3d_py.server import sandbox
    from tpop3d_py.server.sandbox import Files

    def tell(step, *words):
        try:
            step(*words)
        except OSError as error:
            print(error.strerror)
        else:
            print("done")

    def write(path):
        with open(path, "a") as file:
            file.write("x")

    def read(path):
        with open(path) as file:
            file.read()

"""


def told(program: str, *words: str) -> list[str]:
    code = textwrap.dedent(HEAD) + textwrap.dedent(program)
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_nobody_runs_programs_or_becomes_somebody_else() -> None:
    program = """
        tell(subprocess.run, ["/bin/true"])
        sandbox.deny_calls()
        tell(os.execv, "/bin/true", ["true"])
        tell(os.setuid, os.getuid())
        tell(os.setgroups, [])
        tell(os.chroot, "/")
        tell(os.mknod, "/tmp/never")
    """
    assert told(program) == ["done", *["Operation not permitted"] * 5]


def test_threads_that_run_already_are_bound_too() -> None:
    program = """
        begun, bound = threading.Event(), threading.Event()

        def run():
            begun.set()
            bound.wait()
            tell(subprocess.run, ["/bin/true"])

        thread = threading.Thread(target=run)
        thread.start()
        begun.wait()
        sandbox.deny_calls()
        bound.set()
        thread.join()
    """
    assert told(program) == ["Operation not permitted"]


def test_what_serving_mail_needs_still_works(tmp_path: Path) -> None:
    program = """
        sandbox.deny_calls()
        write(sys.argv[1] + "/a")
        os.rename(sys.argv[1] + "/a", sys.argv[1] + "/b")
        pid = os.fork()
        if pid == 0:
            os._exit(3)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        a, b = socket.socketpair()
        a.send(b"x")
        print(b.recv(1))
        thread = threading.Thread(target=print, args=("thread",))
        thread.start()
        thread.join()
    """
    assert told(program, str(tmp_path)) == ["3", "b'x'", "thread"]


def test_only_the_named_folders_exist(tmp_path: Path) -> None:
    for name in ("mail", "docs", "secret"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("x")
    (tmp_path / "one").write_text("x")
    program = """
        base = sys.argv[1]
        seen = {f"{base}/{name}": Files.SEE for name in ("docs", "one", "none")}
        sandbox.allow_files({base + "/mail": Files.CHANGE, **seen})
        for path in ("mail/file", "docs/file", "secret/file", "one"):
            tell(read, f"{base}/{path}")
        for path in ("mail/new", "docs/new", "secret/new", "one"):
            tell(write, f"{base}/{path}")
        tell(os.rename, base + "/mail/new", base + "/mail/moved")
        tell(os.unlink, base + "/mail/moved")
        tell(os.listdir, base + "/secret")
    """
    refused = "Permission denied"
    assert told(program, str(tmp_path)) == [
        *("done", "done", refused, "done"),
        *("done", refused, refused, refused),
        *("done", "done", refused),
    ]


def test_memory_is_hidden() -> None:
    program = """
        sandbox.hide_memory()
        print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
    """
    assert told(program) == ["0"]


def test_an_unknown_machine_is_told_and_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "pdp11")
    with pytest.raises(sandbox.SandboxUnavailable, match="pdp11"):
        sandbox.deny_calls()
    subprocess.run(["/bin/true"], check=True)


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_numbers_are_told_apart(machine: str) -> None:
    numbers = sandbox.numbers_for(machine)
    assert len(set(numbers.values())) == len(numbers) > 35
    assert {"execve", "execveat", "ptrace", "setresuid", "open_by_handle_at"} <= numbers.keys()


def test_the_numbers_are_the_kernels() -> None:
    header = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
    if not header.exists():  # no compiler here; the numbers are in the kernel's promise and never change
        return
    told = dict(re.findall(r"__NR_(\w+) (\d+)", header.read_text()))
    assert {name: int(told[name]) for name in sandbox.numbers_for("x86_64")} == sandbox.numbers_for("x86_64")
