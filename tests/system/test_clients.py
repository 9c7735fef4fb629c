"""Real clients against real mail: poplib, curl and fetchmail, mbox and maildir, plain and TLS, two domains.

Exim delivers awkward messages; what a client fetched must be what Exim stored, octet for octet once line ends
are made CRLF, and the sizes told before must be the sizes sent.
"""

from __future__ import annotations

import poplib
import pwd
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.system.support.exim import Exim
from tests.system.support.mariadb import Mariadb
from tests.system.support.pop3d import Pop3d, Shell, Telnet, new_directory
from tests.system.support.processes import free_port, program, wait_for
from tests.system.support.site import StartExim
from tests.system.support.small import make_certificate

BODIES = (
    "test\r\n",
    ".\r\n..\r\n.dot first\r\n",
    "",
    "From here on it is only text\r\n\r\nFrom here on too\r\n",
    "x" * 990 + "\r\n" + "no line end at the end",
    "Zażółć gęślą jaźń\r\n" * 300,
)
BOXES = (("luser", "maildir"), ("jan", "bsd"))
DOMAINS = ("klient1.pl", "drugi.klient.pl")


@dataclass
class Provider:
    """A site with two domains, each with a maildir and an mbox, six messages in every box."""

    shell: Shell
    exim: Exim
    pop3d: Pop3d
    root: Path
    plain: dict[str, int]
    tls: int

    def stored(self, domain: str, box: str) -> list[bytes]:
        """Read the messages of a box from its files, with CRLF, sorted."""
        path = self.root / domain / box
        if path.is_dir():
            texts = [file.read_bytes() for part in ("new", "cur") for file in (path / part).iterdir()]
        else:
            parts = path.read_bytes().split(b"\nFrom sender@example.org ")
            texts = [part.partition(b"\n")[2] for part in parts[:-1]]
            texts.append(parts[-1].partition(b"\n")[2].removesuffix(b"\n"))
        return sorted(_with_crlf(text) for text in texts)


def _with_crlf(text: bytes) -> bytes:
    text = text if text.endswith(b"\n") else text + b"\n"
    return text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


@pytest.fixture(scope="module")
def site(area: Path, mariadb: Mariadb, exim: StartExim, vmail: pwd.struct_passwd) -> Iterator[Provider]:
    folder = area / "clients"
    shell = new_directory(folder, mariadb, "clients")
    for domain in DOMAINS:
        shell.run(f"VE-domain add {domain}")
        for box, kind in BOXES:
            shell.run(f"VE-popbox add {domain} {box} --type {kind}")
            shell.run(f"VE-passwd {box}@{domain}", stdin=f"haslo {box} {domain}\n")
    server = exim(
        lambda port: shell.run(f"vmail-gen-exim --standalone --port {port} --hostname mx.przyklad.pl")
    )
    make_certificate(folder)
    plain, tls = {domain: free_port() for domain in DOMAINS}, free_port()
    listeners = [f"127.0.0.1:{port}({domain})" for domain, port in plain.items()]
    listeners.append(f"127.0.0.1:{tls}(klient1.pl);tls=immediate,{folder}/server.pem")
    config = folder / "tpop3d.conf"
    config.write_text(
        f"include: vmail.conf\nlisten-address: {' '.join(listeners)}\n"
        "append-domain: yes\nauth-directory-enable: yes\nrun-as: vmail\n"
    )
    pop3d = Pop3d(config, plain["klient1.pl"])
    try:
        provider = Provider(shell, server, pop3d, folder / "SERVERS", plain, tls)
        _fill(provider)
        yield provider
    finally:
        pop3d.stop()


def _fill(provider: Provider) -> None:
    for body in BODIES:
        for domain in DOMAINS:
            provider.exim.send([f"{box}@{domain}" for box, _ in BOXES], body)

    def all_there() -> bool:
        try:
            boxes = [provider.stored(domain, box) for domain in DOMAINS for box, _ in BOXES]
        except FileNotFoundError:
            return False
        return all(len(box) == len(BODIES) for box in boxes)

    wait_for(all_there, "the deliveries")
    locks = list(provider.root.glob("*/*.lock"))
    wait_for(lambda: not any(lock.exists() for lock in locks), "the locks")


@pytest.mark.parametrize("box", [name for name, _ in BOXES])
@pytest.mark.parametrize("domain", DOMAINS)
def test_poplib_gets_every_octet(site: Provider, domain: str, box: str) -> None:
    client = poplib.POP3("127.0.0.1", site.plain[domain], timeout=20)
    client.user(box)  # bare: the listener's domain completes it
    client.pass_(f"haslo {box} {domain}")
    count, octets = client.stat()
    assert count == len(BODIES)
    sizes = [int(line.split()[1]) for line in client.list()[1]]
    ids = [line.split()[1] for line in client.uidl()[1]]
    assert len(set(ids)) == count
    texts = [b"".join(line + b"\r\n" for line in client.retr(n)[1]) for n in range(1, count + 1)]
    assert [len(text) for text in texts] == sizes
    assert sum(sizes) == octets
    assert sorted(texts) == site.stored(domain, box)
    head = client.top(1, 0)[1]
    assert texts[0].startswith(b"\r\n".join(head))
    client.quit()


