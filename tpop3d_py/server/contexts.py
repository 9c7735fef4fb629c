"""TLS contexts: a certificate, and what a listener takes from its clients.

Rules: TLS 1.2 and newer unless the listener says otherwise; versions 1.0 and 1.1 also need OpenSSL's
security level 0, as their signatures are made with SHA-1.  Contexts are made in the master, before the
first fork, so that a session ticket of one worker is good in all of them; a context whose files have not
changed stays the same over reloads, and its tickets with it.

When things fail: `CertificateError`, with the file's name.
"""

from __future__ import annotations

import contextlib
import ssl
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tpop3d_py.server import certificates
from tpop3d_py.server.certificates import Certificate, CertificateError, Pair

VERSIONS = {
    "1.0": ssl.TLSVersion.TLSv1,
    "1.1": ssl.TLSVersion.TLSv1_1,
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
}
_OLD = ("1.0", "1.1")
_LEVEL = "@SECLEVEL="

#: Called with the connection's socket, the server's name that the client asks for, and the context.
OnName = Callable[[ssl.SSLSocket, str | None, ssl.SSLContext], None]


class Terms(NamedTuple):
    """What a listener takes from its clients.

    Args:
        oldest: of the keys of `VERSIONS`.
        ciphers: an OpenSSL cipher list for TLS up to 1.2; empty: Python's.
        workarounds: OpenSSL's for mistakes in old clients (SSL_OP_ALL).
    """

    oldest: str = "1.2"
    ciphers: str = ""
    workarounds: bool = True


class Contexts:
    """The contexts of the present settings; outlives a reading of them."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Certificate, Terms], ssl.SSLContext] = {}

    @contextlib.contextmanager
    def reading(self) -> Iterator[Selection]:
        """Give out contexts for new settings; if the block raises, nothing has changed."""
        selection = Selection(self._kept)
        yield selection
        self._kept = selection.settled()


class Selection:
    """The contexts that one reading of the settings needs."""

    def __init__(self, kept: dict[tuple[Certificate, Terms], ssl.SSLContext]) -> None:
        self._kept = kept
        self._wanted: dict[tuple[Certificate, Terms], ssl.SSLContext] = {}
        self._callbacks: dict[ssl.SSLContext, OnName] = {}

    def context(self, certificate: Certificate, terms: Terms) -> ssl.SSLContext:
        """Return the context of a certificate on some terms, the same one for the same files.

        Raises:
            CertificateError: certificate and key do not fit each other.
        """
        wanted = certificate, terms
        context = self._wanted.get(wanted) or self._kept.get(wanted) or make_context(certificate, terms)
        self._wanted[wanted] = context
        return context

    def former(self, pair: Pair) -> Certificate | None:
        """Return what the files held when the present settings were read, if they were used."""
        return next((certificate for certificate, _ in self._kept if certificate.pair == pair), None)

    def on_name(self, context: ssl.SSLContext, callback: OnName) -> None:
        """Have a context ask for another one by the name that a client wants (SNI), once this is in force."""
        self._callbacks[context] = callback

    def settled(self) -> dict[tuple[Certificate, Terms], ssl.SSLContext]:
        """Put everything in force and return what is kept."""
        if self._callbacks:
            sys.unraisablehook = _unraisable  # inherited by all processes
        for context in {*self._wanted.values(), *self._callbacks}:
            context.sni_callback = self._callbacks.get(context)  # type: ignore[assignment]
        return self._wanted


def _unraisable(what: sys.UnraisableHookArgs) -> None:
    """Report what nobody can catch, but for names in TLS that are not ASCII.

    Python ends such a handshake, which is right, and writes a traceback to standard error, with which
    anybody could fill the journal.
    """
    if not (isinstance(what.exc_value, UnicodeDecodeError) and isinstance(what.object, bytes)):
        sys.__unraisablehook__(what)


def make_context(certificate: Certificate, terms: Terms) -> ssl.SSLContext:
    """Make a context.

    Raises:
        CertificateError: certificate and key do not fit each other, or no cipher is left.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # OpenSSL makes two, for browsers that open several connections; a mail program has one, and each ticket
    # costs a twentieth of a full handshake and a quarter of a resumed one.
    context.num_tickets = 1
    try:
        _apply(context, terms)
    except ssl.SSLError:
        raise CertificateError(f"OpenSSL knows no cipher in {terms.ciphers!r}") from None
    certificates.load(context, certificate)
    return context


def check_ciphers(ciphers: str) -> None:
    """Make sure that OpenSSL knows a cipher list.

    Raises:
        ValueError: it does not.
    """
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).set_ciphers(ciphers)
    except ssl.SSLError:
        raise ValueError(f"OpenSSL knows no cipher in {ciphers!r}") from None


def _apply(context: ssl.SSLContext, terms: Terms) -> None:
    ciphers = terms.ciphers
    if terms.oldest in _OLD and _LEVEL not in ciphers:
        ciphers = f"{ciphers or 'DEFAULT'}:{_LEVEL}0"
    if ciphers:
        context.set_ciphers(ciphers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the operator knows that they are old
        context.minimum_version = VERSIONS[terms.oldest]
    if not terms.workarounds:
        context.options &= ~ssl.OP_ALL
