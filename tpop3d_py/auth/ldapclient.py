"""The few things that auth-ldap does with a server, by ldap3: find an entry, and be its user for a moment.

Two connections are kept, one for each, because a bind changes whose rights a connection has.  A password is
sent once, whatever happens, since servers count the wrong ones: nothing is tried again, but a connection that
the server has closed meanwhile, or that has been idle for a minute, is made anew before it is used.
Referrals are not followed: they would take the password elsewhere.

When things fail: `DirectoryDown` for a server that is away or does not answer, `DirectoryUnavailable` for one
that does not want to, `DirectoryInconsistent` for answers that contradict themselves.
"""

from __future__ import annotations

import contextlib
import ipaddress
import select
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ldap3
from ldap3.core.exceptions import LDAPException, LDAPInvalidFilterError
from ldap3.operation.search import parse_filter
from ldap3.utils.conv import escape_filter_chars

from tpop3d_py.directory.errors import DirectoryDown, DirectoryInconsistent, DirectoryUnavailable
from tpop3d_py.log import printable

#: Seconds for a connection, and for an answer.
_CONNECTING, _ANSWERING = 1, 2
_IDLE = 60.0
SCOPES = {"subtree": ldap3.SUBTREE, "onelevel": ldap3.LEVEL, "base": ldap3.BASE}

_SUCCESS, _SIZE_LIMIT, _NO_SUCH_OBJECT = 0, 4, 32
#: What a bind says of a login that is not to be (RFC 4511, appendix A.1): constraintViolation,
#: inappropriateAuthentication, invalidCredentials, insufficientAccessRights, unwillingToPerform.
_REFUSALS = frozenset({19, 48, 49, 50, 53})

escape_in_filter = escape_filter_chars


def escape_in_dn(text: str) -> str:
    """Write a text so that it is one value in a distinguished name, whatever it is (RFC 4514 section 2.4)."""
    return "".join(c if c.isascii() and c.isalnum() else _hex(c) for c in text)


def _hex(character: str) -> str:
    return "".join(f"\\{octet:02x}" for octet in character.encode())


@dataclass(frozen=True, slots=True)
class Site:
    """A server, and who asks it.

    Args:
        host: name or address.
        port: of TCP.
        tls: what connections are protected by: ``ldaps``, ``starttls``, or empty.
        verify: demand the right certificate.
        ca: the authorities' certificates (PEM); None: the machine's.
        user: distinguished name to search as.
        password: its password.
    """

    host: str
    port: int
    tls: str
    verify: bool
    ca: str | None
    user: str
    password: str


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be found, and whether it has this password.

    Args:
        base: where to begin.
        chosen: whether the base depends on the login, so that it need not exist.
        scope: one of `SCOPES`.
        filter: what to look for.
        attributes: which of its attributes are wanted.
    """

    base: str
    chosen: bool
    scope: str
    filter: str
    attributes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """An entry.

    Args:
        name: its distinguished name.
        values: of its attributes, by their names in lower case.
        refusal: why the password is not taken; empty if it is, or there was none to check.
    """

    name: str
    values: Mapping[str, Sequence[bytes]]
    refusal: str = ""


def check_filter(text: str) -> None:
    """Refuse a filter that cannot be read.

    Raises:
        ValueError: what is wrong.
    """
    try:
        parse_filter(text, None, False, None, None, False)
    except LDAPInvalidFilterError as error:
        raise ValueError(f"is no filter: {error}") from None


class Client:
    """Asks one server; for one process.

    Args:
        site: the server.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._search = _Line(site)
        self._login = _Line(site)

    def find(self, question: Question, password: bytes | None) -> Found | None:
        """Find the one entry, and check its password.

        Args:
            question: which entry.
            password: not empty; None: there is none to be checked.

        Raises:
            DirectoryError: nobody can tell.
        """
        found = self._find(question)
        if found is None or password is None:
            return found
        result = self._login.bind(found.name, password)
        code, text = result["result"], _text(result)
        if code != _SUCCESS and code not in _REFUSALS:
            raise DirectoryUnavailable(f"bind: {text}")
        return Found(found.name, found.values, "" if code == _SUCCESS else text)

    def _find(self, question: Question) -> Found | None:
        search = self._search
        if not search.is_ready():
            result = search.bind(self._site.user, self._site.password.encode())
            if result["result"] != _SUCCESS:
                search.close()
                raise DirectoryUnavailable(f"auth-ldap-searchdn is not let in: {_text(result)}")
        result, entries = search.search(question)
        code = result["result"]
        if code == _NO_SUCH_OBJECT and question.chosen:
            return None
        if code not in (_SUCCESS, _SIZE_LIMIT):
            raise DirectoryUnavailable(f"search: {_text(result)}")
        if len(entries) > 1 or code == _SIZE_LIMIT:  # the server's own limit may be one entry
            raise DirectoryInconsistent(f"several entries are {printable(question.filter)}")
        if entries and not entries[0].name:
            raise DirectoryInconsistent("an entry without a name")
        return entries[0] if entries else None


