"""The log lines of a session, in the words that tpop3d's users parse.

One line is written for a login and one for the end of its session; what the ancestor says beside them comes
at the level ``info``.  A name that a client chose stands in a line as `log.quoted` makes it: no blank, quote
or bracket of his can make a part of a line look like another one.

When things fail: the log drops lines; nothing here can fail.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time

from tpop3d_py.contracts import Identity, Reason, Refusal
from tpop3d_py.log import INFO, NOTICE, Log, printable, quoted
from tpop3d_py.pop3.replies import Reply
from tpop3d_py.server.connection import CROWDED, Connection
from tpop3d_py.server.crossings import Limit
from tpop3d_py.server.habits import Client
from tpop3d_py.server.meter import Meter

#: Commands whose arguments may be written down: none of them lets anybody in.
_HARMLESS = frozenset(
    b"USER CAPA STLS XCLIENT UTF8 LANG QUIT STAT LIST UIDL RETR TOP DELE RSET NOOP LAST".split()
)
_SECRET = frozenset({b"PASS", b"APOP", b"AUTH"})
#: Octets of a wrong password's mark: too few to find the password by, enough to see that two are the same.
_MARK = 2


class SessionLog:
    """Writes one line per event of a connection, and counts it.

    Args:
        log: the log.
        meter: counts the same events; None: nobody does.
        mark_passwords: add a mark to refusals by which wrong passwords can be told from each other.
    """

    def __init__(self, log: Log, meter: Meter | None = None, *, mark_passwords: bool = False) -> None:
        self._log = log
        self._meter = meter
        self._pid = os.getpid()
        # Made anew by each process and told to nobody, so that marks mean nothing a day later.
        self._key = os.urandom(16) if mark_passwords else b""

    def connected(self, conn: Connection) -> None:
        """Tell that a client came."""
        if self._meter is not None:
            self._meter.connected()
        if self._log.level < INFO:
            return
        peer = conn.peer
        self._log.info(
            f"listeners_post_select: client {conn.describe()}: connected to local address "
            f"{peer.server_host}:{peer.server_port}",
            "connected",
            self._client(conn),
        )

    def began(self, conn: Connection, identity: Identity, *, cached: bool = False) -> None:
        """Tell that a client logged in, and whether by the cache; POP-before-SMTP watchers read this line."""
        if self._meter is not None:
            self._meter.began(conn, identity)
        driver = sys.intern(f"{identity.driver}+cache" if cached else identity.driver)
        user, log = quoted(identity.user), self._log
        conn.driver = driver
        if log.level >= INFO:
            log.info(
                f"authcontext_new_user_pass: began session for `{user}' with {driver}; "
                f"uid {identity.uid}, gid {identity.gid}"
            )
        text = (
            f"fork_child: [{conn.fd}]{user}({conn.peer.client_host}): began session for `{user}' with "
            f"{driver}; child PID is {self._pid}"
        )
        log.notice(text, "login", self._login(conn, identity) if log.structured else {})

    def refused(self, conn: Connection, refusal: Refusal, name: str) -> None:
        """Tell that a login was refused, and why."""
        if self._meter is not None:
            self._meter.refused(conn, refusal)
        who = f"client `{conn.describe()}': username `{quoted(name)}'"
        fields = {**self._client(conn), "user": name, "reason": refusal.reason.name, "detail": refusal.detail}
        if refusal.reason is Reason.CREDENTIALS:
            text = f"connection_do: {who}: authentication failure: {printable(refusal.detail)}"
            if self._key and conn.wanted is not None:
                fields["mark"] = mark = _mark(self._key, conn.wanted.secret)
                text += f"; password mark {mark}"
            self._log.notice(text, "refused", fields)
        else:
            text = f"connection_do: {who}: login not possible: {printable(refusal.detail)}"
            # A mailbox that another client has open is nobody's fault; of limits `pressure` tells, once.
            write = {Reason.LOCKED: self._log.notice, Reason.BUSY: self._log.debug}.get(refusal.reason)
            (write or self._log.error)(text, "refused", fields)

    def hit(self, limit: Limit) -> None:
        """Count that a limit was reached; whoever watches the limits tells of them."""
        if self._meter is not None:
            self._meter.hit(limit)

    def throttled(self, outcome: str) -> None:
        """Count a login that was held back, as ``delayed`` or ``refused``; `throttle` tells of the steps."""
        if self._meter is not None:
            self._meter.throttled(outcome)

    def ended(self, conn: Connection) -> None:
        """Tell that a connection ended, with what was done on it."""
        if self._meter is not None:
            self._meter.ended(conn)
        session, ending, log = conn.session, conn.ending, self._log
        # Of those that are closed to make room `pressure` tells, once: there may be thousands a second.
        if not session.logged_in and (log.level < INFO or ending == CROWDED):
            return
        who = conn.describe()
        if ending == "timed out":
            log.write(NOTICE if session.logged_in else INFO, f"net_loop: timed out client {who}")
        text = f"client {who}: disconnected; {conn.received}/{conn.sent} bytes read/written"
        fields = self._end(conn) if log.structured else {}
        if not session.logged_in:
            log.info(f"{text}; {ending}", "disconnected", fields)
            return
        counters, seconds = session.counters, time.monotonic() - conn.started
        if log.level >= INFO:
            log.info(f"finished session for `{quoted(session.user)}' with {conn.driver}")
        done = f"{counters.retrieved} retrieved, {counters.deleted} deleted"
        log.notice(f"{text}; {ending}, {done}, {seconds:.1f} s", "disconnected", fields)

    def _client(self, conn: Connection) -> dict[str, object]:
        if not self._log.structured:
            return {}
        peer = conn.peer
        return {
            "connection": conn.fd,
            "client": peer.client_host,
            "client_port": peer.client_port,
            "server": peer.server_host,
            "server_port": peer.server_port,
            "domain": peer.domain,
            "tls": conn.transport.secure,
        }

    def _login(self, conn: Connection, identity: Identity) -> dict[str, object]:
        mechanism = conn.wanted.mechanism.value if conn.wanted is not None else ""
        return {
            **self._client(conn),
            "user": identity.user,
            "driver": identity.driver,
            "mechanism": mechanism,
            "uid": identity.uid,
            "gid": identity.gid,
        }

    def _end(self, conn: Connection) -> dict[str, object]:
        counters = conn.session.counters
        return {
            **self._client(conn),
            "user": conn.session.user,
            "logged_in": conn.session.logged_in,
            "reason": conn.ending,
            "received": conn.received,
            "sent": conn.sent,
            "commands": counters.commands,
            "retrieved": counters.retrieved,
            "deleted": counters.deleted,
            "seconds": round(time.monotonic() - conn.started, 3),
        }


def _mark(key: bytes, secret: bytes) -> str:
    return hashlib.blake2b(secret, digest_size=_MARK, key=key).hexdigest()


class Dialogue:
    """Writes every command and reply down (``-v``): secrets are masked, messages left out.

    What is no command of ours is not written down at all: it may be a password, said a line too late by a
    client that overlooked a refusal.
    """

    def __init__(self, log: Log) -> None:
        self._log = log

    def heard(self, conn: Client, line: bytes, secret: bool) -> None:
        """Note a command line, or a SASL response, which is all secret."""
        self._log.debug(f"client {conn.describe()}: received `{'(hidden)' if secret else _masked(line)}'")

    def said(self, conn: Client, reply: Reply) -> None:
        """Note a reply."""
        code = f"[{reply.code.value}] " if reply.code is not None else ""
        sign = "+" if reply.challenge else "+OK" if reply.ok else "-ERR"
        # A challenge of SCRAM is half of what a dictionary attack on the password needs.
        text = "(hidden)" if reply.challenge and reply.text else printable(reply.text)
        self._log.debug(f"client {conn.describe()}: sent `{sign} {code}{text}'")


def _masked(line: bytes) -> str:
    verb, blank, rest = line.lstrip(b" ").partition(b" ")
    if verb.upper() in _HARMLESS:
        # Numbers keep their blanks; in a name one could begin what looks like a line of ours.
        words = printable(rest) if rest.replace(b" ", b"").isdigit() else quoted(rest)
        return printable(verb) + blank.decode() + words
    if verb.upper() in _SECRET:
        return printable(verb + b" (hidden)" if rest else verb)
    return f"(no command, {len(line)} octets)"
