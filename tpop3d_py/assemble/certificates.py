"""Which certificates the listeners show, and to whom.

When things fail: `CertificateError` for a listener's own certificate.  One customer's that cannot be used is
a warning; the one that was read before stays, or its names get the listener's.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tpop3d_py.log import Log
from tpop3d_py.server import certificates
from tpop3d_py.server.certificates import Certificate, CertificateError, Pair, Watch
from tpop3d_py.server.contexts import Selection, Terms
from tpop3d_py.server.edge import EdgeSettings
from tpop3d_py.server.listeners import Listener
from tpop3d_py.server.sni import NamedSocket, Names

_DAY = 86_400
#: A certificate with its context.
Shown = tuple[Certificate, ssl.SSLContext]


@dataclass(frozen=True, slots=True)
class Tls:
    """TLS of one listener.

    Args:
        context: the listener's; None on a plain listener.
        binding: tls-server-end-point of the listener's certificate.
        bindings: those of the certificates that clients may choose by name; none where there is no choice.
    """

    context: ssl.SSLContext | None = None
    binding: bytes = b""
    bindings: Sequence[bytes] = ()


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of certificates, without their keys.

    Args:
        certificates: by file.
        complaints: about those that cannot be used.
    """

    certificates: Mapping[Pair, Certificate]
    complaints: Sequence[str]


@contextlib.contextmanager
def laid_out(known: Known, contents: Mapping[str, bytes]) -> Iterator[Known]:
    """Put files into memory, where the known certificates are found as long as the block lasts.

    Args:
        known: what is known of them.
        contents: what was in them then, by path.
    """
    with contextlib.ExitStack() as stack:
        files = {path: stack.enter_context(_in_memory(octets)) for path, octets in contents.items()}
        moved = {pair: _moved(each, files) for pair, each in known.certificates.items()}
        yield Known(moved, known.complaints)


@contextlib.contextmanager
def _in_memory(octets: bytes) -> Iterator[str]:
    with os.fdopen(os.memfd_create("pypop3d-key", os.MFD_CLOEXEC), "wb") as file:
        file.write(octets)
        file.flush()
        yield f"/proc/self/fd/{file.fileno()}"


def _moved(certificate: Certificate, files: Mapping[str, str]) -> Certificate:
    pair = Pair(files[certificate.pair.certificate], files[certificate.pair.key])
    stamps = certificates.stamps_of((pair.certificate, pair.key))
    return dataclasses.replace(certificate, pair=pair, stamps=stamps)


class Certificates:
    """The certificates of one reading of the settings.

    Args:
        edge: the settings.
        listeners: all of them.
        selection: contexts that exist already.
    """

    def __init__(self, edge: EdgeSettings, listeners: Sequence[Listener], selection: Selection) -> None:
        self._edge = edge
        self._selection = selection
        self._read: dict[Pair, Certificate] = {}
        self._customers: dict[Terms, list[Shown]] = {}
        self._complaints: dict[str, None] = {}
        own = (path for listener in listeners for path in (listener.certificate, listener.key) if path)
        #: Looks at all files, as they are now: before they are read.
        self.watch = Watch(dict.fromkeys((*own, *edge.tls_certificates)))

    def of(self, listener: Listener) -> Tls:
        """Return what a listener needs for TLS.

        Raises:
            CertificateError: its certificate, or a folder of customers', cannot be used.
        """
        if not listener.certificate:
            return Tls()
        terms = Terms(listener.tls_min, listener.ciphers, not self._edge.tls_no_bug_workarounds)
        try:
            own = self._certificate(Pair(listener.certificate, listener.key))
            context = self._selection.context(own, terms)
        except CertificateError as error:
            raise CertificateError(f"listen-address {listener}: {error}") from None
        others = self._customers.get(terms)
        if others is None:
            others = self._customers[terms] = list(self._usable(terms))
        if others:
            context.sslsocket_class = NamedSocket
            names = Names(own, others, frozenset(self._edge.sni_hosts))
            self._selection.on_name(context, names.answer)
        return Tls(context, own.end_point, [certificate.end_point for certificate, _ in others])

    def warnings(self, now: float) -> list[str]:
        """List what is wrong or soon will be.

        Args:
            now: seconds since 1970.
        """
        aging = (text for each in self._read.values() for text in certificates.warnings(each, now))
        return [*self._complaints, *aging]

    def expiry(self) -> dict[str, float]:
        """Tell when each certificate ends, in seconds since 1970, by file."""
        return {pair.certificate: each.facts.not_after for pair, each in self._read.items()}

    @property
    def known(self) -> Known:
        """What has been read, without keys, and what could not be."""
        return Known(dict(self._read), tuple(self._complaints))

    def take_over(self, known: Known) -> None:
        """Know what another process has read."""
        self._read.update(known.certificates)
        self._complaints.update(dict.fromkeys(known.complaints))

    def _certificate(self, pair: Pair) -> Certificate:
        if pair not in self._read:
            self._read[pair] = certificates.read(pair)
        return self._read[pair]

    def _usable(self, terms: Terms) -> Iterator[Shown]:
        """Yield the customers' certificates that can be used."""
        for folder in self._edge.tls_certificates:
            for pair in certificates.pairs_in(folder):
                shown = self._shown(pair, terms)
                if shown is not None:
                    yield shown

    def _shown(self, pair: Pair, terms: Terms) -> Shown | None:
        try:
            certificate = self._certificate(pair)
            return certificate, self._selection.context(certificate, terms)
        except CertificateError as error:
            shown = self._former(pair, terms)
            instead = (
                "the one from before stays in use" if shown else "its names get the listeners' certificates"
            )
            self._complaints[f"tls-certificates: {error}; {instead}"] = None
            return shown

    def _former(self, pair: Pair, terms: Terms) -> Shown | None:
        """Return a certificate as it was read for the present settings; None if it cannot be used now."""
        former = self._selection.former(pair)
        if former is None:
            return None
        try:
            return former, self._selection.context(former, terms)
        except CertificateError:  # on other terms it would have to be loaded again
            return None


class Vigil:
    """Looks after the certificates while the settings are in force; for the master.

    Args:
        kept: the certificates.
        log: for their warnings, which would else come only when the settings are read again.
    """

    def __init__(self, kept: Certificates, log: Log) -> None:
        self._kept = kept
        self._log = log
        self._due = time.time() + _DAY

    def changed(self) -> bool:
        """Tell, once for every change, that files have changed; write what is wrong once a day."""
        now = time.time()
        if now >= self._due:
            self._due = now + _DAY
            for text in self._kept.warnings(now):
                self._log.warning(text)
        return self._kept.watch.changed()
