"""What a session did, counted for the log; values only, nothing here can fail."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counters:
    """What a session did, for its line in the log.

    Args:
        retrieved: messages sent whole by RETR, repetitions included.
        octets: their sizes together.
        deleted: messages that QUIT removed; 0 if it could not, or never came.
        errors: the client's mistakes; wrong logins are not among them.
        commands: lines that were answered, SASL responses included.
    """

    retrieved: int = 0
    octets: int = 0
    deleted: int = 0
    errors: int = 0
    commands: int = 0
