"""What happens to a client before it is greeted, step by step, on a real socket without a worker."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.pems import write_pair
from tpop3d_py.contracts import Peer
from tpop3d_py.log import Log
from tpop3d_py.pop3 import Profile
from tpop3d_py.server.certificates import Pair, read
from tpop3d_py.server.connection import Connection, Next
from tpop3d_py.server.contexts import Terms, make_context
from tpop3d_py.server.guest import Guest, GuestTransport
from tpop3d_py.server.habits import Habits
from tpop3d_py.server.hosts import Resolver
from tpop3d_py.server.naming import Naming
from tpop3d_py.server.networks import NETWORKS
from tpop3d_py.server.patience import Timeouts
from tpop3d_py.server.reception import HEADER_SECONDS, Manners, Reception
from tpop3d_py.server.sni import Choice

HEADER = b"PROXY TCP4 192.0.2.7 192.0.2.2 50123 110\r\n"
HOSTS = {"192.0.2.2": ("mail.klient2.pl",), "127.0.0.1": ("mail.klient1.pl",)}
PROXIES = NETWORKS.parse("127.0.0.1")


class Lines(Log):
    """A log that is read."""

    def __init__(self) -> None:
        super().__init__("test", level="debug", to_stderr=False)
        self.lines: list[str] = []

    def write(self, level: int, text: str, *_args: object, **_facts: object) -> None:
        self.lines.append(text)


class Caller:
    """A client and the server's end of its connection."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self.sock = socket.create_connection(listening.getsockname(), 5)
            self.near, _ = listening.accept()
        self.near.setblocking(False)
        self.transport = GuestTransport(self.near)
        self.fd = self.near.fileno()
        self.log = Lines()
        self.conn: Connection | None = None

    def arrive(self, reception: Reception, domain: str = "") -> Next:
        (host, port), (local, local_port) = self.sock.getsockname(), self.sock.getpeername()
        peer = Peer(host, port, local, local_port, domain)
        habits = Habits(Timeouts(600, 60), self.log)
        self.conn = reception.connection(self.fd, self.transport, peer, b"0" * 32, habits)
        return self.conn.greet()

    def secured(self, context: ssl.SSLContext) -> None:
        """Be a client of a listener with TLS."""
        self.transport = GuestTransport(self.near, context)

    def heard(self) -> bytes:
        self.sock.settimeout(0.2)
        try:
            return self.sock.recv(4096)
        except TimeoutError:
            return b""

    def heard_nothing(self) -> bool:
        """Tell whether the server has closed without a word."""
        try:
            return self.sock.recv(4096) == b""
        except ConnectionResetError:
            return True

    def hang_up(self) -> None:
        if self.conn is not None:
            self.conn.close()
        self.sock.close()
        self.transport.close()


@pytest.fixture
def caller() -> Iterator[Caller]:
    caller = Caller()
    yield caller
    caller.hang_up()


def named(resolver: Resolver | None = None) -> Naming:
    return Naming(resolver or Resolver(HOSTS, 2.0), None)


def received(caller: Caller, **manners: object) -> Reception:
    return Reception(Manners(Profile(), **manners), (), caller.log)  # type: ignore[arg-type]


def test_where_the_domain_is_known_nothing_stands_before_the_greeting(caller: Caller) -> None:
    assert caller.arrive(received(caller, naming=named())) is Next.SOCKET
    assert caller.heard().endswith(b"@klient1.pl>\r\n")
    assert type(caller.conn) is Connection


def test_a_domain_that_is_not_known_yet_is_waited_for(caller: Caller) -> None:
    answers: dict[str, tuple[str, ...]] = {}
    resolver = Resolver(answers, 2.0)
    assert caller.arrive(received(caller, naming=named(resolver))) is Next.DELAY
    assert caller.conn is not None
    assert caller.conn.run() is Next.DELAY
    assert caller.heard() == b""
    answers["127.0.0.1"] = ("mail.klient3.pl",)
    assert caller.conn.run() is Next.SOCKET
    assert caller.heard().endswith(b"@klient3.pl>\r\n")


