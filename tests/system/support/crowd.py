"""Many clients at once, from as many addresses of 127.0.0.0/8 as wanted."""

from __future__ import annotations

import contextlib
import re
import resource
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path


def allow_descriptors(wanted: int) -> None:
    """Let this process have as many open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(hard, wanted)))


def connect(port: int, source: str = "127.0.2.1", seconds: float = 20) -> socket.socket:
    """Connect from an address."""
    sock = socket.socket()
    sock.settimeout(seconds)
    sock.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT: there are ports enough for all
    sock.bind((source, 0))
    sock.connect(("127.0.0.1", port))
    return sock


def line(sock: socket.socket) -> bytes:
    """Read a line, octet by octet so that nothing behind it is lost; empty if the connection has ended."""
    got = b""
    with contextlib.suppress(ConnectionError):
        while not got.endswith(b"\n") and (octet := sock.recv(1)):
            got += octet
    return got


def ask(sock: socket.socket, command: str) -> bytes:
    """Send a command and read the first line of its answer."""
    with contextlib.suppress(ConnectionError):
        sock.sendall(command.encode() + b"\r\n")
    return line(sock)


def log_in(sock: socket.socket, user: str, password: str) -> bytes:
    """Read the greeting and log in; return the answer to the last command that was answered."""
    if not (answer := line(sock)).startswith(b"+OK"):
        return answer
    ask(sock, f"USER {user}")
    return ask(sock, f"PASS {password}")


@contextlib.contextmanager
def clients(port: int, count: int, source: Callable[[int], str]) -> Iterator[list[socket.socket]]:
    """Connections that have read their greeting, the nth from the address that `source` says."""
    socks: list[socket.socket] = []
    try:
        for number in range(count):
            socks.append(connect(port, source(number)))
            line(socks[-1])
        yield socks
    finally:
        for sock in socks:
            sock.close()


@contextlib.contextmanager
def busily(*jobs: Callable[[], None]) -> Iterator[None]:
    """Do jobs again and again, each in a thread, as long as the block takes; network errors are no fault."""
    over = threading.Event()

    def work(job: Callable[[], None]) -> None:
        while not over.is_set():
            with contextlib.suppress(OSError):
                job()

    threads = [threading.Thread(target=work, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def children(pid: int) -> list[int]:
    """List the processes that a process has started."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def named(pid: int, role: str) -> list[int]:
    """List the children of a master that do something: ``worker`` or ``authenticator``."""
    threads: dict[int, int] = {}
    for child in children(pid):
        with contextlib.suppress(FileNotFoundError):  # it has just died
            threads[child] = len(list(Path(f"/proc/{child}/task").iterdir()))
    return [child for child, count in threads.items() if (count > 1) is (role == "worker")]


def memory(pids: list[int]) -> int:
    """Octets of processes, what they share counted in parts (PSS)."""
    total = 0
    for pid in pids:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        found = re.search(r"^Pss: +(\d+) kB", text, re.M)
        assert found is not None
        total += int(found[1]) * 1024
    return total
