"""One client: octets between its transport and its session, never blocking.

A connection is run by one thread at a time.  `run` goes on until the connection
has to wait and says for what; whoever runs it then puts it where it waits.
Output that the socket does not take waits (`outbox`), and no command is read while it
does.

STLS changes the transport once its answer is sent, and forgets every octet that was read
before: what somebody put behind STLS is neither obeyed nor seen (RFC 2595 section 4,
CVE-2011-0411).  Octets of his still in the socket are no handshake, and end the connection.

When things fail: an exception out of the session is a fault of ours: it is
logged, the client gets [SYS/TEMP] and the connection ends.  A body that breaks
off ends the connection without the final dot.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from typing import Literal

from tpop3d_py.contracts import BodyInterrupted, Challenge, Maildrop, Refusal
from tpop3d_py.log import one_line, printable
from tpop3d_py.pop3.lines import TOO_LONG, Expected, TooLong
from tpop3d_py.pop3.replies import Reply, Then, encode
from tpop3d_py.server.client import CROWDED, Client
from tpop3d_py.server.transport import hung_up
from tpop3d_py.server.waits import Next

__all__ = ["CROWDED", "Connection", "Next"]

#: Octets a client may send before its login, and how many of them at full speed: three attempts with the
#: longest SASL responses are less than the one, most logins less than the other.  Whoever sends more sends a
#: line without an end, or wants us to work.
_BEFORE_LOGIN, _TALKATIVE = 65_536, 16_384
#: Seconds between two looks at what such a client sends, each time some 4 KiB.
_SLOWED = 0.2
_FAULT = b"-ERR [SYS/TEMP] Something bad happened, and I just can't go on. Sorry.\r\n"


class Connection(Client):
    """A client's connection."""

    __slots__ = ()

    def greet(self) -> Next:
        """Start the conversation."""
        return self._guarded(self.session.greeting)

    def finish_login(self, outcome: Maildrop | Refusal | Challenge) -> Next:
        """Go on after the answer to a login has come."""
        self.wanted = None
        self.confirmed = False
        if not isinstance(outcome, Challenge):
            self.granted = None
        return self._guarded(lambda: self.session.login_finished(outcome))

    def still_reading(self) -> bool:
        """Tell whether a client whose time is up is only slow; if so it gets more time."""
        return self.session.logged_in and self.patience.still_reading(self.transport.unread())

    def time_out(self) -> Next:
        """Say good-bye to a client that was idle for too long; what it does not take at once is dropped."""
        self._held = None
        self._ending = "timed out"
        if not self._outbox:
            self._guarded(self.session.timed_out)
        return Next.CLOSE

    def run(self) -> Next:
        """Send, read and obey until something has to be waited for."""
        if self.wanted is not None:
            return Next.LOGIN  # it has waited for its check
        waits = None
        if self._held is not None:
            reply, self._held = self._held, None
            reply.delay = 0.0
            waits = self._take(reply)
        if waits is None and self._outbox:
            waits = self._flush()
        if waits is None and self._lines.pending:
            waits = self._obey()
        return self._receive() if waits is None else waits

    def _guarded(self, step: Callable[[], Reply]) -> Next:
        """Run a step that makes a reply, then go on."""
        try:
            reply = step()
        except Exception:
            return self._fail()
        waits = self._take(reply)
        return self._obey() or self._idle() if waits is None else waits

    def _receive(self) -> Next:
        data = self.transport.receive()
        if data is None:
            return Next.SOCKET
        if not data:
            return Next.CLOSE
        self.received += len(data)
        if self.received > _TALKATIVE and not self.session.logged_in:
            return self._receive_slowly(data)
        line = self._lines.whole(data)
        if line is None:
            self._lines.feed(data)
            return self._obey() or self._idle()
        return self._answer(line) or self._flush() or self._idle()

    def _receive_slowly(self, data: bytes) -> Next:
        """Take octets of a client that has sent very many before a login, and the next ones a little later.

        So a line without an end costs next to nothing; closing it at once would only bring the next one.
        """
        if self.received > _BEFORE_LOGIN:
            self._ending = "too many octets before a login"
            return Next.CLOSE
        self._lines.feed(data)
        waits = self._obey() or Next.DELAY
        if waits is Next.DELAY and self._held is None:
            self.resume_at = time.monotonic() + _SLOWED
        return waits

    def _idle(self) -> Next:
        """Wait for more input; what TLS has decrypted already no epoll will ever announce."""
        return Next.TURN if self.transport.has_more() else Next.SOCKET

    def _obey(self) -> Next | None:
        """Obey the complete lines that have come; None when there are none left and nothing is to be sent."""
        while (line := self._lines.next_line(self.session.expected)) is not None:
            waits = self._answer(line)
            if waits is not None:
                return waits
        return self._flush()

    def _answer(self, line: bytes | Literal[TooLong.TOO_LONG]) -> Next | None:
        """Have the session answer one line."""
        session = self.session
        if self._trace is not None:
            heard = b"" if line is TOO_LONG else line
            secret = line is TOO_LONG or session.expected is Expected.RESPONSE
            self._trace.heard(self, heard, secret)
        if not self._commits_late and line is not TOO_LONG and self._hung_up_behind(line):
            return Next.CLOSE
        try:
            reply = session.receive_too_long() if line is TOO_LONG else session.receive(line)
        except Exception:
            return self._fail()
        return self._take(reply)

    def _hung_up_behind(self, line: bytes) -> bool:
        """Tell whether a line is a QUIT that must not remove anything: the client has hung up behind it."""
        if not self.session.would_commit(line) or not hung_up(self.transport):
            return False
        self._ending = self._ending or "connection closed behind quit"
        return True

    def _take(self, reply: Reply) -> Next | None:
        if reply.then is Then.WAIT:
            self._flush()  # what does not fit goes out before the answer; the check need not wait for it
            return Next.LOGIN
        if reply.detail:
            self._log.error(f"client {self.describe()}: {printable(reply.detail)}")
        if reply.delay:
            self._held = reply
            # Counted from the question, so that the answer's time does not tell how the check went.
            self.resume_at = self.asked_at + reply.delay
            self._flush()
            return Next.DELAY
        if self._trace is not None:
            self._trace.said(self, reply)
        self._outbox.put(encode(reply))
        if reply.then is not Then.CONTINUE:
            self._closing = reply.then is Then.CLOSE
            self._starts_tls = reply.then is Then.START_TLS
            return self._flush()
        return self._flush() if self._outbox.is_full else None

    def _flush(self) -> Next | None:
        """Send what is to be sent; None when all of it is gone."""
        before = self._outbox.sent
        try:
            waits = self._outbox.push(self.transport)
        except BodyInterrupted as error:
            self._log.error(f"client {self.describe()}: message broke off: {error.detail}")
            self._ending = "message broke off"
            return Next.CLOSE
        except Exception:
            return self._fail()
        if self.session.logged_in and self._outbox.sent != before:
            self.patience.renew()  # a client that takes something is not idle
        if waits is not None:
            return waits
        if self._starts_tls:
            return self._start_tls()
        return Next.CLOSE if self._closing else None

    def _start_tls(self) -> Next | None:
        self._starts_tls = False
        self._lines.clear()
        try:
            self.transport = self.transport.with_tls()
        except (OSError, ValueError):  # gone already
            return Next.CLOSE
        self.session.tls_started()
        return None

    def _fail(self) -> Next:
        """Answer our own fault."""
        self._ending = "internal error"
        self._log.error(f"client {self.describe()}: internal error: {one_line(traceback.format_exc())}")
        if not self._outbox:
            self.transport.send(_FAULT)
        return Next.CLOSE