def test_a_header_changes_the_peer_and_is_counted(caller: Caller) -> None:
    counted: list[str] = []
    desk = received(caller, naming=named(), proxies=PROXIES)
    desk.readdressed = lambda conn: counted.append(conn.peer.client_host)
    assert caller.arrive(desk) is Next.SOCKET
    assert caller.conn is not None
    assert caller.conn.transport.blocked_on
    for octet in HEADER[:-1]:
        caller.sock.sendall(bytes([octet]))
        assert caller.conn.run() is Next.SOCKET
    assert caller.heard() == b""
    caller.sock.sendall(HEADER[-1:] + b"CAPA\r\n")
    assert caller.conn.run() is Next.SOCKET
    assert caller.heard().endswith(b"@klient2.pl>\r\n")
    assert caller.conn.peer == Peer("192.0.2.7", 50123, "192.0.2.2", 110, "klient2.pl")
    assert counted == ["192.0.2.7"]
    assert caller.conn.run() is Next.SOCKET
    assert caller.heard().startswith(b"+OK Capability list")
    assert desk.late(1e12) == []


def test_a_proxy_for_itself_stays_what_it_is(caller: Caller) -> None:
    counted: list[Connection] = []
    desk = received(caller, naming=named(), proxies=PROXIES)
    desk.readdressed = counted.append
    caller.sock.sendall(b"PROXY UNKNOWN\r\n")
    assert caller.arrive(desk) is Next.SOCKET
    assert caller.heard().endswith(b"@klient1.pl>\r\n")
    assert caller.conn is not None
    assert caller.conn.peer.client_host == "127.0.0.1"
    assert counted == []


@pytest.mark.parametrize(
    ("proxies", "sent", "complaint"),
    [
        ("127.0.0.1", b"CAPA\r\n", "it sent no PROXY header: no header: CAPA"),
        ("127.0.0.1", b"PROXY TCP4 \xff\r\n", "it sent no PROXY header: not understood: "),
        ("192.0.2.0/24", HEADER, "it is not in proxy-networks (told once a minute)"),
    ],
)
def test_everybody_else_is_sent_away_and_told_of_once(
    caller: Caller, monkeypatch: pytest.MonkeyPatch, proxies: str, sent: bytes, complaint: str
) -> None:
    desk = received(caller, naming=named(), proxies=NETWORKS.parse(proxies))
    others, minute_later = [Caller() for _ in range(3)], time.monotonic() + 61
    for number, each in enumerate((caller, *others)):
        if number == 3:
            monkeypatch.setattr(time, "monotonic", lambda: minute_later)
        each.sock.sendall(sent)
        assert each.arrive(desk) is Next.CLOSE
        assert each.conn is not None
        each.conn.close()
        assert each.heard_nothing()
        each.hang_up()
    assert len(caller.log.lines) == 2
    assert complaint in caller.log.lines[0]


def test_a_connection_that_only_looks_is_not_told_of(caller: Caller) -> None:
    desk = received(caller, proxies=PROXIES)
    caller.sock.shutdown(socket.SHUT_WR)
    assert caller.arrive(desk, "klient1.pl") is Next.CLOSE
    assert caller.log.lines == []


def test_a_header_that_breaks_off(caller: Caller) -> None:
    desk = received(caller, proxies=PROXIES)
    caller.sock.sendall(HEADER[:9])
    assert caller.arrive(desk, "klient1.pl") is Next.SOCKET
    caller.sock.shutdown(socket.SHUT_WR)
    assert caller.conn is not None
    assert caller.conn.run() is Next.CLOSE
    assert "it broke off" in caller.log.lines[0]


def test_who_says_nothing_is_late_and_leaves_without_a_word(caller: Caller) -> None:
    desk = received(caller, proxies=PROXIES)
    now = time.monotonic()
    assert caller.arrive(desk, "klient1.pl") is Next.SOCKET
    assert desk.late(now + HEADER_SECONDS - 1) == []
    assert desk.late(now + HEADER_SECONDS + 1) == [caller.conn]
    assert caller.conn is not None
    assert caller.conn.time_out() is Next.CLOSE
    assert caller.conn.ending == "timed out"
    caller.conn.close()
    assert caller.heard() == b""
    assert desk.late(now + HEADER_SECONDS + 1) == []


def test_no_room_is_not_said_before_the_greeting(caller: Caller) -> None:
    assert caller.arrive(received(caller, proxies=PROXIES), "klient1.pl") is Next.SOCKET
    assert caller.conn is not None
    caller.conn.crowd_out()
    assert caller.conn.ending == "closed to make room"
    assert caller.heard() == b""


