"""The master in a program of its own: what signals and a machine without processes to spare may do to it."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAD = """
    import errno, os, signal, sys, time
    from tpop3d_py.log import Log
    from tpop3d_py.server import crew, supervisor
    from tpop3d_py.server.crew import Generation, Kind, Role
    from tpop3d_py.server.hearing import hear
    from tpop3d_py.server.supervisor import NotReloaded, Supervisor

    LOG = Log("test", to_stderr=False)

    def say(text):
        os.write(1, text.encode() + b"\\n")

    def idle(slot):
        hear({})
        say("idle")
        time.sleep(60)

    def stubborn(slot):
        hear({signal.SIGTERM: lambda *_: None})
        say("stubborn")
        time.sleep(0.5)

    def serve(*roles):
        return Supervisor(Generation([Role(role.__name__, role) for role in roles], LOG)).run()
"""


Start = Callable[[str], subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a program; what a failed test leaves running is ended, its children by the kernel."""
    started = []

    def run(program: str) -> subprocess.Popen[str]:
        code = textwrap.dedent(HEAD) + textwrap.dedent(program)
        started.append(
            subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        )
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.wait()


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


def test_a_process_that_has_hardly_begun_hears_the_signal_to_stop(start: Start) -> None:
    process = start("""
        leave = crew._leave_the_master

        def slowly(master):
            say("born")
            time.sleep(0.5)
            leave(master)

        crew._leave_the_master = slowly
        sys.exit(serve(idle))
    """)
    assert line(process) == "born"
    assert stop(process) == 0


def test_waiting_for_the_last_process_costs_no_processor_time(start: Start) -> None:
    process = start("""
        looks = 0
        look = supervisor.select.poll

        def counted():
            global looks
            looks += 1
            return look()

        supervisor.select.poll = counted
        serve(stubborn, idle)
        say(f"{looks} looks")
    """)
    assert {line(process), line(process)} == {"idle", "stubborn"}
    assert stop(process) == 0
    assert int(line(process).split()[0]) < 50


def test_a_process_that_cannot_be_made_is_tried_again(start: Start) -> None:
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


def test_a_reload_starts_the_new_before_the_old_ends_and_drops_nothing(start: Start) -> None:
    process = start("""
        import threading
        count = 0

        def worker(name):
            def main(slot):
                drained = threading.Event()
                hear({signal.SIGUSR2: lambda *_: drained.set()})
                say(f"{name} begins in {slot.number}")
                while not drained.wait(0.05):
                    slot.beat()
                say(f"{name} drains")
                time.sleep(0.5)
                say(f"{name} ends")
            return Role(name, main, kind=Kind.WORKER)

        def generation():
            global count
            count += 1
            return Generation([worker(f"worker {count}")], LOG)

        sys.exit(Supervisor(generation(), generation).run())
    """)
    assert line(process) == "worker 1 begins in 0"
    process.send_signal(signal.SIGHUP)
    told = [line(process) for _ in range(3)]
    assert sorted(told) == ["worker 1 drains", "worker 1 ends", "worker 2 begins in 1"]
    assert told[-1] == "worker 1 ends"
    process.send_signal(signal.SIGHUP)
    assert "worker 3 begins" in [line(process).partition(" in ")[0] for _ in range(3)]
    assert stop(process) == 0


def test_settings_that_cannot_be_read_leave_everything_as_it_is(start: Start) -> None:
    process = start("""
        def read():
            say("reading")
            raise NotReloaded("line 3: nonsense")

        sys.exit(Supervisor(Generation([Role("idle", idle)], Log("test", to_stderr=True)), read).run())
    """)
    assert line(process) == "idle"
    process.send_signal(signal.SIGHUP)
    assert line(process) == "reading"
    assert process.poll() is None
    assert stop(process) == 0


