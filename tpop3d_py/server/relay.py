"""Carries octets between a client inside TLS and the process that reads its mail.

TLS state cannot change process, so the process that began it stays in between: it decrypts what comes and
encrypts what goes, and knows nothing of either.

Rules: neither side is read further than `ROOM` octets ahead of the other, so a client that does not read,
or does not stop sending, costs that much.  The end of the client's octets is passed on behind them, as
the end that it would be without a relay; when the mail process is done, what it has sent still goes out,
as from the kernel after close(2).

One thread at a time, which a lock sees to: both sides may become ready at once.

When things fail: a side that is gone ends the other one.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time

from tpop3d_py.server.transport import Transport

#: Octets that are kept in each direction.
ROOM = 65_536
#: Seconds without progress after which a client gets no more of what a session that is over has left.
LINGER = 60.0
#: Pieces moved in one direction before other connections get their turn.
_TURN = 16


class Relay:
    """Two ends and what is between them.

    Args:
        fd: the client's descriptor.
        client: the client's transport, inside TLS.
        mail: our end of the socket pair, non-blocking.
    """

    def __init__(self, fd: int, client: Transport, mail: socket.socket) -> None:
        self.fds = fd, mail.fileno()
        self._client = client
        self._mail = mail
        self._lock = threading.Lock()
        self._to_mail = b""
        self._to_client: bytes | memoryview = b""
        self._client_ended = self._passed_on = self._mail_ended = False
        #: CLOCK_MONOTONIC seconds of the last progress toward the client.
        self._progress = time.monotonic()
        #: Whether there is nothing to carry any more.
        self.over = False
        self._read_needs, self._write_needs = select.EPOLLIN, select.EPOLLOUT

    def step(self) -> tuple[int, int]:
        """Carry what can be carried; return the events to wait for at each of `fds`, 0: none."""
        with self._lock:
            for _ in range(_TURN):
                if self.over or not (self._inward() | self._outward()):
                    break
            return self._wanted()

    def is_stale(self, now: float) -> bool:
        """Tell whether what is left is not taken any more."""
        return self._mail_ended and now - self._progress > LINGER

    def close(self) -> None:
        """End both sides."""
        with self._lock:
            self.over = True
            self._mail.close()
            self._client.close()

    def _inward(self) -> bool:
        """Carry toward the mail process; tell whether anything moved."""
        moved = False
        if not self._client_ended and len(self._to_mail) < ROOM:
            octets = self._client.receive()
            self._read_needs = self._client.blocked_on
            if octets:
                self._to_mail += octets
                moved = True
            elif octets is not None:
                self._client_ended = moved = True
        if self._to_mail:
            moved |= self._push_inward()
        if self._client_ended and not self._to_mail and not self._passed_on:
            self._passed_on = True
            with contextlib.suppress(OSError):
                self._mail.shutdown(socket.SHUT_WR)
        return moved

    def _push_inward(self) -> bool:
        if self._client.has_more() and len(self._to_mail) < ROOM:
            return False  # together with what is decrypted already
        try:
            count = self._mail.send(self._to_mail)
        except BlockingIOError:
            return False
        except OSError:  # it does not read any more; whether it still sends, reading tells
            self._to_mail, self._client_ended, self._passed_on = b"", True, True
            return True
        self._to_mail = self._to_mail[count:]
        return bool(count)

    def _outward(self) -> bool:
        """Carry toward the client; tell whether anything moved."""
        moved = False
        if not self._to_client and not self._mail_ended:
            try:
                self._to_client = self._mail.recv(ROOM)
                self._mail_ended = not self._to_client
                moved = True
            except BlockingIOError:
                pass
            except OSError:
                self._mail_ended = moved = True
        if self._to_client:
            count = self._client.send(self._to_client)
            self._write_needs = self._client.blocked_on
            if count < 0:
                self._to_client, self._mail_ended = b"", True
            elif count:
                self._progress, moved = time.monotonic(), True
                self._to_client = memoryview(self._to_client)[count:]
        self.over = self._mail_ended and not self._to_client
        return moved

    def _wanted(self) -> tuple[int, int]:
        client = mail = 0
        if not self._client_ended and len(self._to_mail) < ROOM:
            client |= self._read_needs
        if self._to_client:
            client |= self._write_needs
        elif not self._mail_ended:
            mail |= select.EPOLLIN
        if self._to_mail:
            mail |= select.EPOLLOUT
        return client, mail
