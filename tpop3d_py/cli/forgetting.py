"""Has a running pypop3d forget a login that it may remember, when a password has changed or a box has gone.

It is asked at the usual place, which the package's configuration names as `control-socket`; one that listens
elsewhere, or nowhere, is not told, and forgets after ``authcache-entry-lifetime``.

When things fail: nothing does.  The change is made by then, and whoever made it need not have the right to
ask the daemon.
"""

from __future__ import annotations

import contextlib
import json
import socket

from tpop3d_py.server.ears import USUAL_CONTROL

#: Seconds to wait for the daemon; its workers answer within one.
_PATIENCE = 2.0


def forget(address: str, path: str = USUAL_CONTROL) -> None:
    """Have a box's next login checked.

    Args:
        address: of the box, in any spelling that a login may have.
        path: the control socket.
    """
    question = json.dumps({"ask": "forget", "user": address.lower()}).encode()
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(_PATIENCE)
        sock.connect(path)
        sock.sendall(question + b"\n")
        sock.recv(4096)  # or the next command could be faster
