"""A worker's side of status and kick: answers what the monitor asks over the control channel.

The channel waits in the worker's epoll like everything else, one-shot, so that one thread at a time is here.
An answer of many packets is made as the channel takes them, a few at a time; the rest waits for another turn.

A connection is looked at while another thread may be running it: each value is read once and may be a moment
old.  Ending one does not need to own it either, see `Connection.kick`.

When things fail: a damaged question is logged and dropped; a fault of ours in an answer is logged and
answered with an error, so that nobody waits for it.
"""

from __future__ import annotations

import os
import select
import socket
import time
import traceback
from collections.abc import Callable, Iterator, Sequence

from tpop3d_py.log import Log, one_line, printable
from tpop3d_py.server.connection import Connection
from tpop3d_py.server.live import PACKET, ROWS, Live, Message, pack, unpack

_LONGEST_USER = 200
#: Packets sent before clients are served again.
_TURN = 8


class Respondent:
    """Answers the questions of the monitor.

    Args:
        channel: the worker's end, non-blocking.
        everybody: lists all connections of the worker.
        forget: drops a user's cached logins.
        log: for damaged questions.
        forgive: drops what is held against a user or network, in all workers; None: nothing is.
    """

    def __init__(
        self,
        channel: socket.socket,
        everybody: Callable[[], Sequence[Connection]],
        forget: Callable[[str], None],
        log: Log,
        forgive: Callable[[str], int] | None = None,
    ) -> None:
        self._channel = channel
        self._everybody = everybody
        self._forget = forget
        self._forgive = forgive
        self._log = log
        self._answers: Iterator[bytes] = iter(())
        self._unsent = b""

    def attend(self) -> int:
        """Read and answer; return the epoll events to wait for next, 0 when there is nobody any more."""
        while True:
            if not self._send():
                return select.EPOLLOUT
            try:
                packet = self._channel.recv(PACKET)
            except BlockingIOError:
                return select.EPOLLIN
            except OSError:
                return 0
            if not packet:
                return 0
            try:
                question = unpack(packet)
            except ValueError as error:
                self._log.error(f"control: dropped a damaged question: {error}")
                continue
            self._answers = self._guarded(question)

    def _send(self) -> bool:
        """Send what there is; False when the channel takes no more just now, or others are to have a turn."""
        for _ in range(_TURN):
            packet = self._unsent or next(self._answers, b"")
            if not packet:
                return True
            self._unsent = packet
            try:
                self._channel.send(packet)
            except BlockingIOError:
                return False
            except OSError:  # nobody is there; reading will say so
                self._answers = iter(())
            self._unsent = b""
        return False

    def _guarded(self, question: Message) -> Iterator[bytes]:
        try:
            yield from self._answer(question)
        except Exception:
            self._log.error(f"control: internal error: {one_line(traceback.format_exc())}")
            yield pack({"n": question["n"], "last": True, "error": "internal error"})

    def _answer(self, question: Message) -> Iterator[bytes]:
        number, wanted, user = question["n"], question.get("ask"), question.get("user")
        if wanted == "sessions":
            yield from self._sessions(number)
            return
        if wanted == "kick":
            done = self._kick(str(question.get("id") or ""), user)
        elif wanted == "forget" and isinstance(user, str):
            self._forget(user)
            done = 1
        elif wanted == "forgive" and isinstance(user, str):
            done = self._forgive(user) if self._forgive is not None else 0
        else:
            yield pack({"n": number, "last": True, "error": "not understood"})
            return
        yield pack({"n": number, "last": True, "count": done})

    def _sessions(self, number: int) -> Iterator[bytes]:
        pid = os.getpid()
        rows: list[Live] = []
        for conn in self._everybody():
            rows.append(row(conn, pid, time.monotonic()))
            if len(rows) == ROWS:
                yield pack({"n": number, "last": False, "rows": rows})
                rows = []
        yield pack({"n": number, "last": True, "rows": rows})

    def _kick(self, identifier: str, user: object) -> int:
        chosen = [conn for conn in self._everybody() if _is_meant(conn, identifier, user)]
        for conn in chosen:
            conn.kick()
        return len(chosen)


def row(conn: Connection, pid: int, now: float) -> Live:
    """Describe a connection as it is at a moment (CLOCK_MONOTONIC seconds)."""
    session, peer = conn.session, conn.peer
    idle = conn.patience.idle(now)
    return Live(
        identify(conn, pid),
        printable(session.user[:_LONGEST_USER]),
        peer.client_host,
        peer.client_port,
        peer.domain,
        _state(conn),
        conn.transport.secure,
        conn.received,
        conn.sent,
        round(now - conn.started, 3),
        None if idle is None else round(idle, 3),
        session.counters.commands,
    )


def identify(conn: Connection, pid: int) -> str:
    """Name a connection so that no later one on the same descriptor has the name."""
    return f"{pid}.{conn.fd}.{int(conn.started * 1000) & 0xFFFF:04x}"


def _state(conn: Connection) -> str:
    if conn.wanted is not None:
        return "LOGIN"
    return "TRANSACTION" if conn.session.logged_in else "AUTHORIZATION"


def _is_meant(conn: Connection, identifier: str, user: object) -> bool:
    if identifier:
        return identify(conn, os.getpid()) == identifier
    # A name that nobody has proved to own is no reason to end a connection.
    return conn.session.logged_in and user in (conn.session.user, f"{conn.session.user}@{conn.peer.domain}")
