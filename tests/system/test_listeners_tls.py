"""TLS on a real server: whose certificate is shown, whose box a bare name opens, what new files do."""

from __future__ import annotations

import base64
import contextlib
import os
import pwd
import signal
import ssl
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.scramclient import ScramClient
from tests.server.pems import write_pair
from tests.system.support.edge import CUSTOMERS, EdgeSite, Mailer, certificate, trusting
from tests.system.support.processes import wait_for
from tpop3d_py.server.endpoint import end_point_of

Connect = Callable[..., Mailer]
SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


@pytest.fixture(scope="module")
def site(area: Path, vmail: pwd.struct_passwd) -> Iterator[EdgeSite]:
    site = EdgeSite(area / "edge-tls", vmail)
    yield site
    site.pop3d.stop()


@pytest.fixture
def connect(site: EdgeSite) -> Iterator[Connect]:
    yield site.mailer
    site.hang_up()


# --- certificates -----------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "shows", "domain"),
    [
        ("mail.klient1.pl", "klient1.pl", "klient1.pl"),
        ("MAIL.Klient2.PL", "klient2.pl", "klient2.pl"),
        ("poczta.klient2.pl", "klient2.pl", "klient2.pl"),
        ("biuro.klient1.pl", "klient1.pl", "biuro.klient1.pl"),
        ("mail.provider.pl", "", "provider.pl"),
        ("elsewhere.pl", "", "provider.pl"),
        ("", "", "provider.pl"),
    ],
)
def test_a_name_chooses_certificate_and_domain(
    connect: Connect, site: EdgeSite, asked: str, shows: str, domain: str
) -> None:
    mailer = connect("tls", tls=asked)
    assert mailer.greeting.endswith(f"@{domain}>".encode())
    assert mailer.shown() == certificate(
        site.certificates / f"{shows}.pem" if shows else site.config.with_name("provider.pem")
    )
    assert domain not in CUSTOMERS or mailer.opens(domain)


@pytest.mark.parametrize(
    ("asked", "shows", "domain"),
    [("mail.klient2.pl", "klient2.pl", "klient2.pl"), ("mail.provider.pl", "", ""), ("", "", "")],
)
def test_a_name_after_stls(connect: Connect, site: EdgeSite, asked: str, shows: str, domain: str) -> None:
    mailer = connect("stls")
    assert mailer.greeting.endswith(b"@provider.pl>")
    mailer.start_tls(asked)
    assert mailer.shown() == certificate(
        site.certificates / f"{shows}.pem" if shows else site.config.with_name("provider.pem")
    )
    assert b"STLS" not in mailer.capabilities()
    assert mailer.opens(domain or "klient1.pl") is bool(domain)


@pytest.mark.parametrize("listener", ["tls", "stls"])
@pytest.mark.parametrize("asked", ["mail.klient1.pl", "mail.klient2.pl"])
def test_a_channel_is_bound_to_the_certificate_that_was_shown(
    connect: Connect, listener: str, asked: str
) -> None:
    mailer = connect(listener, tls=asked if listener == "tls" else None)
    if listener == "stls":
        mailer.start_tls(asked)
    scram = ScramClient(b"jan", asked.removeprefix("mail.").encode(), end_point_of(mailer.shown()))
    first = mailer.ask(b"AUTH SCRAM-SHA-256-PLUS " + base64.b64encode(scram.first()))
    assert mailer.ask(base64.b64encode(scram.final(base64.b64decode(first[2:])))).startswith(b"+ ")
    assert mailer.ask(b"").startswith(b"+OK")


def test_a_whole_name_needs_no_domain(connect: Connect) -> None:
    mailer = connect("tls", tls="mail.klient2.pl")
    mailer.ask(b"USER jan@klient1.pl")
    assert mailer.ask(b"PASS klient1.pl").startswith(b"+OK")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("asked", ["mail.provider.pl", "mail.klient1.pl"])
def test_tickets_are_good_in_all_workers(
    connect: Connect, site: EdgeSite, version: ssl.TLSVersion, asked: str
) -> None:
    context = trusting()
    context.minimum_version = context.maximum_version = version
    session, workers = None, []
    for _ in range(2):
        sock = context.wrap_socket(site.connect("tls"), server_hostname=asked, session=session)
        mailer = Mailer(sock)
        assert mailer.greeting.endswith(b"@klient1.pl>" if "klient1" in asked else b"@provider.pl>")
        mailer.capabilities()
        workers.append(worker_of(site, sock.getsockname()[1]))
        resumed, session = sock.session_reused, sock.session
        if not resumed:  # the first one: whoever comes next is served by another process
            os.kill(workers[0], signal.SIGKILL)
        mailer.close()
    assert resumed
    assert len(set(workers)) == 2


