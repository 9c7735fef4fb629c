"""As much of DER (X.690) and of certificates (RFC 5280 section 4) as a server has to know about its own.

Which names a certificate is for, how long it is valid, and how it is signed: to choose by name, to
warn in time, and for channel binding.  Nothing is trusted on the strength of it: the certificates are
the operator's own.

When things fail: `ValueError` for octets that are no certificate.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator
from typing import NamedTuple

_INTEGER, _OCTET_STRING, _OBJECT_ID, _SEQUENCE, _SET = 0x02, 0x04, 0x06, 0x30, 0x31
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18
_VERSION, _EXTENSIONS = 0xA0, 0xA3  # [0] and [3], explicit
_DNS_NAME = 0x82  # [2] of GeneralName
_SUBJECT_ALTERNATIVE_NAMES = bytes.fromhex("551d11")
_COMMON_NAME = bytes.fromhex("550403")
_TIME = re.compile(rb"(\d{2}|\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z")
_NAME = re.compile(r"(\*\.)?([a-z0-9_]([a-z0-9_-]*[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]*[a-z0-9])?")


class Facts(NamedTuple):
    """What is in a certificate.

    Args:
        names: host names it is for, in lower case; ``*.`` may stand before one.
        not_before: valid from this moment on, in seconds since 1970.
        not_after: valid until this moment.
        signed_with: object identifier of the signature's algorithm, as DER has it.
    """

    names: tuple[str, ...]
    not_before: int
    not_after: int
    signed_with: bytes


def facts_of(der: bytes) -> Facts:
    """Read a certificate.

    Raises:
        ValueError: it is none.
    """
    certificate, _ = element(der, _SEQUENCE)
    body, rest = element(certificate, _SEQUENCE)
    identifier, _ = element(rest, _SEQUENCE)
    signed_with, _ = element(identifier, _OBJECT_ID)
    if body[:1] == bytes([_VERSION]):
        _, body = element(body, _VERSION)
    _, body = element(body, _INTEGER)
    _, body = element(body, _SEQUENCE)  # the signature's algorithm once more
    _, body = element(body, _SEQUENCE)  # the issuer
    validity, body = element(body, _SEQUENCE)
    subject, body = element(body, _SEQUENCE)
    _, body = element(body, _SEQUENCE)  # the public key
    names = tuple(_alternative_names(body)) or tuple(_common_names(subject))
    first, last = (_moment(kind, value) for kind, value in elements(validity))
    return Facts(tuple(dict.fromkeys(names)), first, last, signed_with)


def signature_algorithm(der: bytes) -> bytes:
    """Find the object identifier in ``SEQUENCE { tbsCertificate, SEQUENCE { algorithm, ... }, ... }``.

    Raises:
        ValueError: it is not there.
    """
    certificate, _ = element(der, _SEQUENCE)
    _, rest = element(certificate, _SEQUENCE)
    identifier, _ = element(rest, _SEQUENCE)
    return element(identifier, _OBJECT_ID)[0]


def element(der: bytes, tag: int) -> tuple[bytes, bytes]:
    """Split an element off: its contents, and what follows it.

    Raises:
        ValueError: there is none with that tag.
    """
    if der[:1] != bytes([tag]):
        raise ValueError("not the element that was expected")
    if len(der) < 2:
        raise ValueError("cut off")
    start, length = 2, der[1]
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(der[2:start], "big")
    if start + length > len(der):
        raise ValueError("cut off")
    return der[start : start + length], der[start + length :]


def elements(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the tag and the contents of each element of a sequence or set.

    Raises:
        ValueError: one is cut off.
    """
    while der:
        tag = der[0]
        contents, der = element(der, tag)
        yield tag, contents


def _alternative_names(rest: bytes) -> Iterator[str]:
    """Yield the DNS names among the extensions (RFC 5280 section 4.2.1.6)."""
    for tag, contents in elements(rest):
        if tag != _EXTENSIONS:
            continue
        for _, extension in elements(element(contents, _SEQUENCE)[0]):
            parts = list(elements(extension))
            if parts[:1] == [(_OBJECT_ID, _SUBJECT_ALTERNATIVE_NAMES)] and parts[-1][0] == _OCTET_STRING:
                for kind, value in elements(element(parts[-1][1], _SEQUENCE)[0]):
                    if kind == _DNS_NAME:
                        yield from _names(value)


def _common_names(subject: bytes) -> Iterator[str]:
    """Yield common names, where names stood before there were alternative ones (RFC 6125 section 6.4.4)."""
    for tag, contents in elements(subject):
        for _, pair in elements(contents) if tag == _SET else ():
            (kind, identifier), (_, value) = elements(pair)
            if (kind, identifier) == (_OBJECT_ID, _COMMON_NAME):
                yield from _names(value)


def _names(octets: bytes) -> Iterator[str]:
    name = octets.decode("latin-1").lower().removesuffix(".")
    if _NAME.fullmatch(name):
        yield name


def _moment(kind: int, value: bytes) -> int:
    found = _TIME.fullmatch(value)
    if found is None or kind not in (_UTC_TIME, _GENERALIZED_TIME):
        raise ValueError("no time")
    year, *rest = (int(part) for part in found.groups())
    if kind == _UTC_TIME:  # RFC 5280 section 4.1.2.5.1
        year += 1900 if year >= 50 else 2000
    return calendar.timegm((year, *rest))
