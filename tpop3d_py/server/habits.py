"""What all connections of a worker have in common; values only, nothing here can fail."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from tpop3d_py.log import Log
from tpop3d_py.pop3.replies import Reply
from tpop3d_py.server.patience import Timeouts


class Trace(Protocol):
    """Writes the dialogue down, with secrets masked."""

    def heard(self, client: str, line: bytes, secret: bool) -> None:
        """Note a command line, or a SASL response, which is all secret."""

    def said(self, client: str, reply: Reply) -> None:
        """Note a reply."""


class Habits(NamedTuple):
    """Time-outs, the log, and the trace if there is one."""

    timeouts: Timeouts
    log: Log
    trace: Trace | None = None
