"""Processes and sockets: what a client, a slow check and a dead process may cost, and whom."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

from tests.server.conftest import Client, Harness

Start = Callable[..., Harness]


def wait_for(condition: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def children(server: Harness) -> dict[int, int]:
    """Return the processes of the server and how many threads each has."""
    path = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    pids = [int(pid) for pid in path.read_text().split()]
    return {pid: len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in pids}


def workers(server: Harness) -> list[int]:
    return [pid for pid, threads in children(server).items() if threads > 1]


def converse(client: Client) -> None:
    assert client.log_in("ok") == b"+OK Welcome aboard! You have 3 messages.\r\n"
    assert client.ask(b"STAT") == b"+OK 3 33\r\n"
    assert client.ask(b"RETR 2") == b"+OK Message follows\r\n"
    assert [client.line(), client.line()] == [b"message 1\r\n", b".\r\n"]
    assert client.ask(b"DELE 1").startswith(b"+OK")
    assert client.ask(b"QUIT") == b"+OK Done\r\n"
    assert client.line() == b""


def test_a_session(server: Harness) -> None:
    converse(server.connect())
    assert server.stop() == 0
    assert server.process.stdout is not None
    assert server.process.stdout.read() == "committed ok [0] [1]\n"
    log = server.log()
    assert "began session for `ok' with fake" in log
    assert "quit, 1 retrieved, 1 deleted" in log
    assert "PASS (hidden)" in log
    assert "received `PASS ok'" not in log


def test_a_session_inside_tls(start: Start, certificate: Path) -> None:
    server = start(certificate=str(certificate))
    converse(server.connect_tls())
    plain_to_tls = socket.create_connection(("127.0.0.1", server.ports[1]), 10)
    plain_to_tls.sendall(b"USER ok\r\n" * 10)
    with contextlib.suppress(ConnectionResetError):
        while plain_to_tls.recv(1000):
            pass
    plain_to_tls.close()
    converse(server.connect_tls())


def test_commands_behind_a_login_in_one_tls_record(start: Start, certificate: Path) -> None:
    # One record holds up to 16 KiB, one read takes 4: the rest waits inside the TLS layer during the login.
    client = start(certificate=str(certificate)).connect_tls()
    client.send(b"USER ok", b"PASS ok", *[b"NOOP"] * 1500, b"QUIT")
    assert client.file.read().count(b"+OK") == 1503


def test_a_session_byte_by_byte_and_one_in_a_single_packet(server: Harness) -> None:
    script = b"USER ok\r\nPASS ok\r\nSTAT\r\nQUIT\r\n"
    answers = []
    for pieces in ([script], [script[i : i + 1] for i in range(len(script))]):
        client = server.connect()
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            client.sock.sendall(piece)
        answers.append(client.file.read())
    assert answers[0] == answers[1]
    assert answers[0].count(b"+OK") == 4


def test_what_stands_behind_quit_does_not_reset_the_connection(server: Harness) -> None:
    for _ in range(5):
        client = server.connect()
        client.log_in("ok")
        client.sock.sendall(b"QUIT\r\n" + b"x" * 20_000)
        assert client.file.read() == b"+OK Done\r\n"


def test_tls_ends_with_a_close_notify(start: Start, certificate: Path) -> None:
    client = start(certificate=str(certificate)).connect_tls()  # which takes a ragged end for an error
    client.send(b"QUIT")
    assert client.line().startswith(b"+OK")
    assert client.line() == b""


def test_a_broken_body_gets_no_final_dot(server: Harness) -> None:
    client = server.connect()
    client.log_in("broken")
    client.send(b"RETR 1", b"NOOP")
    assert not client.file.read().endswith(b".\r\n")
    assert "message broke off: the file became shorter" in server.log()
    converse(server.connect())


def test_a_bug_ends_one_session_and_says_so(server: Harness) -> None:
    client = server.connect()
    client.log_in("bug")
    client.send(b"RETR 1")
    assert client.line().startswith(b"-ERR [SYS/TEMP]")
    assert client.line() == b""
    assert "ZeroDivisionError" in server.log()
    converse(server.connect())


def test_a_failed_login_is_held_back_and_others_are_not(server: Harness) -> None:
    slow, quick = server.connect(), server.connect()
    slow.ask(b"USER ok")
    slow.send(b"PASS wrong", b"USER ok", b"PASS ok", b"QUIT")
    converse(quick)
    assert slow.line() == b"-ERR [AUTH] Lies! Try again!\r\n"
    assert slow.file.read().count(b"+OK") == 3


def test_a_locked_mailbox(server: Harness) -> None:
    client = server.connect()
    assert client.log_in("locked").startswith(b"-ERR [IN-USE]")
    assert client.line() == b""


def test_a_hanging_check_costs_its_own_login_only(server: Harness) -> None:
    hung = [server.connect() for _ in range(2)]
    wait_for(lambda: len(children(server)) == 4)
    before = set(children(server))
    for client in hung:
        client.ask(b"USER late")
        client.send(b"PASS late")
    waiting = server.connect()  # both authenticators are busy now
    assert waiting.log_in("ok").startswith((b"+OK", b"-ERR [SYS/TEMP]"))
    for client in hung:
        assert client.line().startswith(b"-ERR [SYS/TEMP]")
    wait_for(lambda: len(set(children(server)) - before) == 2)
    assert server.log().count("died of signal 14") == 2
    converse(server.connect())


def test_a_dead_authenticator_is_replaced(server: Harness) -> None:
    client = server.connect()
    assert client.log_in("dead").startswith(b"-ERR [SYS/TEMP]")
    assert "authenticator (pid" in server.log()
    converse(server.connect())


def test_a_killed_worker_is_replaced_and_the_listener_stays(server: Harness) -> None:
    wait_for(lambda: len(workers(server)) == 2)
    for pid in workers(server):
        os.kill(pid, signal.SIGKILL)
    converse(server.connect())
    wait_for(lambda: len(workers(server)) == 2)
    for _ in range(4):
        converse(server.connect())


def test_processes_end_with_their_master(start: Start) -> None:
    server = start()
    wait_for(lambda: len(children(server)) == 4)
    pids = list(children(server))
    server.process.kill()
    server.process.wait(10)

    def gone(pid: int) -> bool:
        try:
            return "(zombie)" in Path(f"/proc/{pid}/status").read_text()
        except FileNotFoundError:
            return True

    wait_for(lambda: all(map(gone, pids)))


def test_a_reader_that_stops_costs_no_memory_and_gets_everything_later(server: Harness) -> None:
    stopped = [server.connect() for _ in range(8)]
    for client in stopped:
        client.log_in("big")
        client.send(b"RETR 1", b"RETR 1", b"STAT")
    converse(server.connect())
    for pid in workers(server):
        status = Path(f"/proc/{pid}/status").read_text()
        (size,) = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")]
        assert size < 150_000, f"{size} KiB"
    client = stopped[0]
    for _ in range(2):
        assert client.line() == b"+OK Message follows\r\n"
        octets = 0
        while (line := client.line()) != b".\r\n":
            octets += len(line)
        assert octets == 64 * 16 * 4096 * 17
    assert client.line().startswith(b"+OK 1 ")


def test_pipelining_far_ahead_is_served_in_order(server: Harness) -> None:
    client = server.connect()
    client.log_in("ok")
    client.send(*[b"NOOP"] * 999, b"STAT")
    lines = [client.line() for _ in range(1000)]
    assert lines[-1] == b"+OK 3 33\r\n"
    assert all(line.startswith(b"+OK") for line in lines)


def test_an_idle_session_is_ended_and_deletes_nothing(start: Start) -> None:
    server = start(idle=0.5)
    client = server.connect()
    client.log_in("ok")
    client.ask(b"DELE 1")
    assert client.line().startswith(b"-ERR You can hang around all day")
    assert client.line() == b""
    server.stop()
    assert server.process.stdout is not None
    assert "committed" not in server.process.stdout.read()


def test_a_login_that_never_comes_is_not_waited_for(start: Start) -> None:
    server = start(login=0.5)
    client = server.connect()
    end = time.monotonic() + 10
    while client.ask(b"NOOP").startswith(b"-ERR Not now") and time.monotonic() < end:
        time.sleep(0.05)
    assert time.monotonic() < end
    converse(server.connect())


def test_the_limit_of_sessions(start: Start) -> None:
    server = start(most=2)
    inside = [server.connect() for _ in range(2)]
    for client in inside:
        assert client.log_in("ok").startswith(b"+OK")
    late = server.connect()
    assert late.log_in("ok").startswith(b"-ERR [SYS/TEMP]")
    late.close()
    inside.pop().ask(b"QUIT")
    wait_for(lambda: server.connect().log_in("ok").startswith(b"+OK"))


def test_a_bug_found_while_keeping_time_costs_nobody_else(start: Start) -> None:
    server = start(idle=1)
    wait_for(lambda: len(workers(server)) == 2)
    before = set(workers(server))
    for _ in range(4):
        server.connect().log_in("unclosable")
    wait_for(lambda: server.log().count("ZeroDivisionError: a bug at the end") == 4)
    converse(server.connect())
    assert set(workers(server)) == before


def test_a_mailbox_that_fails_after_it_was_opened_takes_no_place(start: Start) -> None:
    server = start(most=2)
    for _ in range(3):
        assert server.connect().log_in("sizeless").startswith(b"-ERR [SYS/PERM]")
    converse(server.connect())


def test_stopping_finishes_an_update_and_drops_the_idle(server: Harness) -> None:
    idle, quitting = server.connect(), server.connect()
    idle.log_in("ok")
    idle.ask(b"DELE 1")
    quitting.log_in("slowquit")
    quitting.ask(b"DELE 2")
    quitting.send(b"QUIT")
    time.sleep(0.1)
    assert server.stop() == 0
    assert quitting.line() == b"+OK Done\r\n"
    assert idle.line() == b""
    assert server.process.stdout is not None
    assert server.process.stdout.read() == "committed slowquit [1] []\n"


def test_signals_that_change_nothing(server: Harness) -> None:
    converse(server.connect())
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        server.process.send_signal(number)
    converse(server.connect())
    wait_for(lambda: "not reloaded: this program cannot read its settings again" in server.log())
