"""From the listening addresses in the settings to bound listeners with all that their sessions obey.

When things fail: `ListenError`, which names the address, or `CertificateError`, which names the file.  One
customer's certificate that cannot be used is only complained of: the one that was read before stays, or,
where there was none, its names get the listener's.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from tpop3d_py.assemble.certificates import Certificates, Known, Vigil
from tpop3d_py.auth.tokens import TokenSettings
from tpop3d_py.config import Configuration
from tpop3d_py.log import Log
from tpop3d_py.pop3.languages import CATALOGS
from tpop3d_py.pop3.profile import Profile
from tpop3d_py.pop3.settings import ProtocolSettings
from tpop3d_py.server import binding
from tpop3d_py.server.bounds import LimitSettings
from tpop3d_py.server.contexts import Selection
from tpop3d_py.server.door import Door
from tpop3d_py.server.edge import EdgeSettings
from tpop3d_py.server.hosts import Resolver, read_hosts
from tpop3d_py.server.listeners import Listener, ListenError
from tpop3d_py.server.naming import Naming
from tpop3d_py.server.reception import Manners, Reception
from tpop3d_py.server.settings import ServerSettings
from tpop3d_py.server.sockets import Claims, key_of

#: Wildcards, which no name belongs to.
_ANY = ("0.0.0.0", "::")  # noqa: S104 - not to bind


@dataclass(frozen=True, slots=True)
class Entrance:
    """All listeners of one reading of the settings.

    Args:
        doors: the listeners.
        warnings: what the operator should look at.
        watch: tells when certificates have changed.
        resolver: finds names of addresses, once it is started.
        expiry: when each certificate ends, in seconds since 1970, by file.
    """

    doors: Sequence[Door]
    warnings: Sequence[str]
    watch: Vigil
    resolver: Resolver
    expiry: Mapping[str, float]

    def start_resolver(self) -> None:
        """Begin to find names of addresses, those of the listeners first; in each worker."""
        if not all(door.domain for door in self.doors):
            hosts = (door.sock.getsockname()[0] for door in self.doors if not door.domain)
            self.resolver.start(host for host in hosts if host not in _ANY)


def open_doors(conf: Configuration, claims: Claims, selection: Selection, log: Log) -> Entrance:
    """Bind every listening address, or take its socket over.

    Args:
        conf: the settings.
        claims: sockets that are open already.
        selection: TLS contexts that exist already.
        log: of the connections' reception.

    Raises:
        ListenError: an address cannot be listened on.
        CertificateError: a certificate cannot be used.
    """
    plan = _Plan(conf, selection, log)
    doors = [make(sock) for listener, make in plan.makers() for sock in plan.sockets(listener, claims)]
    return Entrance(
        doors, plan.warnings(), Vigil(plan.certificates, log), plan.resolver, plan.certificates.expiry()
    )


def check_doors(conf: Configuration) -> Sequence[str]:
    """Look for what `open_doors` would fail with, but do not bind anything; return the warnings.

    Raises:
        ListenError: a name does not resolve.
        CertificateError: a certificate cannot be used.
    """
    return _inspected(conf).warnings()


@dataclass(frozen=True, slots=True)
class Threshold:
    """All listeners as the master of separated mode has them: bound, and without keys.

    Args:
        sockets: of each listener, in the order of the settings.
        announcements: what to say of them.
        warnings: what the operator should look at.
        watch: tells when certificates have changed.
        expiry: when each certificate ends, in seconds since 1970, by file.
    """

    sockets: Sequence[Sequence[socket.socket]]
    announcements: Sequence[str]
    warnings: Sequence[str]
    watch: Vigil
    expiry: Mapping[str, float]


def inspect_doors(conf: Configuration) -> Known:
    """Do what `check_doors` does and return what is known of certificates then.

    Raises:
        ListenError: a name does not resolve.
        CertificateError: a certificate cannot be used.
    """
    return _inspected(conf).certificates.known


def _inspected(conf: Configuration) -> _Plan:
    plan = _Plan(conf, Selection({}), Log("pypop3d", to_stderr=False))
    for listener, _ in plan.makers():
        binding.addresses_of(listener)
    return plan


def bind_doors(conf: Configuration, known: Known, claims: Claims, log: Log) -> Threshold:
    """Do what `open_doors` does, but touch no key.

    Args:
        conf: the settings.
        known: of their certificates.
        claims: sockets that are open already.
        log: for certificates that end soon.

    Raises:
        ListenError: an address cannot be listened on.
    """
    plan = _Plan(conf, Selection({}), log)
    plan.certificates.take_over(known)
    listeners = conf.get(ServerSettings).listen_address
    sockets = [list(plan.sockets(listener, claims)) for listener in listeners]
    said = [
        announcement(sock, bool(listener.certificate), listener.stls, _stands_for(listener))
        for listener, bound in zip(listeners, sockets, strict=True)
        for sock in bound
    ]
    vigil = Vigil(plan.certificates, log)
    return Threshold(sockets, said, plan.warnings(), vigil, plan.certificates.expiry())


def furnish_doors(conf: Configuration, threshold: Threshold, known: Known, log: Log) -> Entrance:
    """Make the listeners of bound sockets, with their keys; in a process that may read those.

    Args:
        conf: the settings.
        threshold: the sockets.
        known: of the certificates, as they are to be shown.
        log: of the connections' reception.

    Raises:
        CertificateError: a certificate cannot be used any more.
    """
    selection = Selection({})
    plan = _Plan(conf, selection, log)
    plan.certificates.take_over(known)
    pairs = zip(plan.makers(), threshold.sockets, strict=True)
    doors = [make(sock) for (_, make), bound in pairs for sock in bound]
    selection.settled()
    return Entrance(doors, (), threshold.watch, plan.resolver, threshold.expiry)


def announcement(sock: socket.socket, tls: bool, stls: bool, stands_for: str) -> str:
    """Say in the paper's words that a socket is listened on."""
    host, port = sock.getsockname()[:2]
    mode = f"; TLS mode {'stls' if stls else 'immediate'}" if tls else ""
    return f"listening on address {host}, port {port}, {stands_for}{mode}"


