"""What all connections of a worker have in common; values only, nothing here can fail."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from tpop3d_py.log import Log
from tpop3d_py.pop3.replies import Reply
from tpop3d_py.server.patience import Timeouts


class Client(Protocol):
    """Whose dialogue it is."""

    @property
    def fd(self) -> int:
        """The connection's descriptor."""

    def describe(self) -> str:
        """Name the client for the log."""


class Trace(Protocol):
    """Is told the dialogue."""

    def heard(self, conn: Client, line: bytes, secret: bool) -> None:
        """Note a command line, or a SASL response, which is all secret."""

    def said(self, conn: Client, reply: Reply) -> None:
        """Note a reply."""


class Habits(NamedTuple):
    """Time-outs, the log, and the trace if there is one."""

    timeouts: Timeouts
    log: Log
    trace: Trace | None = None
