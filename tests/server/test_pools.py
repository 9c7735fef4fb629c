"""Pools of mail processes: who gets one, and how an authentication process comes to it."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from tpop3d_py.contracts import Credentials, Decision, Identity, Mechanism, Peer, Verdict
from tpop3d_py.log import Log
from tpop3d_py.server.authlink import PACKET, Request
from tpop3d_py.server.crew import Kind, Role
from tpop3d_py.server.pools import Floor, Owner, Pool, Pools, Post
from tpop3d_py.server.slots import Slot, Slots
from tpop3d_py.server.tickets import unpack_ticket

STANDING = Owner(105, 65534)
PEER = Peer("127.0.0.1", 1, "127.0.0.1", 110, "klient1.pl")
REQUEST = Request(1, 0, 0, Credentials(Mechanism.PASSWORD, "luser", b"x", b"", PEER))


class Master:
    """The master's side, and what it has been asked to make."""

    def __init__(self, most: int = 2) -> None:
        self.hired: list[Role] = []
        self.made: list[tuple[Owner, Pool]] = []
        floor = Floor(1000, STANDING, most, staff=frozenset((105, 1500)))
        self.pools = Pools(floor, self._role, Log("test", to_stderr=False))
        self.slots = Slots()
        self.slot: Slot = self.slots.take()
        self.pools.born(self.slot)
        self.post = Post(self.pools.handed_over(self.slot), STANDING, self.pools.standing.tickets_out)

    def _role(self, owner: Owner, pool: Pool, ended: object) -> Role:
        self.made.append((owner, pool))
        return Role(f"mail of {owner.uid}", lambda _slot: None, lambda _slot: ended(), Kind.MAIL)  # type: ignore[operator]

    def deliver(self, uid: int, gid: int) -> Decision | None:
        """Have a ticket delivered, and the master attend to what it is asked meanwhile."""
        identity = Identity("luser", "test", uid, gid)
        answers: list[Decision | None] = []

        def deliver() -> None:
            answers.append(self.post.deliver(REQUEST, Decision(Verdict.GRANTED, identity)))

        asking = threading.Thread(target=deliver)
        asking.start()
        while asking.is_alive():
            for sock in self.pools.sockets():
                self.pools.attend(sock, self.hired.append)
            asking.join(0.001)
        return answers[0]

    def close(self) -> None:
        for slot in self.slots.living():
            self.pools.mourn(slot)
        for sock in self.pools.everything():
            sock.close()


@pytest.fixture
def master() -> Iterator[Master]:
    made = Master()
    yield made
    made.close()


def taken(pool: Pool) -> list[Owner]:
    """Read the tickets that have come."""
    found: list[Owner] = []
    while True:
        try:
            identity = unpack_ticket(pool.tickets_in.recv(PACKET)).identity
        except BlockingIOError:
            return found
        found.append(Owner(identity.uid, identity.gid))


def test_the_pool_that_stands_ready_needs_no_master(master: Master) -> None:
    assert master.deliver(105, 65534) is None
    assert taken(master.pools.standing) == [STANDING]
    assert not master.hired


def test_a_pool_is_made_once(master: Master) -> None:
    assert master.deliver(1000, 100) is None
    assert master.deliver(1000, 100) is None
    ((owner, pool),) = master.made
    assert owner == Owner(1000, 100)
    assert taken(pool) == [owner, owner]
    assert [role.name for role in master.hired] == ["mail of 1000"]


def test_another_group_is_another_pool(master: Master) -> None:
    assert master.deliver(1000, 100) is None
    assert master.deliver(1000, 101) is None
    assert [owner for owner, _ in master.made] == [Owner(1000, 100), Owner(1000, 101)]


@pytest.mark.parametrize(("uid", "gid"), [(0, 100), (999, 100), (1, 1), (1000, 0), (105, 0), (1500, 100)])
def test_root_low_numbers_and_our_own_users_are_never_served(master: Master, uid: int, gid: int) -> None:
    decision = master.deliver(uid, gid)
    assert decision is not None
    assert decision.verdict is Verdict.FORBIDDEN
    assert not master.hired


def test_run_as_is_served_with_another_group_too(master: Master) -> None:
    assert master.deliver(105, 8) is None
    assert [owner for owner, _ in master.made] == [Owner(105, 8)]


def test_no_more_pools_than_are_allowed(master: Master) -> None:
    assert [master.deliver(uid, 100) for uid in (1000, 1001)] == [None, None]
    decision = master.deliver(1002, 100)
    assert decision is not None
    assert (decision.verdict, len(master.hired)) == (Verdict.UNAVAILABLE, 2)
    master.hired[0].mourn(master.slot)  # one has ended
    assert master.deliver(1002, 100) is None


def test_a_pool_that_has_stopped_taking_tickets_is_replaced(master: Master) -> None:
    assert master.deliver(1000, 100) is None
    master.made[0][1].tickets_in.shutdown(socket.SHUT_RD)
    assert master.deliver(1000, 100) is None
    assert [owner for owner, _ in master.made] == [Owner(1000, 100)] * 2
    assert taken(master.made[1][1]) == [Owner(1000, 100)]
    master.hired[0].mourn(master.slot)  # the first one's end does not touch the second
    assert master.deliver(1000, 100) is None
    assert len(master.made) == 2


def test_another_process_that_finds_the_same_pool_gone_gets_the_new_one(master: Master) -> None:
    assert master.deliver(1000, 100) is None
    first, slot = master.post, master.slots.take()
    master.pools.born(slot)
    master.post = Post(master.pools.handed_over(slot), STANDING, master.pools.standing.tickets_out)
    assert master.deliver(1000, 100) is None
    master.made[0][1].tickets_in.shutdown(socket.SHUT_RD)
    assert master.deliver(1000, 100) is None
    master.post = first
    assert master.deliver(1000, 100) is None
    assert len(master.made) == 2


def test_a_pool_that_has_died_is_replaced(master: Master) -> None:
    assert master.deliver(1000, 100) is None
    master.hired[0].mourn(master.slot)
    assert master.deliver(1000, 100) is None
    assert len(master.made) == 2


def test_a_pool_that_does_not_read_is_no_reason_to_wait(master: Master) -> None:
    found = None
    while found is None:
        found = master.deliver(105, 65534)
    assert found.verdict is Verdict.UNAVAILABLE


@pytest.mark.parametrize("packet", [b"", b"x", struct.pack("=IIQ", 1000, 100, 0) + b"more", b"\0" * 8])
def test_the_master_takes_no_other_packets(master: Master, packet: bytes) -> None:
    asking = master.pools.handed_over(master.slot)
    asking.send(packet)
    for sock in master.pools.sockets():
        master.pools.attend(sock, master.hired.append)
        master.pools.attend(sock, master.hired.append)  # and does not wait for the next one
    # Whatever is behind the question's size is cut off by the kernel.
    assert len(master.hired) == packet.endswith(b"more")


def test_an_authentication_process_that_is_gone(master: Master) -> None:
    (sock,) = master.pools.sockets()
    master.pools.handed_over(master.slot).close()
    master.pools.attend(sock, master.hired.append)
    master.pools.mourn(master.slot)
    assert not master.pools.sockets()
