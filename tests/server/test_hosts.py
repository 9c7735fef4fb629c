"""Names of addresses: what is waited for, what is remembered, and for how long."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tpop3d_py.server import hosts
from tpop3d_py.server.hosts import Resolver, read_hosts, reverse_names

Names = tuple[str, ...] | None


class Dns:
    """A DNS that answers when it is told to."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[str, ...] | OSError] = {}
        self.asked: list[str] = []
        self.open = threading.Event()
        self.open.set()

    def reverse(self, address: str) -> tuple[str, ...]:
        self.asked.append(address)
        assert self.open.wait(20)
        answer = self.answers.get(address, socket.herror(1, "Unknown host"))
        if isinstance(answer, OSError):
            raise answer
        return answer


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(hosts, "time", clock)
    return clock


@pytest.fixture
def dns() -> Iterator[Dns]:
    dns = Dns()
    yield dns
    dns.open.set()


def wait(condition: Callable[[], bool]) -> None:
    for _ in range(2000):
        if condition():
            return
        time.sleep(0.005)
    pytest.fail("waited for nothing")


def started(dns: Dns, known: dict[str, tuple[str, ...]] | None = None) -> Resolver:
    resolver = Resolver(known or {}, 2.0, dns.reverse)
    resolver.start()
    return resolver


def test_a_first_question_is_answered_later(dns: Dns) -> None:
    dns.answers["192.0.2.1"] = ("mail.klient1.pl", "alias.pl")
    resolver = started(dns)
    dns.open.clear()
    assert resolver.names("192.0.2.1") is None
    assert resolver.names("192.0.2.1") is None
    dns.open.set()
    wait(lambda: resolver.names("192.0.2.1") == ("mail.klient1.pl", "alias.pl"))
    assert dns.asked == ["192.0.2.1"]


def test_what_the_hosts_file_says_is_not_asked(dns: Dns) -> None:
    resolver = started(dns, {"192.0.2.1": ("mail.klient1.pl",), "192.0.2.2": ()})
    assert resolver.names("192.0.2.1") == ("mail.klient1.pl",)
    assert resolver.names("192.0.2.2") == ()
    assert dns.asked == []


def test_a_dns_that_hangs_makes_only_the_first_wait(dns: Dns, clock: Clock) -> None:
    dns.answers["192.0.2.1"] = ("late.klient1.pl",)
    resolver = started(dns)
    dns.open.clear()
    assert resolver.names("192.0.2.1") is None
    clock.now += 1.9
    assert resolver.names("192.0.2.1") is None
    clock.now += 0.2
    assert resolver.names("192.0.2.1") == ()
    assert resolver.names("192.0.2.1") == ()
    dns.open.set()
    wait(lambda: resolver.names("192.0.2.1") == ("late.klient1.pl",))


@pytest.mark.parametrize(
    "error", [socket.herror(1, "Unknown host"), socket.herror(2, "later"), OSError("odd")]
)
def test_no_name_is_believed_for_a_minute(dns: Dns, clock: Clock, error: OSError) -> None:
    dns.answers["192.0.2.1"] = error
    resolver = started(dns)
    resolver.names("192.0.2.1")
    wait(lambda: resolver.names("192.0.2.1") == ())
    dns.answers["192.0.2.1"] = ("mail.klient1.pl",)
    clock.now += 59
    assert resolver.names("192.0.2.1") == ()
    clock.now += 2
    assert resolver.names("192.0.2.1") == ()  # nobody waits for the second look
    wait(lambda: resolver.names("192.0.2.1") == ("mail.klient1.pl",))
    assert len(dns.asked) == 2


def test_names_are_looked_up_again_after_an_hour_behind_everybodys_back(dns: Dns, clock: Clock) -> None:
    dns.answers["192.0.2.1"] = ("old.klient1.pl",)
    resolver = started(dns)
    resolver.names("192.0.2.1")
    wait(lambda: resolver.names("192.0.2.1") is not None)
    dns.answers["192.0.2.1"] = ("new.klient1.pl",)
    clock.now += 3599
    assert resolver.names("192.0.2.1") == ("old.klient1.pl",)
    assert len(dns.asked) == 1
    clock.now += 2
    dns.open.clear()
    for _ in range(3):
        assert resolver.names("192.0.2.1") == ("old.klient1.pl",)
    dns.open.set()
    wait(lambda: resolver.names("192.0.2.1") == ("new.klient1.pl",))
    assert len(dns.asked) == 2


@pytest.mark.parametrize(
    ("error", "left"),
    [(socket.herror(2, "later"), ("mail.klient1.pl",)), (socket.herror(1, "Unknown host"), ())],
)
def test_a_dns_that_is_down_takes_no_name_away(
    dns: Dns, clock: Clock, error: OSError, left: tuple[str, ...]
) -> None:
    dns.answers["192.0.2.1"] = ("mail.klient1.pl",)
    resolver = started(dns)
    resolver.names("192.0.2.1")
    wait(lambda: resolver.names("192.0.2.1") is not None)
    dns.answers["192.0.2.1"] = error
    clock.now += 3601
    resolver.names("192.0.2.1")
    wait(lambda: len(dns.asked) == 2 and resolver.names("192.0.2.1") == left)
    clock.now += 61
    resolver.names("192.0.2.1")
    wait(lambda: len(dns.asked) == 3)


def test_memory_is_bounded(dns: Dns, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "_MOST_KEPT", 3)
    resolver = started(dns)
    for n in range(10):
        resolver.names(f"192.0.2.{n}")
    assert len(resolver._answers) == 3
    wait(lambda: resolver.names("192.0.2.9") == ())


def test_the_system_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostbyaddr", lambda address: (f"host-{address}", ["alias"], [address]))
    assert reverse_names("192.0.2.1") == ("host-192.0.2.1", "alias")


def test_a_hosts_file(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_text(
        "# ours\n192.0.2.1\tmail.klient1.pl alias # and more\n\n2001:DB8::1 v6.pl\n192.0.2.1 again.pl\n::2\n"
    )
    assert read_hosts(str(path)) == {
        "192.0.2.1": ("mail.klient1.pl", "alias", "again.pl"),
        "2001:db8::1": ("v6.pl",),
        "::2": (),
    }
    path.write_text("192.0.2.1 a.pl\nmail.klient1.pl 192.0.2.1\n")
    with pytest.raises(ValueError, match=r"hosts:2: 'mail\.klient1\.pl' is not an address"):
        read_hosts(str(path))
    with pytest.raises(ValueError, match="none: No such file"):
        read_hosts(str(tmp_path / "none"))
