"""The log lines of a session, in the words that tpop3d's users parse."""

from __future__ import annotations

import os
import time

from tpop3d_py.contracts import Identity, Reason, Refusal
from tpop3d_py.log import Log, printable
from tpop3d_py.pop3.replies import Reply
from tpop3d_py.server.connection import Connection

#: Commands whose arguments let somebody else in.
_SECRET = frozenset({b"PASS", b"APOP", b"AUTH"})


class SessionLog:
    """Writes one line per event of a connection."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._pid = os.getpid()

    def connected(self, conn: Connection) -> None:
        """Tell that a client came."""
        peer = conn.peer
        self._log.debug(
            f"listeners_post_select: client {conn.describe()}: connected to local address "
            f"{peer.server_host}:{peer.server_port}"
        )

    def began(self, conn: Connection, identity: Identity) -> None:
        """Tell that a client logged in; POP-before-SMTP watchers read this line."""
        user = printable(identity.user)
        self._log.notice(
            f"fork_child: [{conn.fd}]{user}({conn.peer.client_host}): began session for `{user}' with "
            f"{identity.driver}; child PID is {self._pid}"
        )

    def refused(self, conn: Connection, refusal: Refusal, name: str) -> None:
        """Tell that a login was refused, and why."""
        who = f"client `{conn.describe()}': username `{printable(name)}'"
        if refusal.reason is Reason.CREDENTIALS:
            self._log.notice(f"connection_do: {who}: authentication failure: {refusal.detail}")
        else:
            self._log.error(f"connection_do: {who}: login not possible: {printable(refusal.detail)}")

    def ended(self, conn: Connection) -> None:
        """Tell that a connection ended, with what was done on it."""
        session = conn.session
        text = f"client {conn.describe()}: disconnected; {conn.received}/{conn.sent} bytes read/written"
        if session.logged_in:
            seconds = time.monotonic() - conn.started
            counters = session.counters
            done = f"{counters.retrieved} retrieved, {counters.deleted} deleted"
            text += f"; {conn.ending}, {done}, {seconds:.1f} s"
            self._log.notice(text)
        else:
            self._log.debug(f"{text}; {conn.ending}")


class Dialogue:
    """Writes every command and reply down (``-v``): passwords and digests are masked, messages left out."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def heard(self, client: str, line: bytes, secret: bool) -> None:
        """Note a command line, or a SASL response, which is all secret."""
        verb, _, rest = line.lstrip().partition(b" ")
        if secret:
            line = b"(hidden)"
        elif rest and verb.upper() in _SECRET:
            line = verb + b" (hidden)"
        self._log.debug(f"client {client}: received `{printable(line)}'")

    def said(self, client: str, reply: Reply) -> None:
        """Note a reply."""
        code = f"[{reply.code.value}] " if reply.code is not None else ""
        sign = "+" if reply.challenge else "+OK" if reply.ok else "-ERR"
        self._log.debug(f"client {client}: sent `{sign} {code}{printable(reply.text)}'")
