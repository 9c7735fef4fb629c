"""What is found out about a client before it is greeted, on listeners where anything is to be found out.

In this order: what a proxy says of it (PROXY protocol), which name it asks for in TLS (SNI), which domain
the address stands for that it connected to (reverse DNS).  Each step may have to wait, and never makes a
thread wait: the steps are a generator that says what it waits for, and runs when that has come.

Rules: where proxies are expected nobody else is served, since anybody could write a header.  What a proxy
says of addresses counts everywhere: in the log, for limits, for the domain.  That a client is inside TLS with
the proxy counts only where the listener says so.

When things fail: the connection is closed, and the log says why, once a minute at most for each listener and
reason; so too for clients whose TLS does not fit ours.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Generator, Iterable, Iterator

from tpop3d_py.contracts import Peer
from tpop3d_py.log import Log
from tpop3d_py.pop3.profile import Profile
from tpop3d_py.server.connection import Connection
from tpop3d_py.server.guest import Guest, GuestTransport
from tpop3d_py.server.habits import Habits
from tpop3d_py.server.naming import Naming
from tpop3d_py.server.networks import Networks
from tpop3d_py.server.proxy import BadHeader, HeaderReader, Introduction
from tpop3d_py.server.waits import Next

#: Seconds that a header may take; a proxy sends it at once.
HEADER_SECONDS = 5.0
_QUIET_SECONDS = 60.0


@dataclasses.dataclass(frozen=True, slots=True)
class Manners:
    """How the clients of one listener are received.

    Args:
        profile: protocol settings of its sessions.
        tls_at_once: TLS begins with the connection.
        named: certificates are chosen by name, also after STLS.
        naming: finds the domain of a connection; None: the listener has one.
        proxies: who sends a PROXY header; None: nobody.
        believes_tls: a client that is inside TLS with the proxy is inside TLS.
        forwarders: who may say XCLIENT.
    """

    profile: Profile
    tls_at_once: bool = False
    named: bool = False
    naming: Naming | None = None
    proxies: Networks | None = None
    believes_tls: bool = False
    forwarders: Networks = dataclasses.field(default_factory=Networks)


class Reception:
    """Receives the clients of one listener.

    Args:
        manners: how.
        bindings: tls-server-end-points of the certificates that a name may choose.
        log: the log.
    """

    def __init__(self, manners: Manners, bindings: Iterable[bytes], log: Log) -> None:
        self._manners = manners
        self._log = log
        self._profiles = {
            (binding, forwards): dataclasses.replace(manners.profile, binding=binding, xclient=forwards)
            for binding in {manners.profile.binding, b"", *bindings}
            for forwards in {False, bool(manners.forwarders)}
        }
        self._asks = manners.proxies is not None or manners.tls_at_once
        self._stays = manners.named or bool(manners.forwarders)
        self._headers: dict[Guest, float] = {}
        self._silent_until: dict[str, float] = {}
        #: Told of a connection whose client turns out to be somebody else than it was let in as.
        self.readdressed: Callable[[Connection], None] = lambda _conn: None

    def connection(
        self, fd: int, transport: GuestTransport, peer: Peer, stamp: bytes, habits: Habits
    ) -> Connection:
        """Make the connection of a client that came in; fields as of `Connection`."""
        domain = peer.domain
        if not domain and not self._asks and self._manners.naming is not None:
            domain = self._manners.naming.known(peer.server_host)
            peer = _in_domain(peer, domain)
        if domain and not self._asks and not self._stays:
            return Connection(fd, transport, peer, stamp, self._manners.profile, habits)
        guest = Guest(fd, transport, peer, stamp, self.profile(peer), habits)
        guest.receive_with(self, self._receive(guest) if self._asks or not domain else None)
        return guest

    def profile(self, peer: Peer, binding: bytes | None = None) -> Profile:
        """Return the settings of a client's session.

        Args:
            peer: the client.
            binding: of the certificate that it sees; None: the listener's.
        """
        forwards = self._manners.forwarders.contains(peer.client_host)
        own = self._manners.profile.binding
        return self._profiles[own if binding is None else binding, forwards]

    def late(self, now: float) -> list[Guest]:
        """List the connections whose PROXY header should have come by now."""
        return [guest for guest, deadline in list(self._headers.items()) if deadline <= now]

    # --- the steps ----------------------------------------------------------

    def _receive(self, guest: Guest) -> Iterator[Next]:
        manners, proxy, said = self._manners, guest.peer, Introduction()
        peer = proxy
        if manners.proxies is not None:
            heard = yield from self._hear_proxy(guest, manners.proxies)
            if heard is None:
                yield Next.CLOSE
                return
            said, peer = heard, _introduced(peer, heard)
        secure = said.tls and manners.believes_tls
        if manners.tls_at_once and not (yield from guest.shake_hands()):
            self._no_tls(guest)
            yield Next.CLOSE
            return
        domain, binding = peer.domain, None
        if guest.choice is not None:
            domain, binding = guest.choice.domain, guest.choice.binding
        elif manners.naming is not None:
            asked = manners.naming.of_name(said.name) if secure else ""
            domain = asked or (yield from _named(guest, peer, manners.naming))
        peer = _in_domain(peer, domain)
        # Where TLS ends at the proxy the client sees the proxy's certificate, to which we cannot be bound.
        guest.meet(peer, self.profile(peer, b"" if secure else binding), secure)
        if said.client is not None:
            self._log.debug(f"client {guest.describe()}: introduced by {proxy.client_host}")
            self.readdressed(guest)

    def _hear_proxy(self, guest: Guest, proxies: Networks) -> Generator[Next, None, Introduction | None]:
        """Read the header; None: the connection is to be closed."""
        if not proxies.contains(guest.peer.client_host):
            self._complain(guest, "is not in proxy-networks", "")
            return None
        self._headers[guest] = time.monotonic() + HEADER_SECONDS
        try:
            return (yield from self._read_header(guest))
        except BadHeader as error:
            self._complain(guest, "sent no PROXY header", f": {error}")
            return None
        finally:
            self._headers.pop(guest, None)

    def _read_header(self, guest: Guest) -> Generator[Next, None, Introduction | None]:
        reader = HeaderReader()
        while True:
            waiting = guest.plain.peek()
            if waiting is None:
                yield Next.SOCKET
                continue
            if not waiting:  # a proxy that looks whether we are there, at most
                if reader.begun:
                    raise BadHeader("it broke off")
                return None
            count, said = reader.take(waiting)
            guest.plain.skip(count)
            if said is not None:
                return said

    def _no_tls(self, guest: Guest) -> None:
        if guest.trouble and self._may_tell(guest.trouble):
            here = f"{guest.peer.server_host}:{guest.peer.server_port}"
            self._log.info(
                f"client {guest.describe()}: no TLS with local address {here}: {guest.trouble} "
                "(told once a minute)"
            )

    def _may_tell(self, what: str) -> bool:
        """Tell whether something of a kind was not told of for a minute; there are not many kinds."""
        now = time.monotonic()
        if now < self._silent_until.get(what, 0.0):
            return False
        self._silent_until[what] = now + _QUIET_SECONDS
        return True

    def _complain(self, guest: Guest, what: str, detail: str) -> None:
        if self._may_tell(what):
            peer = guest.peer
            self._log.warning(
                f"rejected connection from {peer.client_host} to local address {peer.server_host}:"
                f"{peer.server_port}, where only proxies are served: it {what}{detail} (told once a minute)"
            )


def _introduced(peer: Peer, said: Introduction) -> Peer:
    if said.client is None or said.server is None:
        return peer
    return Peer(*said.client, *said.server, peer.domain)


def _in_domain(peer: Peer, domain: str) -> Peer:
    return Peer(peer.client_host, peer.client_port, peer.server_host, peer.server_port, domain)


def _named(guest: Guest, peer: Peer, naming: Naming) -> Generator[Next, None, str]:
    """Wait for the domain; the resolver's patience ends the wait."""
    while not (domain := naming.known(peer.server_host)):
        guest.resume_at = time.monotonic()  # at the worker's next look at the clock
        yield Next.DELAY
    return domain
