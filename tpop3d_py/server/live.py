"""What travels between the monitor and the workers: questions about sessions, and orders.

One packet is one JSON object.  A question has a number `n` and says in `ask` what is wanted:

    {"n": 7, "ask": "sessions"}                     all connections
    {"n": 7, "ask": "kick", "id": "812.17.3fa2"}    end one connection
    {"n": 7, "ask": "kick", "user": "luser"}        end all sessions of a user
    {"n": 7, "ask": "forget", "user": "luser"}      forget cached logins of a user

Answers repeat the number and the last one says so: ``{"n": 7, "last": true, "rows": [...]}`` with rows as
`Live` has them, or ``"count"``: how many connections were ended, or 1 for an order obeyed.

When things fail: octets that are no such object are a `ValueError`.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

#: Largest packet, in octets; what a socket buffer surely takes.
PACKET = 65_536
#: Rows in one packet: with the longest names escaped they stay far below that.
ROWS = 25

Message = dict[str, Any]


class Live(NamedTuple):
    """A connection as it is just now.

    Args:
        id: of the connection, for ``pypop3d kick``: process, descriptor, and a mark against mistaking a
            later connection for it.
        user: the name given last, made safe for terminals; empty if none was.
        host: the client's address.
        port: the client's port.
        domain: virtual domain of the listener.
        state: of RFC 1939, or what is being waited for.
        tls: whether the connection is inside TLS.
        received: octets read from the client.
        sent: octets sent to the client.
        age: seconds since the connection was taken.
        idle: seconds since it last made progress; None where nobody watches.
        commands: lines obeyed or refused.
        slot: number of the worker's slot; the monitor's to fill in.
        draining: the worker finishes what it began before the settings were read again; the monitor's to
            fill in.
    """

    id: str
    user: str
    host: str
    port: int
    domain: str
    state: str
    tls: bool
    received: int
    sent: int
    age: float
    idle: float | None
    commands: int
    slot: int = -1
    draining: bool = False


def pack(message: Message) -> bytes:
    """Write a message as one packet."""
    return json.dumps(message, separators=(",", ":")).encode()


def unpack(packet: bytes) -> Message:
    """Read a message."""
    message = json.loads(packet)  # a ValueError, for octets that are no text too
    if not isinstance(message, dict) or not isinstance(message.get("n"), int):
        raise ValueError("a message is an object with a number")
    return message


def row_of(values: object) -> Live:
    """Read one row of an answer."""
    try:
        row = Live(*values)  # type: ignore[misc]
    except TypeError:
        raise ValueError("a row has other columns") from None
    return row
