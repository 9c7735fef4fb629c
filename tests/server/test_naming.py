"""The domain that an address stands for."""

from __future__ import annotations

import socket

import pytest

from tpop3d_py.server.hosts import Resolver
from tpop3d_py.server.naming import Naming, compile_pattern, mail_domain


def domain(names: tuple[str, ...], pattern: str | None = None) -> str:
    resolver = Resolver({"192.0.2.1": names}, 2.0)
    return Naming(resolver, compile_pattern(pattern) if pattern is not None else None).known("192.0.2.1")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("pop.Klient2.pl",), "klient2.pl"),
        (("bare", "mx.klient3.pl"), "klient3.pl"),
        (("pop.a b", ".x", "mx.klient3.pl."), "machine"),
        ((), "machine"),
    ],
)
def test_without_an_expression(
    monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...], expected: str
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "Machine")
    assert domain(names) == expected


def test_a_machine_without_a_decent_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "<odd>")
    assert domain(()) == "x.invalid"


@pytest.mark.parametrize(
    ("names", "pattern", "expected"),
    [
        (("mail.Klient1.pl",), r"^mail\.(.*)$", "klient1.pl"),
        (("MAIL.klient1.pl",), r"^mail\.(.*)$", "klient1.pl"),
        (("www.klient1.pl",), r"^mail\.(.*)$", "192.0.2.1"),
        (("www.klient1.pl", "pop.klient2.pl"), r"^pop\.(.*)$", "klient2.pl"),
        (("klient7.virtual.example.com",), r"^([^.]+)\.virtual", "klient7"),
        (("klient7-pop.example.com",), r"^([[:alnum:]]+)-pop", "klient7"),
        (("mail.a b",), r"^mail\.(.*)$", "192.0.2.1"),
        (("mail.",), r"^mail\.(.*)$", "192.0.2.1"),
        (("other.pl",), r"^mail\.(x)?|other", "192.0.2.1"),
        ((), "(.*)", "192.0.2.1"),
    ],
)
def test_with_an_expression(names: tuple[str, ...], pattern: str, expected: str) -> None:
    assert domain(names, pattern) == expected


@pytest.mark.parametrize("pattern", ["", "mail", "(a)(b)", "(", "(?:a)", "[[:nosuch:]]()", "*"])
def test_bad_expressions(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"^/"):
        compile_pattern(pattern)


def test_the_zone_of_an_address_does_not_count() -> None:
    naming = Naming(Resolver({"fe80::1": ("mail.klient1.pl",)}, 2.0), None)
    assert naming.known("fe80::1%eth0") == "klient1.pl"


def test_nothing_is_known_at_first() -> None:
    resolver = Resolver({}, 2.0, lambda _: ())
    assert Naming(resolver, None).known("192.0.2.1") == ""


@pytest.mark.parametrize(
    ("name", "domain"),
    [
        ("mail.klient1.pl", "klient1.pl"),
        ("klient1.pl", "klient1.pl"),
        ("biuro.klient1.pl", "biuro.klient1.pl"),
        ("mail.pl", "mail.pl"),
        ("mail.mail.pl", "mail.pl"),
        ("mail", "mail"),
    ],
)
def test_the_mail_domain_of_a_server(name: str, domain: str) -> None:
    assert mail_domain(name, frozenset({"mail", "pop3"})) == domain


@pytest.mark.parametrize(
    ("name", "pattern", "domain"),
    [
        ("mail.klient1.pl", None, "klient1.pl"),
        ("klient1.pl", None, "klient1.pl"),
        ("", None, ""),
        ("a b.pl", None, ""),
        ("pop.klient1.pl", r"^pop\.(.*)$", "klient1.pl"),
        ("mail.klient1.pl", r"^pop\.(.*)$", ""),
    ],
)
def test_the_domain_of_a_name_that_was_asked_for(name: str, pattern: str | None, domain: str) -> None:
    compiled = compile_pattern(pattern) if pattern is not None else None
    assert Naming(Resolver({}, 2.0), compiled, frozenset({"mail"})).of_name(name) == domain
