"""Binding of addresses and of names."""

from __future__ import annotations

import errno
import socket

import pytest

from tpop3d_py.server.binding import ELSEWHERE, addresses_of, bind
from tpop3d_py.server.listeners import Listener, ListenError


def test_binding_and_a_taken_port() -> None:
    first = bind(Listener("127.0.0.1", 0))
    port = first.getsockname()[1]
    try:
        assert first.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert 0 < first.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) <= 1 << 18
        assert first.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) <= 1 << 16
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


def test_a_name_that_does_not_resolve() -> None:
    with pytest.raises(ListenError, match=r"cannot listen on no-such\.invalid:110: "):
        addresses_of(Listener("no-such.invalid", 110))


def test_all_addresses_of_a_name_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 110)),
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2001:db8::1", 110, 0, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 110)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kwargs: found)
    assert addresses_of(Listener("mail.klient1.pl", 110)) == [
        (socket.AF_INET, ("192.0.2.1", 110)),
        (socket.AF_INET6, ("2001:db8::1", 110, 0, 0)),
    ]


def test_what_failed_can_be_told_apart() -> None:
    with pytest.raises(ListenError) as elsewhere:
        bind(Listener("192.0.2.1", 0))
    assert elsewhere.value.errno in ELSEWHERE
    first = bind(Listener("127.0.0.1", 0))
    try:
        with pytest.raises(ListenError) as taken:
            bind(Listener("127.0.0.1", first.getsockname()[1]))
    finally:
        first.close()
    assert taken.value.errno == errno.EADDRINUSE


def test_both_wildcards_stand_side_by_side() -> None:
    six = bind(Listener("::", 0))
    port = six.getsockname()[1]
    four = bind(Listener("0.0.0.0", port))
    try:
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, port), 5).close()
    finally:
        six.close()
        four.close()
