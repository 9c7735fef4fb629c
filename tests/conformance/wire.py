"""A POP3 client that sends exactly what it is told and reads as a strict client may.

Every reply is taken apart by the grammar of RFC 1939 sections 3 and 9 and RFC 2449 sections 4 and 8.  What
does not fit raises `Failed`: so each check also checks the framing of all replies it sees.

When things fail: a server that closes is `Closed`, one that says nothing for `PATIENCE` seconds is `Silent`.
"""

from __future__ import annotations

import re
import selectors
import socket
import ssl
from dataclasses import dataclass

from tests.conformance.registry import Failed, expect

#: Seconds to wait for any answer.
PATIENCE = 20.0
#: Octets of a status line, CRLF included (RFC 1939 section 3, RFC 2449 section 4).
LONGEST_STATUS = 512

_STATUS = re.compile(rb"(\+OK|-ERR)(?: (.*))?", re.DOTALL)
_CODE = re.compile(rb"\[([^\]\x00-\x1f\x7f]{1,})\](?: |$)")
_KEPT_LINES = 40


class Closed(Failed):
    """The server closed the connection where an answer was due."""


class Silent(Failed):
    """The server said nothing where an answer was due."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer: sign, text behind it, response code, and the unstuffed lines of a multi-line answer."""

    ok: bool
    text: bytes
    code: str = ""
    lines: tuple[bytes, ...] = ()

    @property
    def octets(self) -> bytes:
        """The lines as the message they are."""
        return b"".join(line + b"\r\n" for line in self.lines)

    def __str__(self) -> str:
        sign = "+OK" if self.ok else "-ERR"
        return f"{sign} {self.text[:80].decode('utf-8', 'replace')}"


