"""Certificates and keys as files: what is in them, what is wrong with them, whether they have changed.

Rules: a file with a certificate has the server's own first and the chain behind it; the key is in the
same file or in one of its own.  What an operator may mend later (a certificate that ends soon, a key that
everybody can read) is a warning; what cannot work is an error, said in his words and with the file's name.

When things fail: `CertificateError`.  A file that changes while it is read is one of those mistakes: whoever
watches the files asks again when they are quiet.
"""

from __future__ import annotations

import os
import re
import ssl
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tpop3d_py.server.der import Facts, facts_of
from tpop3d_py.server.endpoint import end_point_of

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_KEY = re.compile(r"-----BEGIN ([A-Z0-9]+ )?PRIVATE KEY-----")
_ENCRYPTED = re.compile(r"-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED", re.MULTILINE)
_LARGEST = 1 << 20
_DAY = 86_400
#: Certificates that are renewed by themselves are so a month before their end; then somebody has to look.
_SOON = 14 * _DAY
#: How OpenSSL calls what certificate and key may have against each other, and what it is.
_REASONS = {
    "KEY_VALUES_MISMATCH": "the key does not belong to the certificate",
    "KEY_TYPE_MISMATCH": "the key does not belong to the certificate",
    "NO_CERTIFICATE_ASSIGNED": "the key does not belong to the certificate",  # another kind of key
    "EE_KEY_TOO_SMALL": "the key is too short for today's TLS",
    "CA_KEY_TOO_SMALL": "a key in the chain is too short for today's TLS",
    "CA_MD_TOO_WEAK": "the certificate is signed with a hash that is too weak for today's TLS",
}
_DAMAGED = "certificate or key is damaged"