class _Plan:
    """What becomes of each listener."""

    def __init__(self, conf: Configuration, selection: Selection, log: Log) -> None:
        self._conf = conf
        self._edge = edge = conf.get(EdgeSettings)
        self._listeners = conf.get(ServerSettings).listen_address
        self._log = log
        self._bound: set[object] = set()
        self._elsewhere: list[str] = []
        self.certificates = Certificates(edge, self._listeners, selection)
        try:
            hosts = read_hosts(edge.hosts_file) if edge.hosts_file else {}
        except ValueError as error:
            raise ListenError(f"hosts-file: {error}") from None
        self.resolver = Resolver(hosts, edge.reverse_dns_timeout)

    def makers(self) -> Iterator[tuple[Listener, Callable[[socket.socket], Door]]]:
        """Yield each listener with what makes a door of a socket."""
        for listener in self._listeners:
            yield listener, self._maker(listener)

    def sockets(self, listener: Listener, claims: Claims) -> Iterator[socket.socket]:
        """Bind all addresses of a listener that are this machine's."""
        buffer = self._conf.get(ServerSettings).tcp_send_buffer
        addresses = binding.addresses_of(listener)
        elsewhere: list[ListenError] = []
        for family, address in addresses:
            key = key_of(family, address)
            if key in self._bound:
                raise ListenError(f"cannot listen on {listener}: {address[0]} is listened on already")
            try:
                sock = claims.claim(key, partial(binding.bind_address, listener, family, address, buffer))
            except ListenError as error:
                if error.errno not in binding.ELSEWHERE:
                    raise
                elsewhere.append(error)
                continue
            binding.set_up(sock, buffer)
            self._bound.add(key)
            yield sock
        if len(elsewhere) == len(addresses):
            raise elsewhere[0]
        self._elsewhere.extend(f"{error}; its other addresses are served" for error in elsewhere)

    def warnings(self) -> list[str]:
        """List what the operator should look at."""
        return [*self._elsewhere, *self.certificates.warnings(time.time()), *self._contradictions()]

    def _maker(self, listener: Listener) -> Callable[[socket.socket], Door]:
        tls = self.certificates.of(listener)
        profile = profile_of(listener, self._conf, tls.binding)
        naming = None if listener.domain else self._naming(listener)
        proxies = self._edge.proxy_networks if listener.proxy else None
        if proxies is not None and not proxies:
            raise ListenError(f"listen-address {listener}: proxy= needs proxy-networks")
        forwarders = self._edge.xclient_networks
        reception = None
        at_once = bool(listener.certificate) and not listener.stls
        if at_once or naming or proxies or forwarders or tls.bindings:
            manners = Manners(
                profile, at_once, bool(tls.bindings), naming, proxies, listener.proxy_tls, forwarders
            )
            reception = Reception(manners, tls.bindings, self._log)
        stands_for = _stands_for(listener)
        return lambda sock: Door(
            sock, listener.domain, profile, tls.context, listener.stls, reception, stands_for
        )

    def _naming(self, listener: Listener) -> Naming:
        return Naming(self.resolver, listener.pattern, frozenset(self._edge.sni_hosts))

    def _contradictions(self) -> Iterator[str]:
        protocol = self._conf.get(ProtocolSettings)
        for listener in self._listeners:
            if listener.secures:
                continue
            if protocol.password_tls_only:
                yield f"listen-address {listener}: no TLS, and password-tls-only: no password is taken here"
            elif protocol.apop_only:
                yield f"listen-address {listener}: no TLS, and apop-only: only APOP lets anybody in here"
        if self._edge.proxy_networks and not any(listener.proxy for listener in self._listeners):
            yield "proxy-networks: no listener has proxy=yes, so no PROXY header is read"
        if self._edge.tls_certificates and not any(listener.certificate for listener in self._listeners):
            yield "tls-certificates: no listener has tls=, so nobody asks for a name"


def _stands_for(listener: Listener) -> str:
    origin = f"regex /{listener.pattern.pattern}/" if listener.pattern else "domain by reverse DNS"
    return f"domain {listener.domain}" if listener.domain else origin


def profile_of(listener: Listener, conf: Configuration, end_point: bytes) -> Profile:
    """Gather what the sessions of a listener obey."""
    protocol, bounds = conf.get(ProtocolSettings), conf.get(LimitSettings)
    return Profile(
        texts=CATALOGS[listener.texts or protocol.texts],
        stls=listener.stls,
        apop_only=protocol.apop_only,
        password_tls_only=protocol.password_tls_only,
        mechanisms=protocol.sasl_mechanisms,
        token_check=bool(conf.get(TokenSettings).check),
        binding=end_point,
        permit_empty_password=protocol.empty_passwords,
        commit_on_early_close=not protocol.no_commit_on_early_close,
        command_errors=bounds.command_errors,
        login_attempts=bounds.login_attempts,
    )
