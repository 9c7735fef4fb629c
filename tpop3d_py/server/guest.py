"""A connection that has to be received before it is greeted; see `reception`, which does it.

It also lets a client's name in TLS (SNI), and a proxy's XCLIENT, change what is known of it before a login.

When things fail: an exception out of the reception is a fault of ours, handled as in `Connection`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import select
import socket
import ssl
from collections.abc import Callable, Generator, Iterator
from typing import Protocol

from tpop3d_py.contracts import Peer
from tpop3d_py.pop3.profile import Profile
from tpop3d_py.pop3.session import Session
from tpop3d_py.server.connection import CROWDED, Connection
from tpop3d_py.server.habits import Habits
from tpop3d_py.server.sni import Choice, NamedSocket
from tpop3d_py.server.transport import PlainTransport, TlsTransport
from tpop3d_py.server.waits import Next

#: Octets looked at before a header is complete; more than the longest has.
_PEEKED = 8192


class Receiver(Protocol):
    """What a guest asks while it is there."""

    def profile(self, peer: Peer, binding: bytes | None = None) -> Profile:
        """Return the settings of a client's session; see `Reception`."""

    @property
    def readdressed(self) -> Callable[[Connection], None]:
        """To be told of a connection whose client turns out to be somebody else."""


class Guest(Connection):
    """A client's connection on a listener that receives its clients."""

    __slots__ = ("_receiver", "_steps", "choice", "plain", "trouble")

    def __init__(
        self,
        fd: int,
        transport: GuestTransport,
        peer: Peer,
        stamp: bytes,
        profile: Profile,
        habits: Habits,
    ) -> None:
        super().__init__(fd, transport, peer, stamp, profile, habits)
        self.plain = transport
        #: What the name that the client asked for in TLS has led to.
        self.choice: Choice | None = None
        #: What is wrong with the client's TLS, in OpenSSL's words; empty: nothing, or it has just gone.
        self.trouble = ""
        self._receiver: Receiver | None = None
        self._steps: Iterator[Next] | None = None

    def receive_with(self, receiver: Receiver, steps: Iterator[Next] | None) -> None:
        """Tell the connection who receives it, and the steps to take before it is greeted."""
        self._receiver = receiver
        self._steps = steps
        self.plain.on_choice = self._chosen

    def greet(self) -> Next:
        """Start the conversation, or what comes before it."""
        return super().greet() if self._steps is None else self._go_on()

    def run(self) -> Next:
        """Go on with whatever is to be done."""
        return super().run() if self._steps is None else self._go_on()

    def time_out(self) -> Next:
        """Say good-bye to a client that was idle for too long, if anything was ever said to it."""
        if self._steps is None:
            return super().time_out()
        self._ending = "timed out"
        return Next.CLOSE

    def crowd_out(self) -> None:
        """End the connection for lack of room, with a word where the client can understand one."""
        if self._steps is None:
            super().crowd_out()
        else:
            self._ending = CROWDED

    def close(self) -> None:
        """Release everything; a header that is waited for is not waited for any more."""
        self._steps = None
        super().close()

    def leave(self) -> None:
        """Forget the connection, with which another process goes on."""
        self._steps = self._receiver = self.plain.on_choice = None
        super().leave()

    def meet(self, peer: Peer, profile: Profile, secure: bool) -> None:
        """Begin the session anew with what is known now; nothing has been said yet.

        Args:
            peer: the client.
            profile: settings of its session.
            secure: it is inside TLS with a proxy that is believed.
        """
        self.peer = peer
        stamp = os.urandom(16).hex().encode()
        self.session = Session(peer, self, stamp, profile, secure=secure or self.transport.secure)

    def introduce(self, peer: Peer) -> None:
        """Take a proxy's word for who the client is (the Login port)."""
        super().introduce(peer)
        if self._receiver is not None:
            self._receiver.readdressed(self)

    def shake_hands(self) -> Generator[Next, None, bool]:
        """Begin TLS; tell at the end whether the client is still there.

        Not before it has spoken: until then a connection costs 2 KB, and 45 inside TLS.
        """
        while self.plain.peek() is None:
            yield Next.SOCKET
        try:
            self.transport = tls = self.plain.with_tls()
        except (OSError, ValueError):
            return False
        while (done := tls.handshake()) is None:
            yield Next.SOCKET
        self.trouble = tls.trouble
        return done

    def _chosen(self, choice: Choice) -> None:
        """Note what the client's name has led to; called in the middle of the handshake."""
        self.choice = choice
        if self._steps is None and self._receiver is not None:  # STLS: the session is under way
            self.peer = dataclasses.replace(self.peer, domain=choice.domain)
            self.session.introduce(self.peer, self._receiver.profile(self.peer, choice.binding))

    def _go_on(self) -> Next:
        """Take the next step; after the last one, greet."""
        assert self._steps is not None
        try:
            waits = next(self._steps, None)
        except Exception:
            return self._fail()
        if waits is not None:
            return waits
        self._steps = None
        return super().greet()


class GuestTransport(PlainTransport):
    """TCP where somebody else may speak before the client does."""

    __slots__ = ("on_choice",)

    def __init__(self, sock: socket.socket, context: ssl.SSLContext | None = None) -> None:
        super().__init__(sock, context)
        #: Called when a name has chosen a certificate.
        self.on_choice: Callable[[Choice], None] | None = None

    def peek(self) -> bytes | None:
        """Return octets without taking them, b"" when the client is gone, None when there are none yet."""
        self.blocked_on = select.EPOLLIN
        try:
            return self._sock.recv(_PEEKED, socket.MSG_PEEK)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def skip(self, count: int) -> None:
        """Take octets that were peeked at."""
        with contextlib.suppress(OSError):
            self._sock.recv(count)

    def with_tls(self) -> GuestTls:
        """Go on inside TLS, on the same descriptor; this transport is done for.

        Raises:
            OSError: the client is gone.
        """
        if self._context is None:
            raise OSError("there is no certificate")
        return GuestTls(self._sock, self._context, self)


class GuestTls(TlsTransport):
    """TLS where the client's name may choose the certificate.

    Args:
        sock: connected and non-blocking.
        context: the listener's.
        plain: knows whom to tell of a choice.
    """

    __slots__ = ("trouble",)

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, plain: GuestTransport) -> None:
        super().__init__(sock, context)
        #: Why there is no handshake; empty if the client has just gone.
        self.trouble = ""
        if isinstance(self._sock, NamedSocket):
            self._sock.on_choice = plain.on_choice

    def handshake(self) -> bool | None:
        """Go on with the handshake; None while it waits, False when the client is gone."""
        try:
            self._sock.do_handshake()
        except ssl.SSLWantReadError:
            self.blocked_on = select.EPOLLIN
        except ssl.SSLWantWriteError:
            self.blocked_on = select.EPOLLOUT
        except ssl.SSLEOFError:
            return False
        except ssl.SSLError as error:
            self.trouble = (error.reason or "").lower().replace("_", " ")
            return False
        except (OSError, ValueError):
            return False
        else:
            return True
        return None