def test_tickets_outlive_a_reload(site: EdgeSite) -> None:
    sock = trusting().wrap_socket(site.connect("tls"), server_hostname="mail.klient1.pl")
    mailer = Mailer(sock)
    mailer.capabilities()
    before, session = worker_of(site, sock.getsockname()[1]), sock.session
    mailer.close()
    site.reload()
    wait_for(lambda: not alive(site, before), "the end of the processes before")
    again = sock.context.wrap_socket(site.connect("tls"), server_hostname="mail.klient1.pl", session=session)
    assert again.session_reused
    Mailer(again).close()


def alive(site: EdgeSite, pid: int) -> bool:
    """Tell whether a process still belongs to the server."""
    master = site.pop3d.child.pid
    return str(pid) in Path(f"/proc/{master}/task/{master}/children").read_text().split()


def worker_of(site: EdgeSite, port: int) -> int:
    """Find the process that has a client's connection to the TLS listener, by its open sockets."""
    ends = f":{site.ports['tls']:04X}", f":{port:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    sockets = {f"socket:[{row[9]}]" for row in rows if row[1].endswith(ends[0]) and row[2].endswith(ends[1])}
    master = site.pop3d.child.pid
    for pid in Path(f"/proc/{master}/task/{master}/children").read_text().split():
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if os.readlink(link) in sockets:
                    return int(pid)
    raise AssertionError(f"nobody has the connection from port {port}")


@pytest.mark.parametrize(("listener", "good"), [("old", True), ("tls", False)])
def test_old_clients_need_a_listener_of_their_own(site: EdgeSite, listener: str, good: bool) -> None:
    context = trusting()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1
    if not good:
        with pytest.raises(ssl.SSLError), site.connect(listener) as sock:
            context.wrap_socket(sock, server_hostname="mail.klient1.pl")
        told = f":{site.ports[listener]}: unsupported protocol (told once a minute)"
        wait_for(lambda: told in site.said(), "the reason in the log")
        return
    sock = context.wrap_socket(site.connect(listener), server_hostname="mail.klient1.pl")
    assert sock.version() == "TLSv1"
    mailer = Mailer(sock)
    assert mailer.opens("klient1.pl")
    mailer.close()


# --- changes ----------------------------------------------------------------


def test_certificates_are_read_again_when_they_change(site: EdgeSite, connect: Connect) -> None:
    path = site.certificates / "klient1.pl.pem"
    old, session = certificate(path), connect("tls", tls="mail.klient1.pl")
    write_pair(path, "mail.klient1.pl", number=7)
    wait_for(lambda: connect("tls", tls="mail.klient1.pl").shown() != old, "the new certificate", 30)
    assert connect("tls", tls="mail.klient1.pl").shown() == certificate(path)
    assert session.shown() == old
    assert session.opens("klient1.pl")


def test_a_bad_certificate_stops_nobody(site: EdgeSite, connect: Connect) -> None:
    path = site.certificates / "klient2.pl.pem"
    good = path.read_bytes()
    path.write_bytes(good[: len(good) // 2])
    site.reload()
    try:
        assert f"{path}: " in site.said()
        assert "the one from before stays in use" in site.said()
        mailer = connect("tls", tls="mail.klient2.pl")
        assert mailer.shown() == ssl.PEM_cert_to_DER_cert(good[good.index(b"-----BEGIN C") :].decode())
        assert mailer.opens("klient2.pl")
    finally:
        path.write_bytes(good)


def test_a_bad_certificate_of_a_listener_changes_nothing(site: EdgeSite, connect: Connect) -> None:
    path = site.config.with_name("provider.pem")
    good = path.read_bytes()
    path.write_bytes(b"")
    try:
        os.kill(site.pop3d.child.pid, signal.SIGHUP)
        wait_for(lambda: f"{path}: the file is empty" in site.said(), "the complaint")
        assert connect("tls", tls="mail.klient1.pl").opens("klient1.pl")
    finally:
        path.write_bytes(good)
