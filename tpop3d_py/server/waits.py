"""What a connection waits for; values only, nothing here can fail."""

from __future__ import annotations

from enum import Enum


class Next(Enum):
    """What a connection waits for."""

    SOCKET = "its socket"
    TURN = "nothing, but others wait too"
    LOGIN = "the answer to a login"
    DELAY = "the moment a held reply may go out"
    CLOSE = "to be closed"
