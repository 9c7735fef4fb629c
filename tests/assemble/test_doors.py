"""From listening addresses to bound listeners, and what is said when they contradict each other."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.pems import write_pair
from tpop3d_py import assemble
from tpop3d_py.assemble.doors import Entrance, check_doors, open_doors
from tpop3d_py.config import load
from tpop3d_py.log import Log
from tpop3d_py.server.certificates import CertificateError
from tpop3d_py.server.contexts import Contexts
from tpop3d_py.server.listeners import ListenError
from tpop3d_py.server.sockets import Sockets

GROUPS = (*assemble.POP3_GROUPS, *assemble.DIRECTORY_GROUPS)

LISTENER = "listen-address 127.0.0.1:1"


class Site:
    """Reads settings as often as it is told to, as the master does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "tpop3d.conf"
        self.sockets, self.contexts = Sockets(), Contexts()
        self.log = Log("test", to_stderr=False)
        self.pem = write_pair(folder / "own.pem", "mail.provider.pl")
        (folder / "customers").mkdir()

    def written(self, *lines: str) -> None:
        self.config.write_text("\n".join(lines) + "\n")

    def open(self, *lines: str) -> Entrance:
        self.written(*lines)
        conf = load(str(self.config), GROUPS)
        with self.contexts.reading() as selection, self.sockets.claiming() as claims:
            entrance = open_doors(conf, claims, selection, self.log)
            claims.keep()
        return entrance

    def check(self, *lines: str) -> list[str]:
        self.written(*lines)
        return list(check_doors(load(str(self.config), GROUPS)))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.sockets.close_all()


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def test_what_a_listener_stands_for(site: Site, port: int) -> None:
    pem = f"tls=stls,{site.pem}"
    entrance = site.open(
        rf"listen-address: 127.0.0.1:{port}(klient1.pl) 127.0.0.2:{port};{pem} 127.0.0.3:{port}/^m\.(.*)$/"
    )
    assert [door.stands_for for door in entrance.doors] == [
        "domain klient1.pl",
        "domain by reverse DNS",
        r"regex /^m\.(.*)$/",
    ]
    assert [door.reception is None for door in entrance.doors] == [True, False, False]
    assert [door.tls is None for door in entrance.doors] == [True, False, True]
    assert entrance.warnings == []


def test_an_address_can_be_listened_on_once(site: Site, port: int) -> None:
    with pytest.raises(ListenError, match=r"\(b\.pl\): 127\.0\.0\.1 is listened on already"):
        site.open(f"listen-address: 127.0.0.1:{port}(a.pl) 127.0.0.1:{port}(b.pl)")


def several(monkeypatch: pytest.MonkeyPatch, port: int, *hosts: str) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in hosts]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kwargs: found)


