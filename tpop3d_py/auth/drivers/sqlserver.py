"""What auth-mysql, auth-pgsql and auth-sqlite say alike: servers, TLS, queries.

Each driver has a settings group of its own, with directives that begin with its name; they are declared by
the functions here.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tpop3d_py.auth.drivers.sqltemplate import VARIABLES, Dialect, query_kind
from tpop3d_py.auth.plugin import DriverError
from tpop3d_py.settings import BOOLEAN, PATH, TEXT, Kind, setting, words_of

_SERVER = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9._-]+))(?::(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class Server:
    """A database server: a socket, or a host with a port (0: the usual one)."""

    socket: str = ""
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.socket or (f"{host}:{self.port}" if self.port else host)


def _server(text: str) -> Server:
    if text.startswith("/"):
        return Server(socket=text)
    found = _SERVER.fullmatch(text)
    if found is None or int(found["port"] or 0) > 65535:
        raise ValueError("must be HOST, HOST:PORT or the absolute path of a socket")
    return Server(host=found["v6"] or found["host"], port=int(found["port"] or 0))


def _servers(text: str) -> tuple[Server, ...]:
    found = tuple(_server(word) for word in text.split())
    if len(set(found)) != len(found) or not found:
        raise ValueError("must name one server or several different ones")
    return found


SERVERS: Kind[tuple[Server, ...]] = Kind(
    "list of HOST, HOST:PORT or /path/of/socket", _servers, words_of("", _server).show
)


@dataclass(frozen=True, slots=True)
class Tls:
    """What connections to servers are protected by.

    Args:
        on: by TLS, or not at all.
        verify: demand the right certificate.
        ca: file with the authorities' certificates; None: the machine's.
        cert: file with our own certificate; None: we have none.
        key: file with its key; None: it is in the same file.
    """

    on: bool = False
    verify: bool = True
    ca: str | None = None
    cert: str | None = None
    key: str | None = None


def hostname_setting(name: str, more: str) -> Any:
    """Declare ``auth-NAME-hostname``."""
    return setting(
        f"auth-{name}-hostname",
        SERVERS,
        default=(Server(host="localhost"),),
        summary=f"The servers, in order of preference: the next one is asked when one cannot be had. {more}",
    )


def database_setting(name: str) -> Any:
    """Declare ``auth-NAME-database``."""
    return setting(f"auth-{name}-database", TEXT, default=None, summary="Name of the database.")


def username_setting(name: str) -> Any:
    """Declare ``auth-NAME-username``."""
    return setting(f"auth-{name}-username", TEXT, default=None, summary="Account on the server.")


def password_setting(name: str) -> Any:
    """Declare ``auth-NAME-password``."""
    return setting(
        f"auth-{name}-password",
        TEXT,
        default=None,
        summary="Its password, in double quotes if it contains #; keep the file unreadable for others.",
        secret=True,
    )


def tls_setting(name: str) -> Any:
    """Declare ``auth-NAME-tls``."""
    return setting(
        f"auth-{name}-tls",
        BOOLEAN,
        default=False,
        summary="Talk to the servers by TLS only, and only to those whose certificate is right. A server "
        "that is named by its socket needs none.",
    )


def tls_verify_setting(name: str) -> Any:
    """Declare ``auth-NAME-tls-verify``."""
    return setting(
        f"auth-{name}-tls-verify",
        BOOLEAN,
        default=True,
        summary=f"With auth-{name}-tls, demand a certificate that a known authority has issued for the name "
        "of the server. Without it, whoever stands in the middle reads everything.",
    )


def tls_file_setting(name: str, what: str, summary: str) -> Any:
    """Declare ``auth-NAME-tls-ca-file``, ``-cert-file`` or ``-key-file``."""
    return setting(f"auth-{name}-tls-{what}-file", PATH, default=None, summary=summary)


TLS_CA = (
    "Certificates (PEM) of the authorities that the servers' certificates may come from, instead of the "
    "machine's."
)
TLS_CERT = "Our own certificate (PEM), for servers that ask for one."
TLS_KEY = "Its private key (PEM), if that is in a file of its own."


def query_setting(name: str, what: str, dialect: Dialect, summary: str) -> Any:
    """Declare ``auth-NAME-pass-query``, ``-apop-query`` or ``-onlogin-query``."""
    return setting(f"auth-{name}-{what}-query", query_kind(dialect), default=None, summary=summary)


_KNOWN = ", ".join(f"$({name})" for name in VARIABLES)
PASS_QUERY = (
    "The query for a login, which answers with mailbox path, stored password, Unix user and mailbox type, in "
    f"one row; none: such logins are not for this driver. Variables: {_KNOWN}. Without this directive, the "
    "tables of Vmail-SQL."
)
APOP_QUERY = "The same, for APOP."
ONLOGIN_QUERY = "A statement to run after each login, through whichever driver, when it has been answered."


def missing(name: str, tls: Tls, **required: str | None) -> Iterator[tuple[str, str]]:
    """Yield what a driver that is on lacks."""
    for directive, value in required.items():
        if not value:
            yield f"auth-{name}-{directive}", f"required when auth-{name}-enable is on"
    if tls.key and not tls.cert:
        yield f"auth-{name}-tls-key-file", f"needs auth-{name}-tls-cert-file"


def tls_context(name: str, tls: Tls) -> ssl.SSLContext | None:
    """Make what connections by TLS are checked with; None if they are not to use it.

    Raises:
        DriverError: a file cannot be used.
    """
    if not tls.on:
        return None
    try:
        context = ssl.create_default_context(cafile=tls.ca)
        # The certificates that MariaDB makes for itself lack what RFC 5280 wants.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if not tls.verify:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if tls.cert:
            context.load_cert_chain(tls.cert, tls.key)
    except OSError as error:
        raise DriverError(f"auth-{name}-tls: a certificate or key cannot be used: {error}") from None
    return context
