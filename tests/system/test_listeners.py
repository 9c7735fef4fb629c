"""Listeners of every kind on a real server: whose box a bare name opens, and who is believed to be whom."""

from __future__ import annotations

import pwd
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.support.edge import FIRST, FORWARDER, PROXY, SECOND, UNKNOWN, EdgeSite, Mailer
from tests.system.support.pop3d import BIN
from tests.system.support.processes import wait_for

Connect = Callable[..., Mailer]
SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


@pytest.fixture(scope="module")
def site(area: Path, vmail: pwd.struct_passwd) -> Iterator[EdgeSite]:
    site = EdgeSite(area / "edge", vmail)
    yield site
    site.pop3d.stop()


@pytest.fixture
def connect(site: EdgeSite) -> Iterator[Connect]:
    yield site.mailer
    site.hang_up()


# --- domains ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "to", "domain"),
    [
        ("plain", "127.0.0.1", "klient1.pl"),
        ("six", "::1", "klient2.pl"),
        ("any", FIRST, "klient1.pl"),
        ("any", SECOND, "klient2.pl"),
        ("regex", FIRST, "klient1.pl"),
        ("regex", SECOND, "klient2.pl"),
    ],
)
def test_the_domain_of_a_bare_name(connect: Connect, name: str, to: str, domain: str) -> None:
    mailer = connect(name, to=to)
    assert mailer.greeting.endswith(f"@{domain}>".encode())
    assert mailer.opens(domain)


def test_an_address_without_a_name(connect: Connect, site: EdgeSite) -> None:
    assert connect("regex", to=UNKNOWN).greeting.endswith(f"@{UNKNOWN}>".encode())
    machine = socket.gethostname().lower().encode()
    assert connect("any", to=UNKNOWN).greeting.endswith((b"@%b>" % machine, b"@x.invalid>"))


def test_options_work_behind_an_expression(connect: Connect) -> None:
    answer = connect("regex", to=FIRST).ask(b"NONSENSE")
    assert answer != connect("any", to=FIRST).ask(b"NONSENSE")


def test_the_listeners_are_announced(site: EdgeSite) -> None:
    said, ports = site.said(), site.ports
    assert f"listening on address 127.0.0.1, port {ports['plain']}, domain klient1.pl\n" in said
    assert f"listening on address 0.0.0.0, port {ports['any']}, domain by reverse DNS\n" in said
    assert rf"listening on address 0.0.0.0, port {ports['regex']}, regex /^mail\.(.*)$/" in said
    assert f"port {ports['stls']}, domain provider.pl; TLS mode stls\n" in said


# --- proxies ----------------------------------------------------------------


def version_1(client: str = "192.0.2.7", server: str = FIRST) -> bytes:
    return f"PROXY TCP4 {client} {server} 50123 110\r\n".encode()


def version_2(server: str = FIRST, extras: bytes = b"", command: int = 0x21) -> bytes:
    hosts = socket.inet_aton("192.0.2.8") + socket.inet_aton(server)
    body = hosts + struct.pack("!HH", 50123, 110) + extras
    return SIGNATURE + struct.pack("!BBH", command, 0x11, len(body)) + body


TLS = struct.pack("!BHBI", 0x20, 5, 1, 0)


@pytest.mark.parametrize(
    ("header", "client"),
    [
        (version_1(), "192.0.2.7"),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 50123 110\r\n", "2001:db8::7"),
        (version_2(), "192.0.2.8"),
        (version_2(extras=TLS), "192.0.2.8"),
        (version_2(command=0x20), PROXY),
        (b"PROXY UNKNOWN\r\n", PROXY),
    ],
)
def test_a_proxy_is_believed(connect: Connect, site: EdgeSite, header: bytes, client: str) -> None:
    mailer = connect("proxied", header, source=PROXY)
    assert mailer.opens("klient1.pl")
    wait_for(lambda: f"]jan@klient1.pl({client}): began session" in site.said(), "the login's line")


def test_commands_right_behind_the_header(connect: Connect) -> None:
    mailer = connect("proxied", version_1() + b"USER jan\r\nPASS klient1.pl\r\n", source=PROXY)
    assert mailer.line().startswith(b"+OK")
    assert mailer.line().startswith(b"+OK")


@pytest.mark.parametrize("server", [FIRST, SECOND])
def test_the_domain_is_that_of_the_address_the_proxy_tells(connect: Connect, server: str) -> None:
    domain = "klient1.pl" if server == FIRST else "klient2.pl"
    for header in (version_1(server=server), version_2(server)):
        assert connect("behind-tls", header, source=PROXY).opens(domain)
        assert connect("proxied-tls", header, tls="", source=PROXY).opens(domain)


def test_a_name_that_the_proxy_was_asked_for_is_a_domain(connect: Connect) -> None:
    asked = TLS + struct.pack("!BH", 2, 15) + b"mail.klient2.pl"
    assert connect("behind-tls", version_2(FIRST, asked), source=PROXY).opens("klient2.pl")
    assert connect("proxied", version_2(FIRST, asked), source=PROXY).opens("klient1.pl")


