"""Tickets: the word of an authentication process that a connection may go on with one maildrop.

In separated mode the process that talks to a client never learns where mail lies, and the process that reads
mail never hears a password.  Who stands between them is the authentication process: it writes a ticket to a
mail process of the mailbox's owner.  That one opens the maildrop and tells the asking process the ticket's
number, 128 random bits, which let one connection in, once, within `LIFE` seconds.

The words of a mail process to the one that asked, one packet each, fields joined by NUL:

    opened   REQUEST  TICKET  CHALLENGE     the maildrop is open, and its socket for connections comes along
    denied   REQUEST  REASON  DETAIL        it cannot be opened
    opening  REQUEST                        it takes long; wait

When things fail: a packet of another form is a `ValueError`; the receiver drops it and logs.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import NamedTuple

from tpop3d_py.contracts import Decision, Identity, Mechanism, Peer, Reason, Refusal
from tpop3d_py.server.authlink import Request

#: Octets of a ticket's number.
TICKET = 16
#: Seconds in which the connection must come for its maildrop.
LIFE = 10.0
_ESCAPE = "surrogateescape"


class Ticket(NamedTuple):
    """A granted login on its way to the maildrop.

    Args:
        id: `TICKET` random octets.
        request: number of the request for the login, which nobody else can guess.
        worker: slot of the process that asked, and that the connection will come from.
        made: CLOCK_MONOTONIC milliseconds.
        user: the name as sent.
        mechanism: how the client proved who it is.
        cached: no driver was asked.
        peer: the client.
        identity: whose maildrop it is, and where.
        challenge: SCRAM only: what the client has to see first.
    """

    id: bytes
    request: int
    worker: int
    made: int
    user: str
    mechanism: Mechanism
    cached: bool
    peer: Peer
    identity: Identity
    challenge: bytes = b""

    @property
    def age(self) -> float:
        """Seconds since it was made."""
        return time.monotonic() - self.made / 1000


def make_ticket(request: Request, decision: Decision, identity: Identity) -> Ticket:
    """Make the ticket of a request that has been granted."""
    asked = request.credentials
    made = int(time.monotonic() * 1000)
    return Ticket(
        os.urandom(TICKET),
        request.number,
        request.worker,
        made,
        asked.user,
        asked.mechanism,
        decision.cached,
        asked.peer,
        identity,
        decision.challenge,
    )


def pack_ticket(ticket: Ticket) -> bytes:
    """Write a ticket as one packet.

    Raises:
        ValueError: a field of the account holds a NUL, which no packet can carry.
    """
    p, i = ticket.peer, ticket.identity
    fields = [str(ticket.request), str(ticket.worker), str(ticket.made), ticket.user]
    fields += [ticket.mechanism.value, "cached" if ticket.cached else ""]
    fields += [p.client_host, str(p.client_port), p.server_host, str(p.server_port), p.domain]
    fields += [i.user, i.driver, str(i.uid), str(i.gid), i.mailbox, i.mailbox_type]
    fields += [i.local_part, i.domain, i.home, ticket.challenge.decode("utf-8", _ESCAPE)]
    if any("\0" in field for field in fields):
        raise ValueError("a row of the account holds a NUL")
    return ticket.id + "\0".join(fields).encode("utf-8", _ESCAPE)


def unpack_ticket(packet: bytes) -> Ticket:
    """Read a ticket."""
    number, fields = packet[:TICKET], packet[TICKET:].decode("utf-8", _ESCAPE).split("\0")
    request, worker, made, user, mechanism, cached, *rest = fields
    host, port, server, server_port, served, *account = rest
    name, driver, uid, gid, mailbox, kind, local_part, domain, home, challenge = account
    if int(worker) < 0:
        raise ValueError("there is no such worker")
    return Ticket(
        number,
        int(request),
        int(worker),
        int(made),
        user,
        Mechanism(mechanism),
        cached == "cached",
        Peer(host, int(port), server, int(server_port), served),
        Identity(name, driver, int(uid), int(gid), mailbox, kind, local_part, domain, home),
        challenge.encode("utf-8", _ESCAPE),
    )


@dataclass(frozen=True, slots=True)
class Opened:
    """A maildrop is open and waits for its connection.

    Args:
        ticket: the number to come with.
        challenge: SCRAM only: what the client has to see first.
    """

    ticket: bytes
    challenge: bytes = b""


@dataclass(frozen=True, slots=True)
class Opening:
    """A maildrop takes long to be opened."""


Word = Opened | Opening | Refusal


def pack_word(request: int, word: Word) -> bytes:
    """Write what a mail process has to say about a request as one packet."""
    if isinstance(word, Opened):
        return b"\0".join((b"opened", b"%d" % request, word.ticket.hex().encode(), word.challenge))
    if isinstance(word, Opening):
        return b"opening\0%d" % request
    detail = word.detail.replace("\0", " ")[:1000].encode("utf-8", _ESCAPE)
    return b"\0".join((b"denied", b"%d" % request, word.reason.name.encode(), detail))


def unpack_word(packet: bytes) -> tuple[int, Word]:
    """Read what a mail process says: the request's number and the word."""
    kind, number, *rest = packet.split(b"\0")
    if kind == b"opened":
        ticket, challenge = rest
        if len(ticket) != 2 * TICKET:
            raise ValueError("a ticket's number has another length")
        return int(number), Opened(bytes.fromhex(ticket.decode()), challenge)
    if kind == b"denied":
        reason, detail = rest
        name = reason.decode()
        if name not in Reason.__members__:
            raise ValueError("an unknown reason")
        return int(number), Refusal(Reason[name], detail.decode("utf-8", _ESCAPE))
    if kind != b"opening":
        raise ValueError("an unknown word")
    return int(number), Opening()


def is_word(packet: bytes) -> bool:
    """Tell a mail process's packet from an authentication process's, which begins with a digit."""
    return packet[:1] in (b"o", b"d")
