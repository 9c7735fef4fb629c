"""The processes that read mail, one pool for each Unix owner, and the way to them.

A pool is a packet socket for tickets, which all its processes read from.  That of the ``run-as`` user stands
ready; of the others the master makes one when an authentication process asks for it:

    asked     uid, gid, number of the pool that was given before and turned out to be gone, or 0
    answered  `GIVEN` with the pool's number and its socket's sending end (SCM_RIGHTS), or why not

This is all that the master ever reads from another process: fixed size, two numbers, checked against the
floor.  What comes over the sockets of a pool it never reads.

When things fail: a pool that cannot be had is a `PoolRefused`, with a sentence; the login is answered
[SYS/TEMP] or, where it never can be had, [SYS/PERM].
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import struct
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from tpop3d_py.contracts import Decision, Verdict
from tpop3d_py.log import Log
from tpop3d_py.server import handover
from tpop3d_py.server.authlink import Request
from tpop3d_py.server.crew import Role
from tpop3d_py.server.slots import Slot
from tpop3d_py.server.tickets import make_ticket, pack_ticket

_QUESTION, _ANSWER = struct.Struct("=IIQ"), struct.Struct("=BQ")
GIVEN, BELOW_FLOOR, TOO_MANY, FAILED = range(4)
#: Pools that are tried for one login: the one that is known, and one that is made then, both of which may
#: just be ending.
_TRIES = 3
#: Pools that an authentication process keeps the sockets of.
_KEPT = 64


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose mail a pool reads: the ids that its processes have."""

    uid: int
    gid: int


class Pool:
    """The two ends of a pool's socket for tickets.

    Args:
        number: which no other pool of these settings has; not 0.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.tickets_in, self.tickets_out = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.tickets_in.setblocking(False)

    def close(self) -> None:
        """Close both."""
        self.tickets_in.close()
        self.tickets_out.close()


@dataclass(frozen=True, slots=True)
class Floor:
    """Who may own mail.

    Args:
        first: lowest uid.
        standing: the owner that is served whatever its uid.
        most: pools beside that one.
        staff: uids of our own processes that read no mail; theirs is not served, or these would be one user.
    """

    first: int
    standing: Owner
    most: int
    staff: frozenset[int] = frozenset()

    def admits(self, owner: Owner) -> bool:
        """Tell whether an owner is served; root never is, nor are members of root's group."""
        if owner.uid == 0 or owner.gid == 0:
            return False
        if owner.uid == self.standing.uid:
            return True
        return owner.uid >= self.first and owner.uid not in self.staff


class Pools:
    """The pools of one reading of the settings; the master's.

    Args:
        floor: who may own mail.
        role: makes the role of a process of an owner's pool, and is given what to call when it has ended.
        log: for pools that cannot be had.
    """

    def __init__(
        self, floor: Floor, role: Callable[[Owner, Pool, Callable[[], None]], Role], log: Log
    ) -> None:
        self._floor = floor
        self._role = role
        self._log = log
        self._numbers = itertools.count(1)
        self.standing = Pool(next(self._numbers))
        self._pools: dict[Owner, Pool] = {}
        self._alive: set[Pool] = set()
        #: By slot of the authentication process: our end and its end.
        self._askers: dict[int, tuple[socket.socket, socket.socket]] = {}

    # --- the authentication processes -------------------------------------

    def born(self, slot: Slot) -> None:
        """Make the channel of an authentication process that is about to be made."""
        self._askers[slot.number] = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def handed_over(self, slot: Slot) -> socket.socket:
        """In the new process: return its end."""
        return self._askers[slot.number][1]

    def mourn(self, slot: Slot) -> None:
        """Close the channel of an authentication process that has died."""
        for end in self._askers.pop(slot.number, ()):
            end.close()

    def everything(self) -> Collection[socket.socket]:
        """Return all sockets, for processes that must not have them."""
        pools = (self.standing, *self._alive)
        ends = [end for pool in pools for end in (pool.tickets_in, pool.tickets_out)]
        return [*ends, *(end for pair in self._askers.values() for end in pair)]

    # --- errands ------------------------------------------------------------

    def sockets(self) -> Sequence[socket.socket]:
        """Return where the authentication processes ask."""
        return [ours for ours, _ in self._askers.values()]

    def attend(self, sock: socket.socket, hire: Callable[[Role], None]) -> None:
        """Answer one question.

        Args:
            sock: where it has come.
            hire: has a process made.
        """
        try:
            asked = sock.recv(_QUESTION.size, socket.MSG_DONTWAIT)
        except OSError:
            return
        try:
            uid, gid, gone = _QUESTION.unpack(asked)
        except struct.error:
            return  # whoever asks so gets no answer
        why, pool = self._find(Owner(uid, gid), gone, hire)
        answer = _ANSWER.pack(why, pool.number if pool else 0)
        with contextlib.suppress(OSError):  # it has died; or it does not read, and is none of ours any more
            handover.send(sock, answer, pool.tickets_out.fileno() if pool else None)

    def _find(self, owner: Owner, gone: int, hire: Callable[[Role], None]) -> tuple[int, Pool | None]:
        if not self._floor.admits(owner):
            return BELOW_FLOOR, None
        if owner == self._floor.standing:
            return GIVEN, self.standing
        if (pool := self._pools.get(owner)) is not None and pool.number != gone:
            return GIVEN, pool
        if len(self._alive) >= self._floor.most:
            self._log.once("pools", 60.0, 4, f"max-mail-owners is reached ({self._floor.most})")
            return TOO_MANY, None
        try:
            pool = Pool(next(self._numbers))
        except OSError as error:
            self._log.error(f"no mail process for uid {owner.uid}: {error.strerror}")
            return FAILED, None
        self._pools[owner] = pool
        self._alive.add(pool)
        hire(self._role(owner, pool, lambda: self._gone(owner, pool)))
        return GIVEN, pool

    def _gone(self, owner: Owner, pool: Pool) -> None:
        self._alive.discard(pool)
        if self._pools.get(owner) is pool:
            del self._pools[owner]
        pool.close()