@pytest.mark.parametrize("believes", [True, False])
def test_tls_with_the_proxy(caller: Caller, believes: bool) -> None:
    body = socket.inet_aton("192.0.2.7") + socket.inet_aton("192.0.2.2") + b"\x00\x01\x00\x6e"
    body += b"\x20\x00\x05\x01\x00\x00\x00\x00" + b"\x02\x00\x0bklient9.com"
    caller.sock.sendall(b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00" + bytes([len(body)]) + body + b"CAPA\r\n")
    profile = Profile(password_tls_only=True, binding=b"hash", mechanisms=(b"SCRAM-SHA-256-PLUS",))
    manners = Manners(profile, naming=named(), proxies=PROXIES, believes_tls=believes)
    caller.arrive(Reception(manners, (), caller.log))
    assert caller.conn is not None
    assert caller.heard().endswith(b"@klient9.com>\r\n" if believes else b"@klient2.pl>\r\n")
    caller.conn.run()
    # The certificate that the client sees is the proxy's: there is nothing to bind to.
    assert (b"\r\nUSER\r\n" in (listed := caller.heard())) is believes
    assert b"SASL" not in listed


@pytest.mark.parametrize("believes", [True, False])
def test_a_client_inside_tls_with_the_proxy_is_bound_to_no_certificate_of_ours(
    caller: Caller, believes: bool
) -> None:
    body = socket.inet_aton("192.0.2.7") + socket.inet_aton("192.0.2.2") + b"\x00\x01\x00\x6e"
    body += b"\x20\x00\x05\x01\x00\x00\x00\x00"
    manners = Manners(Profile(binding=b"own"), proxies=PROXIES, believes_tls=believes, named=True)
    desk = Reception(manners, [b"customer's"], caller.log)
    asked: list[bytes | None] = []
    profile = desk.profile

    def noted(peer: Peer, binding: bytes | None = None) -> Profile:
        asked.append(binding)
        return profile(peer, binding)

    caller.arrive(desk, "klient1.pl")
    assert isinstance(caller.conn, Guest)
    caller.conn.choice = Choice(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), "klient9.com", b"customer's")
    desk.profile = noted  # type: ignore[method-assign]
    caller.sock.sendall(b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00" + bytes([len(body)]) + body)
    caller.conn.run()
    assert caller.heard().endswith(b"@klient9.com>\r\n")
    assert asked == [b"" if believes else b"customer's"]


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (b"CAPA\r\nQUIT\r\n", "wrong version number (told once a minute)"),
        (b"GET / HTTP/1.0\r\n\r\n", "http request (told once a minute)"),
        (b"", ""),
    ],
)
def test_clients_without_tls_are_told_of_once(caller: Caller, tmp_path: Path, sent: bytes, told: str) -> None:
    path = str(write_pair(tmp_path / "c.pem", "klient1.pl"))
    context = make_context(read(Pair(path, path)), Terms())
    desk = received(caller, tls_at_once=True)
    others = [Caller() for _ in range(2)]
    for each in (caller, *others):
        each.secured(context)
        assert each.arrive(desk, "klient1.pl") is Next.SOCKET
        assert each.conn is not None
        each.sock.sendall(sent)
        each.sock.shutdown(socket.SHUT_WR)
        while (waits := each.conn.run()) is Next.SOCKET:
            pass
        assert waits is Next.CLOSE
        each.hang_up()
    assert [line.rpartition(": ")[2] for line in caller.log.lines] == ([told] if told else [])


def test_xclient(caller: Caller) -> None:
    counted: list[str] = []
    desk = received(caller, naming=named(), forwarders=PROXIES)
    desk.readdressed = lambda conn: counted.append(conn.peer.client_host)
    assert caller.arrive(desk) is Next.SOCKET
    assert caller.heard().startswith(b"+OK [XCLIENT] <")
    caller.sock.sendall(b"XCLIENT ADDR=192.0.2.7\r\n")
    assert caller.conn is not None
    caller.conn.run()
    assert caller.heard() == b"+OK Updated\r\n"
    assert caller.conn.peer.client_host == "192.0.2.7"
    assert counted == ["192.0.2.7"]


def test_who_comes_through_a_proxy_is_no_proxy(caller: Caller) -> None:
    """The addresses that count are those behind the header, also for XCLIENT."""
    caller.sock.sendall(HEADER)
    caller.arrive(received(caller, naming=named(), proxies=PROXIES, forwarders=PROXIES))
    assert caller.heard().startswith(b"+OK <")


def test_a_fault_of_ours_ends_the_connection(caller: Caller) -> None:
    def broken(_: str) -> tuple[str, ...]:
        raise ZeroDivisionError("a bug")

    class Broken(Resolver):
        def names(self, address: str) -> tuple[str, ...] | None:
            return broken(address)

    caller.sock.sendall(HEADER)
    desk = received(caller, naming=named(Broken({}, 2.0)), proxies=PROXIES)
    assert caller.arrive(desk) is Next.CLOSE
    assert "internal error" in caller.log.lines[-1]
