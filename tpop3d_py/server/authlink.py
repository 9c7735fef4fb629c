"""What travels between a worker and an authentication process.

One packet is one request or one answer: fields joined by NUL, which no field
can contain, numbers in decimal, octets of a hash in hexadecimal.  Nothing is evaluated,
so neither side has to trust the other further than its words.

When things fail: a packet of another form is a `ValueError`; the receiver
drops it and logs.
"""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass

from tpop3d_py.contracts import Credentials, Decision, Identity, Mechanism, Peer, Verdict

#: Largest packet, in octets: a bearer token has at most 6,144, the three messages of SCRAM at most 8,192
#: together, a command line 512, paths in answers at most 4,096 each.
PACKET = 16_384
_ESCAPE = "surrogateescape"


@dataclass(frozen=True, slots=True)
class Request:
    """One login to be checked.

    Args:
        number: the worker's own, comes back in the answer.
        worker: slot of the worker that waits for the answer.
        expires: CLOCK_MONOTONIC milliseconds after which nobody waits any more.
        credentials: what the client sent.
    """

    number: int
    worker: int
    expires: int
    credentials: Credentials


def pack_request(request: Request) -> bytes:
    """Write a request as one packet."""
    c, p = request.credentials, request.credentials.peer
    head = f"{request.number}\0{request.worker}\0{request.expires}\0{c.mechanism.value}\0{p.client_host}\0"
    rest = f"{p.client_port}\0{p.server_host}\0{p.server_port}\0{p.domain}\0{c.user}"
    names = head.encode() + rest.encode("utf-8", _ESCAPE)
    return b"\0".join((names, c.timestamp, c.secret, c.binding.hex().encode(), *c.exchange))


def unpack_request(packet: bytes) -> Request:
    """Read a request."""
    number, worker, expires, *rest = packet.split(b"\0")
    mechanism, client, cport, server, sport, domain, user, stamp, secret, binding, *exchange = rest
    peer = Peer(client.decode(), int(cport), server.decode(), int(sport), domain.decode())
    credentials = Credentials(
        Mechanism(mechanism.decode()),
        user.decode("utf-8", _ESCAPE),
        secret,
        stamp,
        peer,
        tuple(exchange),
        bytes.fromhex(binding.decode()),
    )
    return Request(int(number), int(worker), int(expires), credentials)


def pack_answer(number: int, decision: Decision) -> bytes:
    """Write an answer as one packet."""
    i = decision.identity
    detail = decision.detail.replace("\0", " ")[:1000]
    fields = [str(number), decision.verdict.value, detail, decision.challenge.decode("utf-8", _ESCAPE)]
    if i is not None:
        fields += [i.user, i.driver, str(i.uid), str(i.gid), i.mailbox, i.mailbox_type]
        fields += [i.local_part, i.domain, i.home]
    if any("\0" in text for text in fields):
        # A row that no packet can carry; without an answer the client would wait until the deadline.
        return pack_answer(number, Decision(Verdict.UNAVAILABLE, detail="a row of the account holds a NUL"))
    return "\0".join(fields).encode("utf-8", _ESCAPE)


def unpack_answer(packet: bytes) -> tuple[int, Decision]:
    """Read an answer: the request's number and the decision."""
    number, verdict, detail, challenge, *rest = packet.decode("utf-8", _ESCAPE).split("\0")
    identity = None
    if rest:
        user, driver, uid, gid, mailbox, mailbox_type, local_part, domain, home = rest
        identity = Identity(user, driver, int(uid), int(gid), mailbox, mailbox_type, local_part, domain, home)
    if (identity is not None) != (verdict == Verdict.GRANTED.value):
        raise ValueError("an identity goes with a granted login and with no other")
    return int(number), Decision(Verdict(verdict), identity, detail, challenge.encode("utf-8", _ESCAPE))


class AuthLink:
    """The sockets between workers and authentication processes.

    All are made by the master before the first fork and kept by it, so that a process which is replaced
    finds the same ends as the one before.  Every authentication process reads from the one request socket;
    the kernel hands each packet to exactly one of them.
    """

    def __init__(self, workers: int) -> None:
        self.requests_in, self.requests_out = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.answers_in: list[socket.socket] = []
        self.answers_out: list[socket.socket] = []
        for _ in range(workers):
            into, out = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self.answers_in.append(into)
            self.answers_out.append(out)
        for sock in (self.requests_out, *self.answers_in):
            sock.setblocking(False)

    def everything(self) -> list[socket.socket]:
        """Return all sockets, for processes that must not have them."""
        return [self.requests_in, self.requests_out, *self.answers_in, *self.answers_out]

    def drain(self, worker: int) -> None:
        """Throw away the answers that a dead worker never read; its successor counts from the start."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self.answers_in[worker].recv(PACKET)
