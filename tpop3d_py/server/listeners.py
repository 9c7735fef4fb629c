"""Listening addresses: how one is written in the configuration, and how it is bound.

When things fail: a mistake in the text is a `ValueError` for the configuration
reader; an address that cannot be bound is a `ListenError` that names it.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass, field

from tpop3d_py.pop3.languages import CATALOGS
from tpop3d_py.settings import words_of

_WRITTEN = re.compile(
    r"(?:\[(?P<v6>[^]]+)\]|(?P<host>[^:\[\]();/]+|[0-9A-Fa-f:.]+:[0-9A-Fa-f:.]*))(?::(?P<port>[A-Za-z0-9-]+))?"
    r"(?:\((?P<domain>[^()]*)\)|(?P<regex>/.*/))?(?P<options>(?:;[a-z]+=[^;]*)*)"
)
_DOMAIN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
_BACKLOG = 4096
#: Octets that wait in the kernel without being under way, for each client (TCP_NOTSENT_LOWAT in tcp(7)).
_UNSENT = 131_072
#: Known without /etc/services, which a minimal system does not have.
_SERVICES = {"pop3": 110, "pop3s": 995}
_FORM = "ADDRESS[:PORT][(DOMAIN)][;tls=immediate|stls,CERT[,KEY]][;texts=NAME]"


class ListenError(Exception):
    """An address cannot be listened on."""


@dataclass(frozen=True, slots=True)
class Listener:
    """One address to serve.

    Args:
        host: address or host name.
        port: TCP port.
        domain: virtual domain of its connections; empty: found by reverse DNS at start.
        certificate: PEM chain for TLS; empty: a plain listener.
        key: PEM private key; the certificate's file by default.
        stls: TLS begins when the client says STLS (RFC 2595), not at once (RFC 8314).
        texts: name of the listener's own catalog; empty: the server's.
        text: as written, for messages.
    """

    host: str
    port: int
    domain: str = ""
    certificate: str = ""
    key: str = ""
    stls: bool = False
    texts: str = ""
    text: str = field(default="", compare=False)

    def __str__(self) -> str:
        return self.text or f"{self.host}:{self.port}"


def parse_listener(text: str) -> Listener:
    """Read ``ADDRESS[:PORT][(DOMAIN)][;tls=immediate|stls,CERT[,KEY]][;texts=NAME]``."""
    found = _WRITTEN.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not {_FORM}")
    if found["regex"]:
        raise ValueError(f"{text!r}: domains by /REGEX/ are not supported by this version; write (DOMAIN)")
    domain = found["domain"]
    if domain is not None and not _DOMAIN.fullmatch(domain):
        raise ValueError(f"{text!r}: the domain in parentheses is not a domain name")
    options = _parse_options(text, found["options"])
    certificate, key, stls = _parse_tls(text, options.get("tls"))
    texts = options.get("texts", "")
    if "texts" in options and texts not in CATALOGS:
        raise ValueError(f"{text!r}: texts is one of {', '.join(CATALOGS)}")
    host = _parse_host(text, found["v6"], found["host"])
    port = _parse_port(text, found["port"], 995 if certificate and not stls else 110)
    return Listener(host, port, (domain or "").lower(), certificate, key, stls, texts, text)


LISTENERS = words_of("listening addresses", parse_listener)


def _parse_host(text: str, v6: str | None, host: str) -> str:
    if v6 is None and ":" not in host:
        return host
    try:
        return str(ipaddress.IPv6Address(v6 or host))
    except ValueError:
        raise ValueError(f"{text!r}: {v6 or host!r} is not an IPv6 address") from None


def _parse_port(text: str, port: str | None, default: int) -> int:
    if port is None:
        return default
    if not port.isdigit():
        try:
            return _SERVICES.get(port) or socket.getservbyname(port, "tcp")
        except OSError:
            raise ValueError(f"{text!r}: {port!r} is not a service name") from None
    if not 1 <= int(port) <= 65535:
        raise ValueError(f"{text!r}: a port is between 1 and 65535")
    return int(port)


def _parse_options(text: str, written: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for option in written.split(";")[1:]:
        name, _, value = option.partition("=")
        if name not in ("tls", "texts") or name in options:
            raise ValueError(f"{text!r} is not {_FORM}")
        options[name] = value
    return options


def _parse_tls(text: str, tls: str | None) -> tuple[str, str, bool]:
    if tls is None:
        return "", "", False
    mode, *files = tls.split(",")
    known = mode in ("immediate", "stls")
    if not known or len(files) not in (1, 2) or not all(name.startswith("/") for name in files):
        raise ValueError(
            f"{text!r}: tls is written tls=immediate,/path/of/certificate[,/path/of/key], or tls=stls,..."
        )
    return files[0], files[-1], mode == "stls"


def addresses_of(listener: Listener) -> list[tuple[int, tuple[str | int, ...]]]:
    """Resolve a listener into address families and socket addresses.

    Raises:
        ListenError: the name does not resolve.
    """
    try:
        found = socket.getaddrinfo(
            listener.host, listener.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise ListenError(f"cannot listen on {listener}: {error.strerror or error}") from None
    return [(family, (str(address[0]), *address[1:])) for family, _, _, _, address in found]


def bind(listener: Listener, send_buffer: int = 0) -> socket.socket:
    """Open a listening, non-blocking socket on the first address of a listener; see `bind_address`."""
    family, address = addresses_of(listener)[0]
    return bind_address(listener, family, address, send_buffer)


def bind_address(
    listener: Listener, family: int, address: tuple[str | int, ...], send_buffer: int = 0
) -> socket.socket:
    """Open a listening, non-blocking socket.

    Args:
        listener: for messages.
        family: of the address.
        address: where to listen.
        send_buffer: octets that the kernel keeps for a client to read; 0: as many as it likes.

    Raises:
        ListenError: the address cannot be bound.
    """
    sock = None
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        set_up(sock, send_buffer)
        sock.bind(address)
        sock.listen(_BACKLOG)
    except OSError as error:
        if sock is not None:
            sock.close()
        raise ListenError(f"cannot listen on {listener}: {error.strerror}") from None
    return sock


def set_up(sock: socket.socket, send_buffer: int) -> None:
    """Set what accepted sockets inherit, on a new listening socket and on one that is taken over."""
    sock.setblocking(False)
    # Linux hands this to accepted sockets: the short last segment of a message must not wait for an ACK.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # What the client has not asked for yet stays with us: else the kernel takes megabytes of every message for
    # a client that has stopped reading.  What is under way to it is not bounded by this, so nobody gets slower.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT)
    if send_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)


def domain_of(listener: Listener) -> str:
    """Name the virtual domain of a listener.

    As in the ancestor: as configured, else what reverse DNS says of its address behind the first dot, else
    the same of its aliases, else the machine's own name, else ``x.invalid``.
    """
    if listener.domain:
        return listener.domain
    names: list[str] = []
    try:
        name, aliases, _ = socket.gethostbyaddr(listener.host)
        names = [name, *aliases]
    except OSError:
        pass  # no reverse DNS: the machine's name has to do
    for candidate in names:
        host, dot, domain = candidate.partition(".")
        if host and dot and _DOMAIN.fullmatch(domain):
            return domain.lower()
    node = socket.gethostname()
    return node.lower() if _DOMAIN.fullmatch(node) else "x.invalid"
