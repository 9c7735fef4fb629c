from __future__ import annotations

import dataclasses
import random
import time
from collections import Counter
from typing import Any

import pytest

from tpop3d_py.contracts import Peer, Reason
from tpop3d_py.log import Log
from tpop3d_py.server.bounds import Limits, LimitSettings
from tpop3d_py.server.connection import Connection
from tpop3d_py.server.crossings import CALM
from tpop3d_py.server.limits import Shared
from tpop3d_py.server.patience import Patience, Timeouts
from tpop3d_py.server.pressure import Pressure

FAR = 10**6


class Client(Connection):
    """A connection with nothing in it but what the limits look at."""

    __slots__ = ("name",)

    def __init__(self, host: str, started: float) -> None:
        self.peer = Peer(host, 4000, "192.0.2.99", 110, "klient1.pl")
        self.started = started
        self.patience = Patience(Timeouts(600, 60), started)

    def __repr__(self) -> str:
        return f"<{self.peer.client_host} of {self.started:g}>"


class Lines(Log):
    """A log that keeps its lines."""

    def __init__(self) -> None:
        super().__init__("test", to_stderr=False)
        self.lines: list[str] = []

    def write(self, level: int, text: str, *_: Any) -> None:
        self.lines.append(text)


class World:
    """Workers with what they share, and a clock."""

    def __init__(self, workers: int = 1, **limits: Any) -> None:
        self.now = 1000.0
        self.log = Lines()
        self.shared = Shared.for_rows(workers)
        usual = Limits(FAR, FAR, FAR, 0, 0, LimitSettings().exempt, 60, 10)
        self.busy: set[Connection] = set()
        self.ended: list[Connection] = []
        self.workers = [
            Pressure(row, self.shared, dataclasses.replace(usual, **limits), self.log, self.end_in(row))
            for row in range(workers)
        ]
        for row in range(workers):
            self.shared.open(row)

    def end_in(self, row: int) -> Any:
        def end(conn: Connection) -> bool:
            if conn in self.busy:
                return False
            self.workers[row].left(conn)
            self.ended.append(conn)
            return True

        return end

    def come(self, host: str, row: int = 0) -> Client:
        """Let a client come, who must be let in."""
        self.now += 0.001
        client = Client(host, self.now)
        assert self.workers[row].arrived(client)
        return client

    def counts(self) -> tuple[int, int]:
        return self.shared.board.connections(), self.shared.board.sessions()


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hits are noted at second 5000, whatever the clock says."""
    monkeypatch.setattr(time, "monotonic", lambda: 5000.0)


def test_clients_come_log_in_and_go() -> None:
    world = World()
    clients = [world.come("192.0.2.1"), world.come("2001:db8::1")]
    assert world.counts() == (2, 0)
    for client in clients:
        world.workers[0].logged_in(client)
    assert world.counts() == (2, 2)
    for client in clients:
        world.workers[0].left(client)
        world.workers[0].left(client)
    assert world.counts() == (0, 0)
    world.workers[0].left(world.come("192.0.2.1"))
    assert world.counts() == (0, 0)
    assert not world.log.lines


def test_the_oldest_of_the_busiest_source_goes() -> None:
    world = World(connections=5)
    honest = world.come("192.0.2.1")
    attackers = [world.come("192.0.2.66") for _ in range(4)]
    newcomer = world.come("192.0.2.2")
    assert world.ended == [attackers[0]]
    for _ in range(3):
        world.come("192.0.2.66")
    assert world.ended == attackers
    assert world.counts() == (5, 0)
    assert honest not in world.ended
    assert newcomer not in world.ended


def test_of_many_sources_with_one_connection_the_oldest_goes() -> None:
    world = World(connections=100)
    clients = [world.come(f"10.0.0.{number}") for number in range(180)]
    assert world.ended == clients[:80]


def test_a_rush_is_not_answered_with_a_rush_of_closings() -> None:
    world = World(connections=100)
    clients = [world.come(f"10.0.{number >> 8}.{number & 255}") for number in range(450)]
    assert world.ended == clients[:100]
    assert world.counts() == (350, 0), "they are let in beyond the limit, and closed bit by bit"
    for count in (200, 300, 350, 350):
        world.workers[0].due(world.now)
        assert world.ended == clients[:count]
    assert world.counts() == (100, 0)


def test_nor_a_rush_from_one_address() -> None:
    world = World(waiting_of_one=20)
    crowd = [world.come("192.0.2.66") for _ in range(250)]
    assert world.ended == crowd[:100]
    for count in (200, 230, 230):
        world.workers[0].due(world.now)
        assert world.ended == crowd[:count]
    assert not world.workers[0]._over_share


def test_processes_share_the_work_of_closing() -> None:
    world = World(workers=2, connections=100)
    for number in range(400):
        world.come(f"10.0.{number >> 8}.{number & 255}", row=number % 4 // 3)
    assert world.counts()[0] > 200
    for worker in world.workers:
        worker.due(world.now)
    assert 100 <= world.counts()[0] <= 125


def test_beyond_the_descriptors_nobody_is_let_in_for_nothing() -> None:
    world = World(connections=100, here=300)
    clients = [world.come(f"10.0.{number >> 8}.{number & 255}") for number in range(600)]
    assert world.counts() == (300, 0)
    assert world.ended == clients[:300]


def test_a_network_of_one_customer_is_one_source() -> None:
    world = World(connections=3)
    first = world.come("2001:db8:1:2::1")
    world.come("2001:db8:1:3::1")
    world.come("2001:db8:1:2::2")
    world.come("2001:db8:1:4::1")
    assert world.ended == [first]


def test_who_is_being_served_is_passed_over() -> None:
    world = World(connections=3)
    attackers = [world.come("192.0.2.66") for _ in range(3)]
    world.busy = set(attackers[:2])
    world.come("192.0.2.1")
    assert world.ended == [attackers[2]]


def test_sessions_are_never_closed_for_a_newcomer() -> None:
    world = World(here=20)
    sessions = [world.come("192.0.2.66") for _ in range(10)]
    for client in sessions:
        world.workers[0].logged_in(client)
    newcomer = Client("192.0.2.1", world.now)
    assert not world.workers[0].arrived(newcomer)
    assert world.counts() == (10, 10), "who was refused is not counted"
    assert not world.ended


def test_a_process_of_its_own_is_not_starved_by_the_others() -> None:
    world = World(workers=2, connections=10)
    for _ in range(10):
        world.come("192.0.2.66", row=0)
    newcomer = world.come("192.0.2.1", row=1)
    assert newcomer not in world.ended
    assert not world.ended


def test_one_address_has_its_share() -> None:
    world = World(workers=2, waiting_of_one=4)
    first = [world.come("192.0.2.66", row) for row in (0, 1, 0, 1)]
    others = [world.come(f"192.0.2.{number}") for number in range(1, 20)]
    world.come("192.0.2.66", 1)
    world.come("192.0.2.66", 0)
    assert world.ended == [first[1], first[0]], "its own, and of the process it came to"
    assert not set(others) & set(world.ended)


def test_logged_in_sessions_are_no_part_of_the_share_of_those_who_wait() -> None:
    world = World(waiting_of_one=2)
    for _ in range(10):
        world.workers[0].logged_in(world.come("192.0.2.1"))
    assert not world.ended


def test_exempt_networks_have_no_share() -> None:
    world = World(waiting_of_one=1, sessions_of_one=1)
    clients = [world.come("127.0.0.1") for _ in range(50)]
    for client in clients:
        assert world.workers[0].objection(client) is None
        world.workers[0].logged_in(client)
    for client in clients:
        world.workers[0].left(client)
    assert not world.ended
    assert world.counts() == (0, 0)


def test_who_is_exempt_goes_last() -> None:
    world = World(connections=4)
    for _ in range(2):
        world.come("::1")
    attackers = [world.come("192.0.2.66") for _ in range(2)]
    world.come("192.0.2.1")
    assert world.ended == [attackers[0]]


def test_not_even_somebody_with_a_single_connection_stays_for_longer() -> None:
    world = World(connections=4)
    spared = [world.come("127.0.0.1") for _ in range(2)]
    others = [world.come(f"192.0.2.{number}") for number in range(2)]
    for number in range(3):
        spared.append(world.come("127.0.0.1"))
        assert world.ended == (others + spared)[: number + 1]


def test_sessions_of_one_address() -> None:
    world = World(workers=2, sessions_of_one=2)
    for row in (0, 1):
        client = world.come("192.0.2.1", row)
        assert world.workers[row].objection(client) is None
        world.workers[row].logged_in(client)
    third = world.come("192.0.2.1")
    refusal = world.workers[0].objection(third)
    assert refusal is not None
    assert refusal.reason is Reason.BUSY
    assert world.workers[0].objection(world.come("192.0.2.2")) is None
    world.workers[1].left(client)
    assert world.workers[0].objection(third) is None


def test_sessions_of_everybody_are_told_once() -> None:
    world = World(workers=2, sessions=2)
    for row in (0, 1):
        world.workers[row].logged_in(world.come("127.0.0.1", row))
    for row in (0, 1, 0):
        refusal = world.workers[row].objection(world.come("127.0.0.1", row))
        assert refusal is not None
    assert [line for line in world.log.lines if "rejected login owing to high load: max-children" in line]
    assert len(world.log.lines) == 1
    world.workers[0].due(5000 + CALM)
    assert world.log.lines[1:] == ["high load: max-children: over after 0 s, 3 times"]


def test_a_connection_whose_address_becomes_known() -> None:
    world = World(waiting_of_one=2)
    proxied = [world.come("10.1.1.1") for _ in range(2)]
    for client in proxied:
        client.peer = dataclasses.replace(client.peer, client_host="192.0.2.5")
        world.workers[0].readdressed(client)
    third = world.come("10.1.1.1")
    assert not world.ended
    third.peer = proxied[0].peer
    world.workers[0].readdressed(third)
    assert world.ended == [proxied[0]]
    world.workers[0].left(proxied[1])
    world.workers[0].readdressed(proxied[1])
    assert world.counts() == (1, 0)


def test_logins_get_less_time_under_stress() -> None:
    world = World(connections=10)
    clients = [world.come("192.0.2.1") for _ in range(6)]
    assert world.workers[0].due(1011) == []
    assert world.workers[0].due(1061) == clients
    clients.append(world.come("192.0.2.1"))
    assert world.workers[0].due(1011) == clients
    assert "70% of all connections" in world.log.lines[0]
    world.workers[0].left(clients[0])
    assert world.workers[0].due(1012) == []


def test_sessions_are_late_by_their_own_deadline() -> None:
    world = World()
    client = world.come("192.0.2.1")
    client.patience = Patience(Timeouts(600, 60), 1000)
    client.patience.deadline = 1600
    world.workers[0].logged_in(client)
    assert world.workers[0].due(1599) == []
    assert world.workers[0].due(1600) == [client]


def test_out_of_descriptors() -> None:
    world = World()
    attackers = [world.come("192.0.2.66") for _ in range(3)]
    assert world.workers[0].make_room("Too many open files")
    assert world.ended == [attackers[0]]
    world.busy = set(attackers)
    assert not world.workers[0].make_room("Too many open files")
    assert world.log.lines == ["cannot accept connections: Too many open files (told once until it is over)"]


def test_whatever_happens_the_books_agree() -> None:
    rng = random.Random(7)
    world = World(workers=2, connections=60, here=90, sessions_of_one=6, waiting_of_one=9, sessions=25)
    living: dict[Client, int] = {}
    logged_in: set[Client] = set()
    for _ in range(6000):
        row = rng.randrange(2)
        world.busy = set(rng.sample(sorted(living, key=id), len(living) // 4))
        if rng.random() < 0.5:
            world.now += 0.001
            client = Client(f"192.0.2.{rng.randrange(1, 30) ** 2 % 29}", world.now)
            if world.workers[row].arrived(client):
                living[client] = row
        elif living:
            client = rng.choice(list(living))
            row = living[client]
            if client not in logged_in and rng.random() < 0.5:
                if world.workers[row].objection(client) is None:
                    world.workers[row].logged_in(client)
                    logged_in.add(client)
            else:
                world.workers[row].left(client)
                del living[client]
                logged_in.discard(client)
        for ended in world.ended:
            assert ended not in logged_in
            del living[ended]  # type: ignore[arg-type]
        world.ended.clear()
        assert world.counts() == (len(living), len(logged_in))
    hosts = Counter(client.peer.client_host for client in logged_in)
    assert max(hosts.values()) <= 6
    for client, row in living.items():
        world.workers[row].left(client)
    assert not any(world.shared.census._cells.tolist())
    assert not any(worker._sources or worker._ranking._ranks for worker in world.workers)
