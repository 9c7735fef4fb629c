"""Listening addresses as they are written in the configuration.

When things fail: a mistake in the text is a `ValueError` for the configuration reader.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass, field

from tpop3d_py.pop3.languages import CATALOGS
from tpop3d_py.server.contexts import VERSIONS, Terms, check_ciphers
from tpop3d_py.server.naming import DOMAIN, compile_pattern
from tpop3d_py.settings import words_of

_WRITTEN = re.compile(
    r"(?:\[(?P<v6>[^]]+)\]|(?P<host>[^:\[\]();/]+|[0-9A-Fa-f:.]+:[0-9A-Fa-f:.]*))(?::(?P<port>[A-Za-z0-9-]+))?"
    r"(?:\((?P<domain>[^()]*)\)|/(?P<regex>.*?)/)?(?P<options>(?:;[a-z-]+=[^;]*)*)"
)
#: Known without /etc/services, which a minimal system does not have.
_SERVICES = {"pop3": 110, "pop3s": 995}
_OPTIONS = ("tls", "tls-min", "ciphers", "texts", "proxy")
_FORM = (
    "ADDRESS[:PORT][(DOMAIN)|/REGEX/][;tls=immediate|stls,CERT[,KEY]][;tls-min=VERSION][;ciphers=LIST]"
    "[;texts=NAME][;proxy=yes|tls]"
)


class ListenError(Exception):
    """An address cannot be listened on.

    Args:
        text: for the operator.
        errno: of the system call that failed; 0 if none did.
    """

    def __init__(self, text: str, errno: int = 0) -> None:
        super().__init__(text)
        self.errno = errno


@dataclass(frozen=True, slots=True)
class Listener:
    """One address to serve.

    Args:
        host: address or host name.
        port: TCP port.
        domain: virtual domain of its connections; empty: found by reverse DNS.
        certificate: PEM chain for TLS; empty: a plain listener.
        key: PEM private key; the certificate's file by default.
        stls: TLS begins when the client says STLS (RFC 2595), not at once (RFC 8314).
        texts: name of the listener's own catalog; empty: the server's.
        text: as written, for messages.
        pattern: takes the domain out of the names that reverse DNS finds; None: what is behind the first dot.
        tls_min: oldest version of TLS, of `contexts.VERSIONS`.
        ciphers: an OpenSSL cipher list; empty: the usual ones.
        proxy: connections come from proxies and begin with a PROXY header.
        proxy_tls: clients that are inside TLS with the proxy are inside TLS.
    """

    host: str
    port: int
    domain: str = ""
    certificate: str = ""
    key: str = ""
    stls: bool = False
    texts: str = ""
    text: str = field(default="", compare=False)
    pattern: re.Pattern[str] | None = None
    tls_min: str = Terms().oldest
    ciphers: str = ""
    proxy: bool = False
    proxy_tls: bool = False

    def __str__(self) -> str:
        return self.text or f"{self.host}:{self.port}"

    @property
    def secures(self) -> bool:
        """Whether clients can be inside TLS."""
        return bool(self.certificate) or self.proxy_tls


def parse_listener(text: str) -> Listener:
    """Read one address with its options."""
    found = _WRITTEN.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not {_FORM}")
    domain = found["domain"]
    if domain is not None and not DOMAIN.fullmatch(domain):
        raise ValueError(f"{text!r}: the domain in parentheses is not a domain name")
    options = _parse_options(text, found["options"])
    certificate, key, stls = _parse_tls(text, options)
    return Listener(
        _parse_host(text, found["v6"], found["host"]),
        _parse_port(text, found["port"], 995 if certificate and not stls else 110),
        (domain or "").lower(),
        certificate,
        key,
        stls,
        _one_of(text, options, "texts", ("", *CATALOGS)),
        text,
        None if found["regex"] is None else compile_pattern(found["regex"]),
        _one_of(text, options, "tls-min", (Terms().oldest, *VERSIONS)),
        options.get("ciphers", ""),
        "proxy" in options,
        _one_of(text, options, "proxy", ("yes", "tls")) == "tls",
    )


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
        if name not in _OPTIONS or name in options:
            raise ValueError(f"{text!r} is not {_FORM}")
        options[name] = value
    return options


def _one_of(text: str, options: dict[str, str], name: str, words: tuple[str, ...]) -> str:
    """Return an option's value; the first of the words if it is not given."""
    value = options.get(name)
    if value is not None and value not in [word for word in words if word]:
        raise ValueError(f"{text!r}: {name} is one of {', '.join(dict.fromkeys(filter(None, words)))}")
    return value or words[0]


def _parse_tls(text: str, options: dict[str, str]) -> tuple[str, str, bool]:
    if "ciphers" in options:
        check_ciphers(options["ciphers"])
    if "tls" not in options:
        if needless := options.keys() & {"tls-min", "ciphers"}:
            raise ValueError(f"{text!r}: {min(needless)} means nothing without tls=")
        return "", "", False
    mode, *files = options["tls"].split(",")
    known = mode in ("immediate", "stls")
    if not known or len(files) not in (1, 2) or not all(name.startswith("/") for name in files):
        raise ValueError(
            f"{text!r}: tls is written tls=immediate,/path/of/certificate[,/path/of/key], or tls=stls,..."
        )
    return files[0], files[-1], mode == "stls"