class CertificateError(Exception):
    """A certificate or key cannot be used; the text names the file."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Where a certificate and its key are.

    Args:
        certificate: PEM file with the certificate and its chain.
        key: PEM file with the private key; may be the same.
    """

    certificate: str
    key: str


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that was read.

    Args:
        pair: its files.
        facts: what is in it.
        end_point: its tls-server-end-point (RFC 5929); empty if it has none.
        stamps: of the files as they were then.
    """

    pair: Pair
    facts: Facts
    end_point: bytes
    stamps: tuple[object, ...]


def read(pair: Pair) -> Certificate:
    """Read a certificate and make sure that there is a key for it.

    Raises:
        CertificateError: something is wrong with one of the files.
    """
    stamps = stamps_of((pair.certificate, pair.key))
    text = _text(pair.certificate)
    found = _CERTIFICATE.search(text)
    if found is None:
        raise CertificateError(f"{pair.certificate}: {_no_certificate(text)}")
    try:
        der = ssl.PEM_cert_to_DER_cert(found[0])
        certificate = Certificate(pair, facts_of(der), end_point_of(der), stamps)
    except ValueError:
        raise CertificateError(f"{pair.certificate}: the certificate is damaged") from None
    _look_for_key(pair, text if pair.key == pair.certificate else _text(pair.key))
    return certificate


def load(context: ssl.SSLContext, certificate: Certificate) -> None:
    """Give a context a certificate and its key.

    Raises:
        CertificateError: they do not fit each other, or the files are not what was read any more.
    """
    pair = certificate.pair
    try:
        context.load_cert_chain(pair.certificate, pair.key, _no_pass_phrase)
    except ssl.SSLError as error:
        reason = _REASONS.get(error.reason) or (error.reason or _DAMAGED).lower().replace("_", " ")
        raise CertificateError(f"{_files(pair)}: {reason}") from None
    except (OSError, ValueError) as error:
        raise CertificateError(f"{_files(pair)}: {getattr(error, 'strerror', None) or error}") from None
    if stamps_of((pair.certificate, pair.key)) != certificate.stamps:
        raise CertificateError(f"{_files(pair)}: changed while being read")


def warnings(certificate: Certificate, now: float) -> Iterator[str]:
    """Yield what somebody should look at.

    Args:
        certificate: to be looked at.
        now: seconds since 1970.
    """
    file, facts = certificate.pair.certificate, certificate.facts
    if now > facts.not_after:
        yield f"{file}: the certificate expired {_days(now - facts.not_after)} ago"
    elif now > facts.not_after - _SOON:
        yield f"{file}: the certificate expires in {_days(facts.not_after - now)}"
    elif now < facts.not_before:
        yield f"{file}: the certificate is not valid yet, for another {_days(facts.not_before - now)}"
    key = certificate.pair.key
    if _mode(key) & (stat.S_IROTH | stat.S_IWOTH):
        yield f"{key}: everybody on this machine can read or change the private key; chmod o-rw the file"


def pairs_in(folder: str) -> list[Pair]:
    """Find the certificates in a folder, in the order of their names.

    ``NAME.pem`` or ``NAME.crt`` with the key inside, or in ``NAME.key``; or a folder ``NAME`` with
    ``fullchain.pem`` and ``privkey.pem``, as ACME clients lay them out.

    Raises:
        CertificateError: the folder cannot be read.
    """
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise CertificateError(f"{folder}: {error.strerror}") from None
    return [pair for name in names if (pair := _pair_at(os.path.join(folder, name))) is not None]


def _pair_at(path: str) -> Pair | None:
    chain = os.path.join(path, "fullchain.pem")
    if os.path.isfile(chain):
        return Pair(chain, os.path.join(path, "privkey.pem"))
    stem, kind = os.path.splitext(path)
    if kind not in (".pem", ".crt") or not os.path.isfile(path):
        return None
    key = f"{stem}.key"
    return Pair(path, key if os.path.isfile(key) else path)


class Watch:
    """Tells when files have changed; for a loop that asks every few seconds.

    Args:
        paths: files and folders; of a folder, what is in it counts too, and what is in folders there.
    """

    def __init__(self, paths: Iterable[str] = ()) -> None:
        self._paths = tuple(paths)
        self._known = self._seen = self._look()

    def changed(self) -> bool:
        """Tell, once for every change, that files have changed and are quiet since the last question."""
        before, self._seen = self._seen, self._look()
        if self._seen != before or self._seen == self._known:
            return False
        self._known = self._seen
        return True

    def _look(self) -> tuple[object, ...]:
        return stamps_of(path for given in self._paths for path in _all_in(given, 2))


def stamps_of(paths: Iterable[str]) -> tuple[object, ...]:
    """Take down of each file what every change of it changes."""
    return tuple((path, _stamp(path)) for path in paths)


def _all_in(path: str, depth: int) -> Iterator[str]:
    yield path
    if depth and os.path.isdir(path):
        try:
            names = sorted(os.listdir(path))
        except OSError:
            return
        for name in names:
            yield from _all_in(os.path.join(path, name), depth - 1)


def _stamp(path: str) -> tuple[int, ...]:
    try:
        found = os.stat(path)
    except OSError as error:
        return (error.errno or 0,)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _text(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(_LARGEST).decode("latin-1")
    except OSError as error:
        raise CertificateError(f"{path}: {error.strerror}") from None


def _no_certificate(text: str) -> str:
    if not text:
        return "the file is empty"
    if "-----BEGIN CERTIFICATE REQUEST-----" in text:
        return "it holds a request for a certificate, not the certificate"
    if text.startswith("0\x82"):
        return "it is not in PEM form (openssl x509 -inform der -in FILE -out NEW.pem makes it so)"
    if _KEY.search(text):
        return "it holds a key and no certificate"
    return "there is no certificate in it"


def _look_for_key(pair: Pair, text: str) -> None:
    if _ENCRYPTED.search(text):
        raise CertificateError(
            f"{pair.key}: the key is encrypted, and nobody is there to type its pass phrase"
            " (openssl pkey -in FILE -out NEW.pem takes it off)"
        )
    if not _KEY.search(text):
        raise CertificateError(f"{pair.key}: there is no private key in it")


def _no_pass_phrase() -> str:
    raise ValueError("the key is encrypted")


def _files(pair: Pair) -> str:
    return pair.certificate if pair.key == pair.certificate else f"{pair.certificate} and {pair.key}"


def _mode(path: str) -> int:
    try:
        return os.stat(path).st_mode
    except OSError:
        return 0


def _days(seconds: float) -> str:
    days = int(seconds // _DAY)
    return f"{days} day{'' if days == 1 else 's'}" if days else "less than a day"
