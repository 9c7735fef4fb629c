"""Listening addresses as they are written."""

from __future__ import annotations

import re

import pytest

from tpop3d_py.server.listeners import LISTENERS, Listener, parse_listener


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.1(klient1.pl)", Listener("10.0.0.1", 110, "klient1.pl")),
        ("0.0.0.0", Listener("0.0.0.0", 110)),
        ("127.0.0.1:11010(Klient1.PL)", Listener("127.0.0.1", 11010, "klient1.pl")),
        ("mail.klient1.pl:pop3", Listener("mail.klient1.pl", 110)),
        ("[::1]:1110(x.pl)", Listener("::1", 1110, "x.pl")),
        ("::1", Listener("::1", 110)),
        ("[::]", Listener("::", 110)),
        ("10.0.0.1;tls=immediate,/c.pem", Listener("10.0.0.1", 995, "", "/c.pem", "/c.pem")),
        ("10.0.0.1:9(x.pl);tls=immediate,/c,/k", Listener("10.0.0.1", 9, "x.pl", "/c", "/k")),
        ("10.0.0.1;tls=stls,/c.pem", Listener("10.0.0.1", 110, "", "/c.pem", "/c.pem", stls=True)),
        ("10.0.0.1(x.pl);tls=stls,/c,/k", Listener("10.0.0.1", 110, "x.pl", "/c", "/k", stls=True)),
        (
            "0.0.0.0:110/^mail[.](.*)$/;tls=immediate,/etc/c.pem,/etc/k.pem;tls-min=1.0;texts=polish",
            Listener(
                *("0.0.0.0", 110, "", "/etc/c.pem", "/etc/k.pem", False, "polish"),
                pattern=re.compile("^mail[.](.*)$", re.IGNORECASE),
                tls_min="1.0",
            ),
        ),
        ("[::]/([a-z/]+)/", Listener("::", 110, pattern=re.compile("([a-z/]+)", re.IGNORECASE))),
        ("10.0.0.1;proxy=yes", Listener("10.0.0.1", 110, proxy=True)),
        ("10.0.0.1(x.pl);proxy=tls", Listener("10.0.0.1", 110, "x.pl", proxy=True, proxy_tls=True)),
        (
            "10.0.0.1;ciphers=ECDHE+AESGCM:!aNULL;tls=stls,/c",
            Listener("10.0.0.1", 110, "", "/c", "/c", stls=True, ciphers="ECDHE+AESGCM:!aNULL"),
        ),
        ("10.0.0.1;texts=polish", Listener("10.0.0.1", 110, texts="polish")),
        (
            "[::1](x.pl);texts=polite;tls=immediate,/c",
            Listener("::1", 995, "x.pl", "/c", "/c", texts="polite"),
        ),
    ],
)
def test_good_ones(text: str, expected: Listener) -> None:
    assert parse_listener(text) == expected
    assert str(parse_listener(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10.0.0.1:0",
        "10.0.0.1:65536",
        "10.0.0.1:nosuchservice",
        "10.0.0.1()",
        "10.0.0.1(a b)",
        "10.0.0.1(../x)",
        "[::g]:110",
        "10.0.0.1;tls=stls",
        "10.0.0.1;tls=stls,c.pem",
        "10.0.0.1;tls=starttls,/c.pem",
        "10.0.0.1;tls=stls,/c;tls=stls,/c",
        "10.0.0.1;texts=klingon",
        "10.0.0.1;texts=",
        "10.0.0.1;color=red",
        "10.0.0.1/mail/",
        "10.0.0.1/(a)(b)/",
        "10.0.0.1/(/",
        "10.0.0.1(x.pl)/(.*)/",
        "10.0.0.1;tls=stls,/c;tls-min=1.4",
        "10.0.0.1;tls=stls,/c;tls-min=",
        "10.0.0.1;tls-min=1.0",
        "10.0.0.1;tls=stls,/c;ciphers=NONSENSE",
        "10.0.0.1;ciphers=ECDHE",
        "10.0.0.1;proxy=no",
        "10.0.0.1;proxy=",
        "10.0.0.1;",
        "10.0.0.1;tls=immediate",
        "10.0.0.1;tls=immediate,c.pem",
        "10.0.0.1;tls=immediate,/a,/b,/c",
    ],
)
def test_bad_ones(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_listener(text)


def test_a_list() -> None:
    assert [listener.port for listener in LISTENERS.parse(" 127.0.0.1:1  127.0.0.1:2 ")] == [1, 2]


def test_where_clients_can_be_inside_tls() -> None:
    written = ("10.0.0.1", "10.0.0.1;tls=stls,/c", "10.0.0.1;proxy=yes", "10.0.0.1;proxy=tls")
    assert [parse_listener(text).secures for text in written] == [False, True, False, True]