def test_a_name_goes_before_the_address_behind_a_proxy_too(connect: Connect) -> None:
    mailer = connect("proxied-tls", version_2(FIRST), tls="mail.klient2.pl", source=PROXY)
    assert mailer.greeting.endswith(b"@klient2.pl>")
    assert mailer.opens("klient2.pl")


@pytest.mark.parametrize(
    "header",
    [
        b"CAPA\r\n",
        b"\x16\x03\x01\x00\x05hello",
        b"PROXY TCP4 192.0.2.7 127.0.0.2 50123\r\n",
        SIGNATURE + b"\x21\x11\xff\xff",
        b"PROXY " + b"x" * 200,
    ],
)
def test_a_proxy_that_talks_nonsense_is_hung_up_on(site: EdgeSite, header: bytes) -> None:
    for name in ("proxied", "proxied-tls"):
        with site.connect(name, source=PROXY) as sock:
            sock.sendall(header)
            assert silence(sock)


def test_nobody_else_may_say_who_he_is(site: EdgeSite, connect: Connect) -> None:
    with site.connect("proxied") as sock:
        sock.sendall(version_1())
        assert silence(sock)
    wait_for(lambda: "where only proxies are served: it is not in proxy-networks" in site.said(), "a warning")
    # Where no proxy is expected its header is a command like any other that does not exist.
    mailer = connect("plain", source=PROXY)
    assert mailer.ask(version_1().strip()).startswith(b"-ERR")


def test_a_header_in_pieces_and_one_that_does_not_come(site: EdgeSite, connect: Connect) -> None:
    with site.connect("proxied", source=PROXY) as silent, site.connect("proxied", source=PROXY) as slow:
        slow.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for octet in version_2():
            slow.sendall(bytes([octet]))
        mailer = Mailer(slow)
        assert mailer.opens("klient1.pl"), mailer.answer
        mailer.close()
        silent.sendall(b"PROXY TCP4 ")
        assert silence(silent)


def silence(sock: socket.socket) -> bool:
    """Tell whether the server closes without a word."""
    try:
        return sock.recv(100) == b""
    except ConnectionResetError:
        return True


def test_xclient(site: EdgeSite, connect: Connect) -> None:
    mailer = connect("any", to=SECOND, source=FORWARDER)
    assert mailer.greeting.startswith(b"+OK [XCLIENT] <")
    assert b"XCLIENT" in mailer.capabilities()
    assert mailer.ask(b"XCLIENT ADDR=192.0.2.9 PORT=50123 SESSION=abc TTL=4") == b"+OK Updated"
    assert mailer.opens("klient2.pl")
    wait_for(lambda: "]jan@klient2.pl(192.0.2.9): began session" in site.said(), "the login's line")
    other = connect("any", to=SECOND)
    assert b"XCLIENT" not in other.greeting + b"".join(other.capabilities())
    assert other.ask(b"XCLIENT ADDR=192.0.2.9").startswith(b"-ERR")


def test_xclient_inside_tls(site: EdgeSite, connect: Connect) -> None:
    mailer = connect("tls", tls="mail.klient1.pl", source=FORWARDER)
    assert mailer.ask(b"XCLIENT ADDR=192.0.2.10 PORT=1") == b"+OK Updated"
    assert mailer.opens("klient1.pl")
    wait_for(lambda: "]jan@klient1.pl(192.0.2.10): began session" in site.said(), "the login's line")


def test_tls_with_the_proxy_counts_only_where_the_listener_says_so(connect: Connect, site: EdgeSite) -> None:
    with_tls = version_2(extras=TLS)

    def takes_passwords(name: str, header: bytes) -> bool:
        return b"USER" in connect(name, header, source=PROXY).capabilities()

    site.write_config("password-tls-only: yes\n")
    site.reload()
    try:
        # For a moment processes with the old settings may still take connections.
        wait_for(lambda: not takes_passwords("behind-tls", version_2()), "the new settings")
        wait_for(lambda: not takes_passwords("proxied", with_tls), "the new settings")
        assert takes_passwords("behind-tls", with_tls)
        assert b"STLS" not in connect("behind-tls", with_tls, source=PROXY).capabilities()
    finally:
        site.write_config()
        site.reload()


# --- what is found before ------------------------------------------------------


def check(config: Path) -> str:
    done = subprocess.run(
        [str(BIN / "pypop3d"), "-f", str(config), "--check"], capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def test_check_finds_what_would_go_wrong(site: EdgeSite, tmp_path: Path) -> None:
    text = site.config.read_text()
    config = site.config.with_name("other.conf")
    assert "no mistakes found" in check(site.config)
    config.write_text(text.replace("[::1]", "no-such-host.invalid"))
    assert "cannot listen on no-such-host.invalid" in check(config)
    config.write_text(text.replace("proxy-networks", "#"))
    assert "proxy= needs proxy-networks" in check(config)
    config.write_text(text.replace("/provider.pem", "/nothing.pem"))
    assert "nothing.pem: No such file or directory" in check(config)
    config.write_text(text.replace("/hosts", "/nohosts"))
    assert "nohosts: No such file or directory" in check(config)
    config.write_text(text + "password-tls-only: yes\n")
    assert "no TLS, and password-tls-only: no password is taken here" in check(config)
