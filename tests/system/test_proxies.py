"""Proxies that others have made, in front of us: HAProxy with PROXY headers, Dovecot with XCLIENT."""

from __future__ import annotations

import pwd
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.support.edge import FORWARDER, PROXY, EdgeSite, Mailer, trusting
from tests.system.support.processes import Child, free_port, listens, program, wait_for

#: Where the clients come from.
CLIENT = "127.0.0.77"

HAPROXY = """
global
  maxconn 100
defaults
  mode tcp
  timeout connect 5s
  timeout client 30s
  timeout server 30s
  source {source}
  default-server check inter 200ms rise 1
listen v1
  bind 127.0.0.1:{v1}
  server pop 127.0.0.1:{proxied} send-proxy
listen v2
  bind 127.0.0.1:{v2}
  server pop 127.0.0.1:{proxied} send-proxy-v2
listen through
  bind 127.0.0.1:{through}
  server pop 127.0.0.1:{proxied_tls} send-proxy-v2 proxy-v2-options crc32c,unique-id
listen ends
  bind 127.0.0.1:{ends} ssl crt {pem}
  server pop 127.0.0.1:{behind_tls} send-proxy-v2 proxy-v2-options ssl,cert-cn,authority,crc32c
"""

DOVECOT = """
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
protocols = pop3
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
mail_location = maildir:{folder}/nothing
service pop3-login {{
  inet_listener pop3 {{
    port = {port}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
passdb {{
  driver = static
  args = proxy=y host=127.0.0.1 port={back} nopassword=y source_ip={source}
}}
"""


@pytest.fixture(scope="module")
def site(area: Path, vmail: pwd.struct_passwd) -> Iterator[EdgeSite]:
    site = EdgeSite(area / "proxies", vmail)
    yield site
    site.pop3d.stop()


@pytest.fixture(scope="module")
def haproxy(area: Path, site: EdgeSite) -> Iterator[dict[str, int]]:
    """The ports of a HAProxy in front of the site."""
    ports = {name: free_port() for name in ("v1", "v2", "through", "ends")}
    back = {name.replace("-", "_"): port for name, port in site.ports.items()}
    config = area / "haproxy.cfg"
    config.write_text(
        HAPROXY.format(source=PROXY, pem=site.config.with_name("provider.pem"), **ports, **back)
    )
    child = Child([program("haproxy"), "-db", "-f", str(config)], area / "haproxy.log")
    child.wait_until(lambda: all(map(listens, ports.values())), "HAProxy")
    yield ports
    child.stop()


@pytest.fixture(scope="module")
def dovecot(area: Path, site: EdgeSite) -> Iterator[int]:
    """The port of a Dovecot that passes everybody on to the site."""
    folder, port = area / "dovecot", free_port()
    folder.mkdir()
    config = folder / "dovecot.conf"
    config.write_text(DOVECOT.format(folder=folder, port=port, back=site.ports["any"], source=FORWARDER))
    child = Child([program("dovecot"), "-F", "-c", str(config)], folder / "output")
    child.wait_until(lambda: listens(port), "Dovecot")
    yield port
    child.stop()


@pytest.fixture
def connect() -> Iterator[Callable[..., Mailer]]:
    mailers: list[Mailer] = []

    def run(port: int, tls: str = "") -> Mailer:
        sock = socket.create_connection(("127.0.0.1", port), 20, (CLIENT, 0))
        if tls:
            sock = trusting().wrap_socket(sock, server_hostname=tls)
        mailers.append(Mailer(sock))
        return mailers[-1]

    yield run
    for mailer in mailers:
        mailer.close()


@pytest.mark.parametrize(
    ("through", "tls"),
    [("v1", ""), ("v2", ""), ("through", "mail.klient1.pl"), ("ends", "mail.klient1.pl")],
)
def test_haproxy_tells_who_the_client_is(
    site: EdgeSite, haproxy: dict[str, int], connect: Callable[..., Mailer], through: str, tls: str
) -> None:
    before = site.said().count(f"]jan@klient1.pl({CLIENT}): began session")
    assert connect(haproxy[through], tls).opens("klient1.pl")
    wait_for(
        lambda: site.said().count(f"]jan@klient1.pl({CLIENT}): began session") > before, "the login's line"
    )


def test_its_checks_are_no_reason_to_complain(site: EdgeSite, haproxy: dict[str, int]) -> None:
    wait_for(lambda: f"{PROXY}/klient1.pl: connected to" in site.said(), "a check")
    assert "rejected connection" not in site.said()


def test_dovecot_tells_who_the_client_is(
    site: EdgeSite, dovecot: int, connect: Callable[..., Mailer]
) -> None:
    mailer = connect(dovecot)
    mailer.ask(b"USER jan@klient2.pl")
    assert mailer.ask(b"PASS klient2.pl").startswith(b"+OK Welcome aboard!")
    wait_for(lambda: f"]jan@klient2.pl({CLIENT}): began session" in site.said(), "the login's line")
