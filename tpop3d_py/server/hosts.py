"""Names of our own addresses, by reverse DNS, without waiting for it.

Rules: lookups run in threads of their own, and whoever asks is told what is known by now.  An address that
is asked for the first time is waited for, but only for so long after the question was put, whoever puts it
again: when DNS hangs, the first connections wait and no later ones.  What was found once stays good while it
cannot be found again; that there is no name is believed for a shorter time.  A hosts file comes before DNS
and is believed at once.

When things fail: no names; nothing is raised.
"""

from __future__ import annotations

import ipaddress
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

#: Asks for the names of an address, the first one first; raises `OSError`.
Reverse = Callable[[str], tuple[str, ...]]

#: Seconds that names, and that there are none, are believed; reverse DNS tells no lifetimes here.
_GOOD_FOR = 3600.0
_NONE_FOR = 60.0
#: As many addresses as a machine may well have; with proxies in front, they say which one it was.
_MOST_KEPT = 4096
_THREADS = 2


@dataclass(slots=True)
class _Answer:
    """What is known of an address: `names` is None until the first answer."""

    asked: float
    names: tuple[str, ...] | None = None
    expires: float = 0.0
    pending: bool = True


class Resolver:
    """Finds names and keeps them.

    Args:
        hosts: names of addresses that are known already.
        deadline: seconds that a first question may take.
        reverse: asks DNS, and takes as long as it likes.
    """

    def __init__(
        self, hosts: Mapping[str, tuple[str, ...]], deadline: float, reverse: Reverse | None = None
    ) -> None:
        self._hosts = hosts
        self._deadline = deadline
        self._reverse = reverse or reverse_names
        self._answers: dict[str, _Answer] = {}
        self._questions: queue.SimpleQueue[str] = queue.SimpleQueue()

    def start(self, expected: Iterable[str] = ()) -> None:
        """Start the threads; once in each process that asks.

        Args:
            expected: addresses to look up before anybody asks.
        """
        for address in expected:
            self.names(address)
        for _ in range(_THREADS):
            threading.Thread(target=self._work, daemon=True).start()

    def names(self, address: str) -> tuple[str, ...] | None:
        """Return the names of an address, none if it has none; None while it is worth while to ask again."""
        known = self._hosts.get(address)
        if known is not None:
            return known
        now = time.monotonic()
        answer = self._answers.get(address)
        if answer is None:
            self._ask(address, now)
            return None
        if answer.names is None:
            return () if now >= answer.asked + self._deadline else None
        if now >= answer.expires and not answer.pending:
            answer.pending = True
            self._questions.put(address)
        return answer.names

    def _ask(self, address: str, now: float) -> None:
        while len(self._answers) >= _MOST_KEPT:
            self._answers.pop(next(iter(self._answers)), None)
        self._answers[address] = _Answer(now)
        self._questions.put(address)

    def _work(self) -> None:
        while True:
            address = self._questions.get()
            answer = self._answers.get(address)
            if answer is not None:
                self._look_up(address, answer)

    def _look_up(self, address: str, answer: _Answer) -> None:
        try:
            names = self._reverse(address)
        except OSError as error:
            gone = isinstance(error, socket.herror) and error.errno in _NO_SUCH_NAME
            names = () if gone or answer.names is None else answer.names
            lifetime = _NONE_FOR
        else:
            lifetime = _GOOD_FOR if names else _NONE_FOR
        answer.names = names
        answer.expires = time.monotonic() + lifetime
        answer.pending = False


#: What resolver(3) calls HOST_NOT_FOUND and NO_DATA: an answer, and not the lack of one.
_NO_SUCH_NAME = (1, 4)


def reverse_names(address: str) -> tuple[str, ...]:
    """Ask the system for the names of an address; takes as long as it takes.

    Raises:
        OSError: there are none, or nobody can tell.
    """
    name, aliases, _ = socket.gethostbyaddr(address)
    return name, *aliases


def read_hosts(path: str) -> dict[str, tuple[str, ...]]:
    """Read a file in the form of hosts(5): an address and its names on each line.

    Raises:
        ValueError: it cannot be read, or a line has no address; the text names the file.
    """
    found: dict[str, tuple[str, ...]] = {}
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    for number, line in enumerate(lines, 1):
        address, *names = line.partition("#")[0].split() or [""]
        if not address:
            continue
        try:
            address = str(ipaddress.ip_address(address))
        except ValueError:
            raise ValueError(f"{path}:{number}: {address!r} is not an address") from None
        found[address] = (*found.get(address, ()), *names)
    return found