class Client:
    """One connection.

    Attributes:
        greeting: the first reply.
        marked: whether a DELE was sent that no RSET has followed.
        dialogue: the last lines of the conversation, for the report.
        secret: whether what is sent now must not stand in the report.
    """

    def __init__(self, sock: socket.socket) -> None:
        """Take a connected socket over."""
        sock.settimeout(PATIENCE)
        self._sock = sock
        self._buffer = b""
        self.marked = False
        self.secret = False
        self.dialogue: list[str] = []
        self.greeting = Reply(False, b"")

    # --- sending ----------------------------------------------------------

    def send(self, octets: bytes) -> None:
        """Send octets as they are."""
        self._note("C", octets)
        try:
            self._sock.sendall(octets)
        except TimeoutError:
            raise Silent("the server stopped reading") from None
        except OSError:
            raise Closed("the server closed the connection while it was sent to") from None

    def half_close(self) -> None:
        """Say that nothing more will be sent."""
        self._sock.shutdown(socket.SHUT_WR)

    def start_tls(self, context: ssl.SSLContext, name: str) -> None:
        """Negotiate TLS on the open connection."""
        expect(not self._buffer, f"octets before the TLS handshake: {self._buffer[:60]!r}")
        self._sock = context.wrap_socket(self._sock, server_hostname=name)
        self._note("C", b"(TLS handshake)\r\n")

    # --- reading ----------------------------------------------------------

    def line(self) -> bytes:
        """Read a line that ends with CRLF; return it without."""
        while (end := self._buffer.find(b"\n")) < 0:
            self._receive()
        line, self._buffer = self._buffer[: end + 1], self._buffer[end + 1 :]
        self._note("S", line)
        expect(line.endswith(b"\r\n"), f"a line of a reply ends without CR: {line[-40:]!r}")
        return line[:-2]

    def status(self) -> Reply:
        """Read a status line."""
        line = self.line()
        expect(len(line) + 2 <= LONGEST_STATUS, f"a status line has {len(line) + 2} octets")
        found = _STATUS.fullmatch(line)
        if found is None:
            raise Failed(f"not a status line: {line[:80]!r}")
        text = found[2] or b""
        expect(not re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", text), f"control octets in {line[:80]!r}")
        code = _CODE.match(text)
        return Reply(found[1] == b"+OK", text, code[1].decode("ascii", "replace").upper() if code else "")

    def multi_line(self) -> Reply:
        """Read a status line and, if it is ``+OK``, the lines up to the final dot, unstuffed."""
        status = self.status()
        if not status.ok:
            return status
        block = self._block()
        lines = block.split(b"\r\n")[:-1] if block else []
        return Reply(True, status.text, status.code, tuple(_unstuffed(line) for line in lines))

    def _block(self) -> bytes:
        """Read up to the final dot; search only what is new, since messages are long."""
        searched = 0
        while not self._buffer.startswith(b".\r\n"):
            end = self._buffer.find(b"\r\n.\r\n", max(0, searched - 4))
            if end >= 0:
                block, self._buffer = self._buffer[: end + 2], self._buffer[end + 5 :]
                self._note("S", b"(%d octets)\r\n" % len(block))
                return block
            searched = len(self._buffer)
            self._receive()
        self._buffer = self._buffer[3:]
        return b""

    def closed(self) -> bool:
        """Tell whether the server closes now, with nothing left to read."""
        try:
            self._receive()
        except Closed:
            return not self._buffer
        return False

    def quiet(self, seconds: float) -> bool:
        """Tell whether nothing comes for a while."""
        if self._buffer:
            return False
        self._sock.settimeout(seconds)
        try:
            self._receive()
        except Silent:
            return True
        except Closed:
            return False
        finally:
            self._sock.settimeout(PATIENCE)
        return False

    def _receive(self) -> None:
        try:
            data = self._sock.recv(1 << 18)
        except TimeoutError:
            raise Silent(f"no answer; so far: {self._buffer[:80]!r}") from None
        except OSError:
            data = b""
        if not data:
            raise Closed(f"the server closed the connection; last: {self._buffer[:80]!r}")
        self._buffer += data

    # --- commands ---------------------------------------------------------

    def call(self, command: bytes | str) -> Reply:
        """Send a command, read a status line."""
        octets = command.encode() if isinstance(command, str) else command
        self.marked |= octets.upper().startswith(b"DELE")
        self.send(octets + b"\r\n")
        return self.status()

    def multi(self, command: bytes | str) -> Reply:
        """Send a command, read a multi-line answer (or a refusal)."""
        octets = command.encode() if isinstance(command, str) else command
        self.send(octets + b"\r\n")
        return self.multi_line()

    def ok(self, command: bytes | str) -> Reply:
        """Send a command that must succeed."""
        reply = self.call(command)
        expect(reply.ok, f"{_shown(command)} was refused: {reply}")
        return reply

    def lines(self, command: bytes | str) -> tuple[bytes, ...]:
        """Send a command that must succeed and return the lines of its answer."""
        reply = self.multi(command)
        expect(reply.ok, f"{_shown(command)} was refused: {reply}")
        return reply.lines

    def refused(self, command: bytes | str) -> Reply:
        """Send a command that must be refused."""
        reply = self.call(command)
        expect(not reply.ok, f"{_shown(command)} was accepted: {reply}")
        return reply

    def exchange(self, octets: bytes, answers: int) -> list[Reply]:
        """Send a lot and read while sending; return that many status lines."""
        view, replies = memoryview(octets), []
        self._note("C", b"(%d octets)\r\n" % len(octets))
        with selectors.DefaultSelector() as selector:
            selector.register(self._sock, selectors.EVENT_READ | selectors.EVENT_WRITE)
            while view:
                events = selector.select(PATIENCE)
                if not events:
                    raise Silent("the server neither reads nor answers")
                if events[0][1] & selectors.EVENT_READ:
                    self._receive()
                if events[0][1] & selectors.EVENT_WRITE:
                    view = view[self._sock.send(view[:4096]) :]
        for _ in range(answers):
            replies.append(self.status())
        return replies

    def leave(self) -> None:
        """Take marks back and quit; what comes besides the two answers is an error."""
        if self.marked:
            self.ok("RSET")
            self.marked = False
        expect(not self._buffer, f"octets that belong to no answer: {self._buffer[:80]!r}")
        self.ok("QUIT")
        expect(self.closed(), "the connection stays open, or more comes, after QUIT")
        self.hang_up()

    def hang_up(self) -> None:
        """Close the connection without a word."""
        self._sock.close()

    @property
    def tls_version(self) -> str:
        """The version of TLS that is spoken; empty if none is."""
        return (self._sock.version() or "") if isinstance(self._sock, ssl.SSLSocket) else ""

    @property
    def certificate(self) -> bytes:
        """The server's certificate, in DER; empty without TLS."""
        return (self._sock.getpeercert(True) or b"") if isinstance(self._sock, ssl.SSLSocket) else b""

    @property
    def is_open(self) -> bool:
        """Whether this side has not hung up."""
        return self._sock.fileno() >= 0

    def _note(self, who: str, octets: bytes) -> None:
        if who == "C" and (self.secret or octets[:5].upper() == b"PASS "):
            octets = b"(a secret)\r\n"
        shown = octets[:200].decode("utf-8", "backslashreplace").encode("unicode_escape").decode()
        self.dialogue.append(f"{who}: {shown}")
        del self.dialogue[:-_KEPT_LINES]


def _unstuffed(line: bytes) -> bytes:
    return line[1:] if line.startswith(b".") else line


def _shown(command: bytes | str) -> str:
    text = command if isinstance(command, str) else command.decode("utf-8", "backslashreplace")
    return text if len(text) <= 60 else f"{text[:50]}..."