def test_a_name_with_addresses_of_other_machines(
    site: Site, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    several(monkeypatch, port, "192.0.2.77", "127.0.0.1", "127.0.0.2")
    entrance = site.open(f"listen-address: pop.klient1.pl:{port}(klient1.pl)")
    assert [door.sock.getsockname()[0] for door in entrance.doors] == ["127.0.0.1", "127.0.0.2"]
    (warning,) = entrance.warnings
    assert warning.startswith(f"cannot listen on pop.klient1.pl:{port}(klient1.pl) (192.0.2.77): ")
    assert warning.endswith("; its other addresses are served")


def test_a_name_with_no_address_of_this_machine(
    site: Site, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    several(monkeypatch, port, "192.0.2.77", "192.0.2.78")
    with pytest.raises(ListenError, match=r"192\.0\.2\.77"):
        site.open(f"listen-address: pop.klient1.pl:{port}")


def test_names_that_do_not_resolve_are_found_without_binding(site: Site) -> None:
    with pytest.raises(ListenError, match=r"cannot listen on no-such\.invalid"):
        site.check("listen-address: no-such.invalid")
    assert site.check("listen-address: 192.0.2.77") == []


@pytest.mark.parametrize(
    ("lines", "warning"),
    [
        (["password-tls-only: yes"], f"{LISTENER}: no TLS, and password-tls-only: no password is taken here"),
        (["apop-only: yes"], f"{LISTENER}: no TLS, and apop-only: only APOP lets anybody in here"),
        (["proxy-networks: ::1"], "proxy-networks: no listener has proxy=yes, so no PROXY header is read"),
        (["tls-certificates: /nowhere"], "tls-certificates: no listener has tls=, so nobody asks for a name"),
        (["xclient-networks: ::1"], ""),
    ],
)  # fmt: skip
def test_contradictions(site: Site, lines: list[str], warning: str) -> None:
    assert site.check("listen-address: 127.0.0.1:1", *lines) == ([warning] if warning else [])


def test_tls_at_the_proxy_is_tls(site: Site) -> None:
    lines = ("listen-address: 127.0.0.1:1;proxy=tls", "proxy-networks: ::1")
    assert site.check(*lines, "password-tls-only: yes") == []
    with pytest.raises(ListenError, match="proxy= needs proxy-networks"):
        site.check(lines[0])


def test_a_hosts_file_that_is_none(site: Site) -> None:
    with pytest.raises(ListenError, match=r"hosts-file: /nowhere: No such file"):
        site.check("listen-address: 127.0.0.1:1", "hosts-file: /nowhere")


def test_bad_certificates_are_named_with_their_listener(site: Site) -> None:
    site.pem.write_text("")
    with pytest.raises(CertificateError, match=r"listen-address 127\.0\.0\.1;.*own\.pem: the file is empty"):
        site.check(f"listen-address: 127.0.0.1;tls=stls,{site.pem}")


# --- certificates over several readings ----------------------------------------


def with_customers(site: Site, port: int) -> tuple[str, str]:
    return (
        f"listen-address: 127.0.0.1:{port}(provider.pl);tls=immediate,{site.pem}",
        f"tls-certificates: {site.folder}/customers",
    )


def shown(entrance: Entrance, name: str) -> bytes:
    """Return the certificate that a client gets which asks for a name."""
    context = entrance.doors[0].tls
    assert context is not None
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    here, there = socket.socketpair()
    with here, there:
        here.setblocking(False)
        there.setblocking(False)
        server = context.wrap_socket(there, server_side=True, do_handshake_on_connect=False)
        side = client.wrap_socket(here, server_hostname=name, do_handshake_on_connect=False)
        undone = [side, server]
        while undone:
            for each in list(undone):
                try:
                    each.do_handshake()
                except ssl.SSLWantReadError:
                    continue
                undone.remove(each)
        return side.getpeercert(binary_form=True) or b""


def test_customers_certificates_come_and_go(site: Site, port: int) -> None:
    lines = with_customers(site, port)
    own = shown(site.open(lines[0]), "mail.klient1.pl")
    assert shown(site.open(*lines), "mail.klient1.pl") == own
    write_pair(site.folder / "customers" / "1.pem", "mail.klient1.pl", number=1)
    entrance = site.open(*lines)
    customers = shown(entrance, "mail.klient1.pl")
    assert customers != own
    assert shown(entrance, "mail.provider.pl") == own
    # The context is the one from before: so are the keys that its clients' tickets are made with.
    context = entrance.doors[0].tls
    later = site.open(*lines)
    assert later.doors[0].tls is context
    assert shown(later, "mail.klient1.pl") == customers
    assert shown(site.open(lines[0]), "mail.klient1.pl") == own


def test_a_customers_bad_certificate(site: Site, port: int) -> None:
    lines, path = with_customers(site, port), site.folder / "customers" / "1.pem"
    path.write_text("half of i")
    entrance = site.open(*lines)
    (warning,) = entrance.warnings
    assert warning.startswith(f"tls-certificates: {path}: there is no certificate in it; its names get")
    own = shown(entrance, "mail.klient1.pl")
    write_pair(path, "mail.klient1.pl", number=1)
    good = shown(site.open(*lines), "mail.klient1.pl")
    assert good != own
    for damage in (b"", path.read_bytes()[:300], write_pair(site.pem, "x.pl", number=2).read_bytes()[:250]):
        path.write_bytes(damage)
        entrance = site.open(*lines)
        assert entrance.warnings[0].endswith("; the one from before stays in use")
        assert shown(entrance, "mail.klient1.pl") == good


def test_files_are_watched_from_before_they_are_read(site: Site, port: int) -> None:
    lines, path = with_customers(site, port), site.folder / "customers" / "1.pem"
    write_pair(path, "mail.klient1.pl")
    changed = site.open(*lines).watch.changed
    assert not changed()
    write_pair(path, "mail.klient1.pl", number=1)
    assert [changed() for _ in range(3)] == [False, True, False]
    write_pair(site.pem, "mail.provider.pl", number=1)
    assert [changed() for _ in range(3)] == [False, True, False]


def test_a_folder_that_is_not_there(site: Site, port: int) -> None:
    lines = with_customers(site, port)
    (site.folder / "customers").rmdir()
    with pytest.raises(CertificateError, match="customers: No such file"):
        site.open(*lines)


def test_warnings_come_again_every_day(site: Site, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pair(site.pem, "mail.provider.pl", end=16)
    watch, now = site.open(with_customers(site, port)[0]).watch, time.time()
    written: list[str] = []
    monkeypatch.setattr(site.log, "warning", written.append)
    for days in (0.0, 0.9, 1.1, 1.2, 2.2, 2.3, 3.3):
        monkeypatch.setattr(time, "time", lambda days=days: now + days * 86_400)
        assert not watch.changed()
    assert written == [f"{site.pem}: the certificate expires in {days} days" for days in (13, 12)]
