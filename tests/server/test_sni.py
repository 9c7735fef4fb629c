"""Names and what goes with them; the handshake itself is in tests/system/test_listeners.py."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from tests.server.pems import write_pair
from tpop3d_py.server.certificates import Certificate, Pair, read
from tpop3d_py.server.contexts import Terms, make_context
from tpop3d_py.server.sni import Names

HOSTS = frozenset({"mail", "pop3"})


def certificate(folder: Path, *names: str) -> Certificate:
    path = str(write_pair(folder / f"{len(list(folder.iterdir()))}.pem", *names))
    return read(Pair(path, path))


def context(certificate: Certificate) -> tuple[Certificate, ssl.SSLContext]:
    return certificate, make_context(certificate, Terms())


@pytest.fixture
def names(tmp_path: Path) -> Names:
    own = certificate(tmp_path, "mail.provider.pl", "*.provider.pl")
    others = [
        ("mail.klient1.pl", "pop3.klient1.pl", "klient1.pl", "www.klient1.pl"),
        ("*.klient2.pl", "klient2.pl"),
        ("special.klient2.pl", "mail.klient1.pl"),
        ("vip.provider.pl", "mail.provider.pl", "*.provider.pl"),
    ]
    return Names(own, [context(certificate(tmp_path, *each)) for each in others], HOSTS)


@pytest.mark.parametrize(
    ("name", "domain"),
    [
        ("mail.klient1.pl", "klient1.pl"),
        ("pop3.klient1.pl", "klient1.pl"),
        ("klient1.pl", "klient1.pl"),
        ("www.klient1.pl", "www.klient1.pl"),
        ("x.klient1.pl", None),
        ("mail.klient2.pl", "klient2.pl"),
        ("biuro.klient2.pl", "biuro.klient2.pl"),
        ("klient2.pl", "klient2.pl"),
        ("a.mail.klient2.pl", None),
        ("special.klient2.pl", "special.klient2.pl"),
        ("mail.provider.pl", None),
        ("x.provider.pl", None),
        ("vip.provider.pl", "vip.provider.pl"),
        ("elsewhere.pl", None),
        ("", None),
        ("pl", None),
        ("*.klient2.pl", None),
        ("a b.klient2.pl", None),
        ("a\n.klient2.pl", None),
        (".klient2.pl", None),
    ],
)
def test_domains(names: Names, name: str, domain: str | None) -> None:
    choice = names.find(name)
    assert (choice and choice.domain) == domain


def test_the_first_of_two_certificates_for_a_name_counts(names: Names) -> None:
    one, other, special = (
        names.find(f"{host}") for host in ("mail.klient1.pl", "klient1.pl", "special.klient2.pl")
    )
    assert one is not None
    assert other is not None
    assert special is not None
    assert one.context is other.context
    assert one.binding == other.binding != special.binding
