"""Listening addresses as they are written."""

from __future__ import annotations

import socket

import pytest

from tpop3d_py.server.binding import bind
from tpop3d_py.server.listeners import LISTENERS, Listener, ListenError, parse_listener


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


def test_binding_and_a_taken_port() -> None:
    first = bind(Listener("127.0.0.1", 0))
    port = first.getsockname()[1]
    try:
        assert first.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert 0 < first.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) <= 1 << 18
        with pytest.raises(
            ListenError, match=rf"cannot listen on 127\.0\.0\.1:{port}: Address already in use"
        ):
            bind(Listener("127.0.0.1", port))
    finally:
        first.close()


def test_the_send_buffer_is_as_asked_for() -> None:
    sockets = [bind(Listener("127.0.0.1", 0), size) for size in (0, 100_000)]
    try:
        # Linux doubles it, for its own bookkeeping (socket(7)).
        assert sockets[1].getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 200_000
        assert sockets[0].getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) != 200_000
    finally:
        for sock in sockets:
            sock.close()


def test_a_foreign_address() -> None:
    with pytest.raises(ListenError, match=r"cannot listen on 192\.0\.2\.1"):
        bind(Listener("192.0.2.1", 0))