class PoolRefused(Exception):
    """There is no process for an owner's mail.

    Args:
        verdict: whether that may change by itself.
        detail: one line for the log.
    """

    def __init__(self, verdict: Verdict, detail: str) -> None:
        super().__init__(detail)
        self.verdict = verdict
        self.detail = detail


_WHY = {
    BELOW_FLOOR: (Verdict.FORBIDDEN, "its Unix user is below first-uid, root, net-user or auth-user"),
    TOO_MANY: (Verdict.UNAVAILABLE, "max-mail-owners is reached"),
    FAILED: (Verdict.UNAVAILABLE, "no process can be made"),
}


class Post:
    """An authentication process's way to the mail processes.

    Args:
        asking: its channel to the master.
        standing: the owner of the pool that stands ready.
        sock: the sending end of that pool.
    """

    def __init__(self, asking: socket.socket, standing: Owner, sock: socket.socket) -> None:
        self._asking = asking
        self._standing = standing
        self._pool = sock
        #: The pools that have been given, by their owners: number and sending end.
        self._others: OrderedDict[Owner, tuple[int, socket.socket]] = OrderedDict()

    def deliver(self, request: Request, decision: Decision) -> Decision | None:
        """Send the ticket of a login that was granted; None when that is done.

        Else the answer to the login, which is then not granted.
        """
        identity = decision.identity
        assert identity is not None  # which goes with being granted
        owner = Owner(identity.uid, identity.gid)
        try:
            self._send(owner, pack_ticket(make_ticket(request, decision, identity)))
        except PoolRefused as refused:
            detail = (
                f"the mail of {identity.user} belongs to uid {owner.uid}, gid {owner.gid}: {refused.detail}"
            )
            return Decision(refused.verdict, detail=detail)
        except (OSError, ValueError) as error:
            return Decision(Verdict.UNAVAILABLE, detail=f"no mail process takes the login: {error}")
        return None

    def _send(self, owner: Owner, packet: bytes) -> None:
        if owner == self._standing:
            self._pool.send(packet, socket.MSG_DONTWAIT)
            return
        gone = 0
        for _ in range(_TRIES):
            number, sock = self._way_to(owner, gone)
            try:
                sock.send(packet, socket.MSG_DONTWAIT)
                return
            except ConnectionError:  # it has had nothing to do and has ended
                gone = number
                del self._others[owner]
                sock.close()
        raise ConnectionError("it ends as soon as it is made")

    def _way_to(self, owner: Owner, gone: int) -> tuple[int, socket.socket]:
        if (known := self._others.get(owner)) is not None:
            self._others.move_to_end(owner)
            return known
        self._asking.send(_QUESTION.pack(owner.uid, owner.gid, gone))
        # Blocks: the master answers at once, and the deadline of the check ends what it would not.
        found = self._others[owner] = _answer(self._asking)
        if len(self._others) > _KEPT:
            self._others.popitem(last=False)[1][1].close()
        return found


def _answer(asking: socket.socket) -> tuple[int, socket.socket]:
    answer, descriptors, _, _ = socket.recv_fds(asking, _ANSWER.size, 1, socket.MSG_CMSG_CLOEXEC)
    if len(answer) != _ANSWER.size or not descriptors:
        raise PoolRefused(*_WHY.get(answer[0] if answer else FAILED, _WHY[FAILED]))
    return _ANSWER.unpack(answer)[1], socket.socket(fileno=descriptors[0])