def test_poplib_inside_tls(site: Provider) -> None:
    context = ssl.create_default_context(cafile=str(site.root.parent / "cert.pem"))
    client = poplib.POP3_SSL("127.0.0.1", site.tls, timeout=20, context=context)
    client.user("jan@drugi.klient.pl")  # a name with a domain works on every listener
    client.pass_("haslo jan drugi.klient.pl")
    texts = [b"".join(line + b"\r\n" for line in client.retr(n)[1]) for n in range(1, len(BODIES) + 1)]
    assert sorted(texts) == site.stored("drugi.klient.pl", "jan")
    client.quit()


@pytest.mark.parametrize("scheme", ["pop3", "pop3s"])
def test_curl(site: Provider, scheme: str) -> None:
    port = site.tls if scheme == "pop3s" else site.plain["klient1.pl"]

    def curl(path: str) -> bytes:
        command = ["curl", "-sS", "--cacert", str(site.root.parent / "cert.pem")]
        command += ["-u", "luser@klient1.pl:haslo luser klient1.pl", f"{scheme}://127.0.0.1:{port}/{path}"]
        return subprocess.run(
            command,
            capture_output=True,
            check=True,
            timeout=60,
        ).stdout

    sizes = [int(line.split()[1]) for line in curl("").splitlines()]
    texts = [curl(str(n)) for n in range(1, len(sizes) + 1)]
    assert [len(text) for text in texts] == sizes
    assert sorted(texts) == site.stored("klient1.pl", "luser")


@pytest.mark.parametrize("box", [name for name, _ in BOXES])
def test_fetchmail_leaves_and_then_takes_everything_once(site: Provider, tmp_path: Path, box: str) -> None:
    domain = "drugi.klient.pl"
    stored = site.stored(domain, box)
    home = tmp_path / "home"
    home.mkdir()
    took = home / "took"
    took.mkdir()
    store = home / "store"
    store.write_text('#!/bin/sh\ncat > "$(mktemp "$(dirname "$0")/took/XXXXXXXX")"\n')
    store.chmod(0o700)

    def fetch(option: str) -> int:
        control = home / "fetchmailrc"
        control.write_text(
            f"poll 127.0.0.1 service {site.plain[domain]} protocol pop3 uidl\n"
            f'user "{box}@{domain}" password "haslo {box} {domain}" sslproto "" {option} mda "{store}"\n'
        )
        control.chmod(0o600)
        command = [program("fetchmail"), "-f", str(control), "--nosyslog", "--invisible", "--norewrite"]
        command += ["--pidfile", str(home / "pid"), "-i", str(home / "ids")]
        done = subprocess.run(
            command,
            env={"HOME": str(home), "FETCHMAILHOME": str(home), "PATH": "/usr/bin:/bin", "LC_ALL": "C"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode in (0, 1), done.stderr  # 1: no new mail
        return len(list(took.iterdir()))

    assert fetch("keep") == len(stored)
    assert fetch("keep") == len(stored)  # nothing twice
    assert site.stored(domain, box) == stored
    for file in took.iterdir():
        file.unlink()
    assert fetch("fetchall nokeep") == len(stored)
    taken = sorted(_with_crlf(file.read_bytes()) for file in took.iterdir())
    assert taken == stored
    path = site.root / domain / box
    assert path.is_dir() or path.stat().st_size == 0
    assert fetch("keep") == len(stored)
    client = Telnet(site.plain[domain])
    client.read()
    client.type(f"USER {box}")
    assert client.type(f"PASS haslo {box} {domain}") == "+OK Welcome aboard! You have no messages at all."
    client.close()


def test_a_name_of_one_domain_is_a_stranger_in_the_other(site: Provider) -> None:
    client = Telnet(site.plain["drugi.klient.pl"])
    client.read()
    client.type("USER luser")
    assert client.type("PASS haslo luser klient1.pl").startswith("-ERR [AUTH]")
    client.close()


def test_every_process_but_the_master_has_given_root_up(site: Provider, vmail: pwd.struct_passwd) -> None:
    master = site.pop3d.child.pid
    children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    assert len(children) >= 3
    for pid in children:
        status = dict(
            line.split(":\t", 1)
            for line in Path(f"/proc/{pid}/status").read_text().splitlines()
            if ":\t" in line
        )
        assert status["Uid"].split() == [str(vmail.pw_uid)] * 4
        assert status["Gid"].split() == [str(vmail.pw_gid)] * 4
        assert "0" not in status["Groups"].split()
        assert (int(status["CapEff"], 16), int(status["CapPrm"], 16)) == (0, 0)
        assert status["NoNewPrivs"] == "1"