class _Line:
    """A connection that is kept."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._open: Any = None
        self._used = 0.0

    def is_ready(self) -> bool:
        """Whether there is a connection that can be used; one that cannot is closed."""
        if self._open is None:
            return False
        if time.monotonic() - self._used < _IDLE and not _has_something(self._open.socket):
            return True
        self.close()
        return False

    def bind(self, name: str, password: bytes) -> Mapping[str, Any]:
        """Become somebody; return what the server says of it."""
        if not self.is_ready():
            self._connect()
        connection = self._open
        connection.user, connection.password = name, password
        with self._guard("bind"):
            connection.bind(read_server_info=False)
        connection.password = None
        return self._result()

    def search(self, question: Question) -> tuple[Mapping[str, Any], list[Found]]:
        """Search; return what the server says, and the entries: two if there are more."""
        with self._guard("search"):
            self._open.search(
                question.base,
                question.filter,
                search_scope=SCOPES[question.scope],
                dereference_aliases=ldap3.DEREF_NEVER,
                attributes=list(question.attributes) or [ldap3.NO_ATTRIBUTES],
                size_limit=2,
                time_limit=_ANSWERING,
            )
            entries = [
                Found(entry["dn"], {name.lower(): values for name, values in entry["raw_attributes"].items()})
                for entry in self._open.response or ()
                if entry["type"] == "searchResEntry"
            ]
        return self._result(), entries

    def close(self) -> None:
        """Close the connection."""
        if self._open is not None:
            with contextlib.suppress(LDAPException, OSError):
                self._open.strategy.close()
            self._open = None

    def _connect(self) -> None:
        site = self._site
        server = ldap3.Server(
            site.host,
            site.port,
            use_ssl=site.tls == "ldaps",
            tls=_tls(site) if site.tls else None,
            get_info=ldap3.NONE,
            connect_timeout=_CONNECTING,
        )
        with self._guard("connect"):
            self._open = ldap3.Connection(
                server,
                authentication=ldap3.SIMPLE,
                user=site.user,
                password=site.password,
                auto_referrals=False,
                check_names=False,
                receive_timeout=_ANSWERING,
            )
            self._open.open(read_server_info=False)
            if site.tls == "starttls" and not self._open.start_tls(read_server_info=False):
                raise DirectoryUnavailable("there is no TLS")

    @contextlib.contextmanager
    def _guard(self, what: str) -> Any:
        """Close a connection on which anything has gone wrong: an answer that comes later is nobody's."""
        try:
            yield
            self._used = time.monotonic()
        except DirectoryUnavailable:
            self.close()
            raise
        except (LDAPException, OSError) as error:
            self.close()
            raise DirectoryDown(f"{what}: {printable(str(error))}") from None
        except Exception as error:  # an answer that the library stumbles over
            self.close()
            raise DirectoryUnavailable(f"{what}: {type(error).__name__}: {printable(str(error))}") from None

    def _result(self) -> Mapping[str, Any]:
        result = self._open.result
        if not isinstance(result, dict) or "result" not in result:
            self.close()
            raise DirectoryDown("there is no answer")
        return result


def _tls(site: Site) -> ldap3.Tls:
    try:
        ipaddress.ip_address(site.host)
        named = None
    except ValueError:
        named = site.host
    return ldap3.Tls(
        validate=ssl.CERT_REQUIRED if site.verify else ssl.CERT_NONE, ca_certs_data=site.ca, sni=named
    )


def _has_something(sock: Any) -> bool:
    """Whether the server has said something that nobody asked for: that it is going, as a rule."""
    poll = select.poll()
    try:
        poll.register(sock, select.POLLIN)
    except (OSError, ValueError, TypeError):
        return True
    return bool(poll.poll(0))


def _text(result: Mapping[str, Any]) -> str:
    message = f", {result['message']}" if result.get("message") else ""
    return printable(f"{result.get('description')} ({result['result']}){message}")
