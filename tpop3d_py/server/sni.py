"""The certificate and the domain that go with the server's name a client asks for in TLS (SNI, RFC 6066).

Rules: names are those that the certificates themselves are for; an exact name comes before ``*.``, which
stands for one label (RFC 6125 section 6.4.3); of two certificates for the same name the first one counts.
The name of a customer's certificate also says whose domain login names without one belong to: the name
itself, or what follows a first label such as ``mail``.  The listener's own certificate says nothing of the
kind, and who asks for a name that nobody has a certificate for gets that one.

When things fail: nothing here can; TLS goes on with the listener's certificate.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable
from typing import NamedTuple

from tpop3d_py.server.certificates import Certificate
from tpop3d_py.server.naming import DOMAIN, mail_domain


class Choice(NamedTuple):
    """What goes with a name.

    Args:
        context: has the certificate.
        domain: default domain of login names.
        binding: the certificate's tls-server-end-point.
    """

    context: ssl.SSLContext
    domain: str
    binding: bytes


class NamedSocket(ssl.SSLSocket):
    """A TLS connection that tells what the client's server name has led to."""

    #: Called in the middle of the handshake, unless it is the listener's certificate.
    on_choice: Callable[[Choice], None] | None = None


class Names:
    """The names of one listener.

    Args:
        own: the listener's certificate.
        others: the customers' certificates with their contexts.
        hosts: first labels that are not part of a mail domain, such as ``mail``.
    """

    def __init__(
        self,
        own: Certificate,
        others: Iterable[tuple[Certificate, ssl.SSLContext]],
        hosts: frozenset[str],
    ) -> None:
        self._hosts = hosts
        self._choices: dict[str, Choice | None] = dict.fromkeys(own.facts.names)
        for certificate, context in others:
            for name in certificate.facts.names:
                choice = Choice(context, mail_domain(name, hosts), certificate.end_point)
                self._choices.setdefault(name, choice)

    def __len__(self) -> int:
        return len(self._choices)

    def find(self, name: str) -> Choice | None:
        """Return what goes with a name, in lower case; None if that is the listener's own, or no name."""
        if not DOMAIN.fullmatch(name):  # behind ``*.`` anything could hide
            return None
        if name in self._choices:
            return self._choices[name]
        choice = self._choices.get(f"*.{name.partition('.')[2]}")
        return choice and choice._replace(domain=mail_domain(name, self._hosts))

    def answer(self, sock: ssl.SSLSocket, name: str | None, _context: ssl.SSLContext) -> None:
        """Go on with the certificate that a client asks for (the context's ``sni_callback``)."""
        choice = self.find(name.lower().removesuffix(".")) if name else None
        if choice is not None and isinstance(sock, NamedSocket):
            sock.context = choice.context
            if sock.on_choice is not None:
                sock.on_choice(choice)
