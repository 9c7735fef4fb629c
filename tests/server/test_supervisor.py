"""The master in a program of its own: what signals and a machine without processes to spare may do to it."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[2]
HEAD = """
    import errno, os, signal, sys, time
    from tpop3d_py.log import Log
    from tpop3d_py.server import supervisor
    from tpop3d_py.server.supervisor import Role, Supervisor

    def say(text):
        os.write(1, text.encode() + b"\\n")

    def idle():
        say("idle")
        time.sleep(60)

    def stubborn():
        signal.signal(signal.SIGTERM, lambda *_: None)
        say("stubborn")
        time.sleep(0.5)

    def serve(*roles):
        return Supervisor([Role(role.__name__, role) for role in roles], Log("test", to_stderr=False)).run()
"""


def start(program: str) -> subprocess.Popen[str]:
    code = textwrap.dedent(HEAD) + textwrap.dedent(program)
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def stop(process: subprocess.Popen[str]) -> int:
    """Ask it to stop; far below the 15 seconds that it gives its processes."""
    process.send_signal(signal.SIGTERM)
    try:
        return process.wait(10)
    finally:
        process.kill()
        process.wait()


def test_a_process_that_has_hardly_begun_hears_the_signal_to_stop() -> None:
    process = start("""
        leave = supervisor._leave_the_master

        def slowly(master):
            say("born")
            time.sleep(0.5)
            leave(master)

        supervisor._leave_the_master = slowly
        sys.exit(serve(idle))
    """)
    assert line(process) == "born"
    assert stop(process) == 0


def test_waiting_for_the_last_process_costs_no_processor_time() -> None:
    process = start("""
        looks = 0
        look = supervisor.select.select

        def counted(*words):
            global looks
            looks += 1
            return look(*words)

        supervisor.select.select = counted
        serve(stubborn, idle)
        say(f"{looks} looks")
    """)
    assert {line(process), line(process)} == {"idle", "stubborn"}
    assert stop(process) == 0
    assert int(line(process).split()[0]) < 50


def test_a_process_that_cannot_be_made_is_tried_again() -> None:
    process = start("""
        fork = os.fork

        def refused():
            os.fork = fork
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

        os.fork = refused
        sys.exit(serve(idle, idle))
    """)
    assert [line(process), line(process)] == ["idle", "idle"]
    assert stop(process) == 0