def test_helpers_end_after_the_workers_they_serve_and_monitors_at_once(start: Start) -> None:
    process = start("""
        import threading

        def worker(slot):
            drained = threading.Event()
            hear({signal.SIGUSR2: lambda *_: drained.set()})
            say("worker begins")
            drained.wait()
            time.sleep(0.3)
            say("worker ends")

        def helper(slot):
            hear({signal.SIGTERM: lambda *_: (say("helper ends"), os._exit(0))})
            say("helper begins")
            time.sleep(60)

        def monitor(slot):
            hear({signal.SIGTERM: lambda *_: (say("monitor ends"), os._exit(0))})
            say("monitor begins")
            time.sleep(60)

        supervisor.TEND = crew.TEND = 0.1
        kinds = ((worker, Kind.WORKER), (helper, Kind.HELPER), (monitor, Kind.MONITOR))
        first = Generation([Role(main.__name__, main, kind=kind) for main, kind in kinds], LOG)
        sys.exit(Supervisor(first, lambda: Generation([Role("idle", idle)], LOG)).run())
    """)
    assert {line(process) for _ in range(3)} == {"worker begins", "helper begins", "monitor begins"}
    process.send_signal(signal.SIGHUP)
    told = [line(process) for _ in range(4)]
    assert set(told) == {"idle", "monitor ends", "worker ends", "helper ends"}
    assert told.index("monitor ends") < told.index("worker ends") < told.index("helper ends")
    assert stop(process) == 0


def test_a_hung_worker_is_replaced(start: Start) -> None:
    process = start("""
        def hung(slot):
            say(f"hung {slot.number}")
            hear({})
            time.sleep(60)

        crew.HUNG, supervisor.TEND, crew.TEND = 0.3, 0.1, 0.1
        sys.exit(Supervisor(Generation([Role("hung", hung, kind=Kind.WORKER)], LOG)).run())
    """)
    assert [line(process), line(process)] == ["hung 0", "hung 0"]
    assert stop(process) == 0


def test_a_monitor_is_made_anew_with_a_worker_and_hears_from_it(start: Start) -> None:
    process = start("""
        import threading

        def worker(slot):
            hear({})
            slot.control.setblocking(True)
            say("worker " + slot.control.recv(100).decode())
            os._exit(3)

        def monitor(slot):
            hear({})
            living = [s for s in the_crew._slots.living() if s is not slot]
            say(f"monitor of {len(living)}")
            living[0].far_control.send(b"hears")
            time.sleep(60)

        kinds = ((worker, Kind.WORKER), (monitor, Kind.MONITOR))
        master = Supervisor(Generation([Role(main.__name__, main, kind=kind) for main, kind in kinds], LOG))
        the_crew = master._crew
        sys.exit(master.run())
    """)
    told = [line(process) for _ in range(4)]
    assert told == ["monitor of 1", "worker hears"] * 2
    assert stop(process) == 0


def test_a_process_that_is_asked_for_serves_until_it_ends_and_is_not_replaced(start: Start) -> None:
    """What separated mode needs: an errand hires a process, whose end is no accident."""
    process = start("""
        import socket

        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

        class Bell:
            def sockets(self):
                return [ours]

            def attend(self, sock, hire):
                name = sock.recv(100).decode()
                hire(Role(name, brief, lambda slot: say(f"{name} buried"), Kind.MAIL, passing=True))

        def brief(slot):
            hear({})
            say("serving")

        def ring(slot):
            hear({})
            theirs.send(b"first")
            time.sleep(0.3)
            theirs.send(b"second")
            time.sleep(60)

        LOG.error = lambda text: say("ERROR " + text)
        sys.exit(Supervisor(Generation([Role("ring", ring)], LOG, errands=Bell())).run())
    """)
    assert [line(process) for _ in range(4)] == ["serving", "first buried", "serving", "second buried"]
    assert stop(process) == 0
    assert line(process) == ""


def test_mail_processes_of_retired_settings_serve_until_the_workers_have_gone(start: Start) -> None:
    process = start("""
        import threading
        crew.TEND = supervisor.TEND = 0.2
        count = 0

        def role(name, kind):
            def main(slot):
                drained = threading.Event()
                hear({signal.SIGUSR2: lambda *_: drained.set()})
                say(f"{name} begins")
                while not drained.wait(0.05):
                    slot.beat()
                time.sleep(0.5 if kind is Kind.WORKER else 0)
                say(f"{name} ends")
            return Role(name, main, kind=kind)

        def generation():
            global count
            count += 1
            roles = [role(f"mail {count}", Kind.MAIL), role(f"worker {count}", Kind.WORKER)]
            return Generation(roles, LOG)

        sys.exit(Supervisor(generation(), generation).run())
    """)
    assert {line(process), line(process)} == {"mail 1 begins", "worker 1 begins"}
    process.send_signal(signal.SIGHUP)
    rest = [line(process) for _ in range(4)]
    assert set(rest[:2]) == {"mail 2 begins", "worker 2 begins"}
    assert rest[2:] == ["worker 1 ends", "mail 1 ends"]
    assert stop(process) == 0
