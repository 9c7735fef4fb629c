"""A place where few clients are answered one by one: operators and Prometheus, not mail programs.

Each client is answered by a thread of its own, at most `_AT_ONCE`; more wait in the listening socket's queue.

When things fail: a client that is slow or gone loses its connection.  Faults of ours are logged.
"""

from __future__ import annotations

import select
import socket
import threading
import time
import traceback
from collections.abc import Callable

from tpop3d_py.log import WARNING, Log, one_line

#: Clients answered at one time.
_AT_ONCE = 8
#: Seconds a client has for all of its question, and then for taking each part of the answer.
DEADLINE = 5.0
_READ_AT_ONCE = 4096
#: Seconds between two looks whether we are closed.
_LOOK = 0.25


class Desk:
    """Takes clients from one listening socket.

    Args:
        sock: listening and non-blocking; another process may be taking clients from it too.
        answer: answers one client; a connection that is gone is an `OSError`.
        log: for faults.
    """

    def __init__(self, sock: socket.socket, answer: Callable[[socket.socket], None], log: Log) -> None:
        self._sock = sock
        self._answer = answer
        self._log = log
        self._free = threading.BoundedSemaphore(_AT_ONCE)
        self._closed = False
        threading.Thread(target=self._take_in, daemon=True).start()

    def close(self, patience: float) -> None:
        """Take no more clients and wait for those that are being answered, for so many seconds at most."""
        self._closed = True
        end = time.monotonic() + patience
        for _ in range(_AT_ONCE):
            self._free.acquire(timeout=max(0.0, end - time.monotonic()))

    def _take_in(self) -> None:
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        while not self._closed:
            if poll.poll(_LOOK * 1000) and self._free.acquire(timeout=_LOOK):
                self._take_one()

    def _take_one(self) -> None:
        try:
            client, _ = self._sock.accept()
            client.settimeout(DEADLINE)
            threading.Thread(target=self._attend, args=(client,), daemon=True).start()
        except BlockingIOError:  # another process was faster
            self._free.release()
        except (OSError, RuntimeError) as error:  # descriptors or threads have run out
            self._free.release()
            self._log.once("desk", 60.0, WARNING, f"monitor: cannot accept connections: {error}")
            time.sleep(_LOOK)

    def _attend(self, client: socket.socket) -> None:
        try:
            with client:
                self._answer(client)
        except OSError:
            pass  # slow, or gone
        except Exception:
            self._log.error(f"monitor: internal error: {one_line(traceback.format_exc())}")
        finally:
            self._free.release()


def hear_out(client: socket.socket, complete: Callable[[bytes], object], most: int) -> bytes:
    """Read a client's question; octet by octet it would else hold its place for as long as it likes.

    Args:
        client: with `DEADLINE` seconds for each wait, as it is again when this returns.
        complete: tells whether what has come is all of it.
        most: octets after which it is, whatever it says.

    Raises:
        OSError: the client was not done in `DEADLINE` seconds, or is gone.
    """
    octets, end = b"", time.monotonic() + DEADLINE
    while len(octets) < most and not complete(octets):
        if (left := end - time.monotonic()) <= 0:
            raise TimeoutError
        client.settimeout(left)
        came = client.recv(min(_READ_AT_ONCE, most - len(octets)))
        if not came:
            break
        octets += came
    client.settimeout(DEADLINE)
    return octets
