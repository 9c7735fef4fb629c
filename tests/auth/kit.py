"""What tests of drivers need."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.maildrop.kit import Recorder
from tpop3d_py.auth.accounts import Accounts
from tpop3d_py.auth.chores import Chores
from tpop3d_py.auth.exchange import Exchanges
from tpop3d_py.auth.plugin import Tools
from tpop3d_py.auth.scram import Salts
from tpop3d_py.contracts import Peer
from tpop3d_py.directory.engine import DirectorySettings
from tpop3d_py.log import Log

#: Seconds that are enough on a busy machine; spent only where something fails.
PATIENT = 20.0
PEER = Peer("192.0.2.1", 4000, "192.0.2.2", 110, "klient1.pl")


def tools(log: Log | None = None) -> Tools:
    """Return tools as a server that is root would have them."""
    log = log or Recorder()
    return Tools(log, Accounts(), Exchanges(Salts(b"x")), DirectorySettings(), Chores(log))


def wait_for(condition: Callable[[], object]) -> None:
    """Return when something has become true."""
    deadline = time.monotonic() + PATIENT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
