"""The log lines of a session, in the words that tpop3d's users parse."""

from __future__ import annotations

import os
import time

from tpop3d_py.contracts import Identity, Reason, Refusal
from tpop3d_py.log import Log, printable
from tpop3d_py.pop3.replies import Reply
from tpop3d_py.server.connection import Connection

#: Commands whose arguments may be written down: none of them lets anybody in.
_HARMLESS = frozenset(b"USER CAPA STLS UTF8 LANG QUIT STAT LIST UIDL RETR TOP DELE RSET NOOP LAST".split())
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
    """Writes every command and reply down (``-v``): secrets are masked, messages left out.

    What is no command of ours is not written down at all: it may be a password, said a line too late by a
    client that overlooked a refusal.
    """

    def __init__(self, log: Log) -> None:
        self._log = log

    def heard(self, client: str, line: bytes, secret: bool) -> None:
        """Note a command line, or a SASL response, which is all secret."""
        self._log.debug(f"client {client}: received `{'(hidden)' if secret else _masked(line)}'")

    def said(self, client: str, reply: Reply) -> None:
        """Note a reply."""
        code = f"[{reply.code.value}] " if reply.code is not None else ""
        sign = "+" if reply.challenge else "+OK" if reply.ok else "-ERR"
        # A challenge of SCRAM is half of what a dictionary attack on the password needs.
        text = "(hidden)" if reply.challenge and reply.text else printable(reply.text)
        self._log.debug(f"client {client}: sent `{sign} {code}{text}'")


def _masked(line: bytes) -> str:
    verb, _, rest = line.lstrip(b" ").partition(b" ")
    if verb.upper() in _HARMLESS:
        return printable(line)
    if verb.upper() in _SECRET:
        return printable(verb + b" (hidden)" if rest else verb)
    return f"(no command, {len(line)} octets)"
