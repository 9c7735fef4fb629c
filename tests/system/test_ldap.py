"""auth-ldap against a real slapd: names, TLS, wrong passwords counted once, a server that goes and hangs."""

from __future__ import annotations

import pwd
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.support.pop3d import Pop3d, Telnet
from tests.system.support.processes import free_port, wait_for
from tests.system.support.slapd import Slapd

PASSWORD = "haslo ż*)("
YES, WRONG, LOST = "+OK Welcome", "-ERR [AUTH]", "-ERR [SYS/TEMP]"


def entry(name: str, *lines: str, password: str = PASSWORD) -> str:
    head = (f"dn: {name}", "objectClass: inetOrgPerson", "objectClass: extensibleObject", "sn: x", "cn: x")
    secret = (f"userPassword: {password}",) if password else ()
    return "\n".join((*head, *secret, *lines)) + "\n\n"


def entries(mail: Path, owner: pwd.struct_passwd) -> str:
    """Write who is there: two of them have one address, and one has an owner that does not exist."""
    box = f"homeDirectory: {mail}/jan"
    owned = f"uidNumber: {owner.pw_uid}"
    return (
        "dn: dc=x\nobjectClass: domain\ndc: x\n\n"
        + entry("cn=pop3,dc=x", password="se#kret")
        + "dn: cn=policy,dc=x\nobjectClass: organizationalRole\nobjectClass: pwdPolicy\ncn: policy\n"
        "pwdAttribute: userPassword\npwdLockout: TRUE\npwdMaxFailure: 100\n\n"
        + entry("uid=jan,dc=x", "mail: jan@klient1.pl", box, owned, "gecos: bsd")
        + entry("uid=one,dc=x", "mail: two@klient1.pl", box, owned)
        + entry("uid=two,dc=x", "mail: two@klient1.pl", box, owned)
        + entry("uid=lost,dc=x", "mail: lost@klient1.pl", box, "uidNumber: 999999")
        + entry("uid=none,dc=x", "mail: none@klient1.pl", box, owned, password="")
        + entry("uid=\\2a\\28,dc=x", "mail: *(@klient1.pl", owned, "uid: *(")
    )


@pytest.fixture(scope="module")
def folder(sql_folder: Path, area: Path, vmail: pwd.struct_passwd) -> Path:
    path = area / "ldap"
    (path / "mail").mkdir(parents=True)
    shutil.copy(sql_folder / "server.pem", path / "server.pem")
    shutil.copy(sql_folder / "cert.pem", path / "cert.pem")
    (path / "cert.pem").chmod(0o600)
    for name in ("jan", "*("):
        box = path / "mail" / name
        box.write_text("From x@y Fri Jun  8 12:00:00 2001\nSubject: x\n\nx\n\n")
        shutil.chown(box, vmail.pw_name)
    shutil.chown(path / "mail", vmail.pw_name)
    for shown in (path, path / "mail"):
        shown.chmod(0o755)
    return path


@pytest.fixture(scope="module")
def server(folder: Path, vmail: pwd.struct_passwd) -> Iterator[Slapd]:
    slapd = Slapd(folder / "slapd", folder / "server.pem", entries(folder / "mail", vmail))
    yield slapd
    slapd.stop()


class Site:
    """A pypop3d that asks the server."""

    def __init__(self, folder: Path, owner: pwd.struct_passwd, url: str, directives: str) -> None:
        self.port = free_port()
        config = folder / f"{self.port}.conf"
        config.write_text(
            f"listen-address: 127.0.0.1:{self.port}(klient1.pl)\nrun-as: {owner.pw_name}\n"
            f"auth-processes: 1\nauth-ldap-enable: yes\nauth-ldap-url: {url}\n"
            f'{directives}auth-ldap-searchdn: cn=pop3,dc=x\nauth-ldap-password: "se#kret"\n'
        )
        config.chmod(0o600)
        self.pop3d = Pop3d(config, self.port)

    def says(self, user: str, password: str = PASSWORD) -> str:
        client = Telnet(self.port)
        assert client.read().startswith("+OK")
        client.type(f"USER {user}")
        answer = client.type(f"PASS {password}")
        if answer.startswith("+OK"):
            client.type("QUIT")
        client.close()
        return " ".join(answer.split()[:2])

    @property
    def log(self) -> str:
        return self.pop3d.log.read_text()


StartSite = Callable[..., Site]


@pytest.fixture
def start(folder: Path, vmail: pwd.struct_passwd, server: Slapd) -> Iterator[StartSite]:
    """What starts one that ends with the test."""
    running: list[Pop3d] = []

    def begin(directives: str = "", scheme: str = "ldap", base: str = "dc=x") -> Site:
        port = server.tls_port if scheme == "ldaps" else server.port
        site = Site(folder, vmail, f"{scheme}://127.0.0.1:{port}/{base}", directives)
        running.append(site.pop3d)
        return site

    yield begin
    for pop3d in running:
        pop3d.stop()


def fixed(folder: Path, owner: pwd.struct_passwd) -> str:
    return f"auth-ldap-mail-user: {owner.pw_name}\nauth-ldap-mailbox: bsd:{folder}/mail/$(local_part)\n"


def failures(server: Slapd) -> int:
    """Return how many wrong passwords the server has counted for jan."""
    (found,) = (block for block in server.contents().split("\n\n") if block.startswith("dn: uid=jan,"))
    return len(re.findall(r"^pwdFailureTime:", found, re.MULTILINE))


def test_who_gets_in_and_how_often_a_wrong_password_counts(
    start: StartSite, folder: Path, vmail: pwd.struct_passwd, server: Slapd
) -> None:
    site = start(fixed(folder, vmail))
    assert site.says("jan@klient1.pl") == YES
    assert failures(server) == 0
    assert site.says("jan@klient1.pl", "haslo") == WRONG
    assert failures(server) == 1
    assert site.says("none@klient1.pl") == WRONG
    assert site.says("j*@klient1.pl") == WRONG
    assert site.says("*(@klient1.pl") == YES
    assert site.says("two@klient1.pl") == LOST
    assert "several entries are (mail=two@klient1.pl)" in site.log
    # The two connections are kept.
    addresses = set(re.findall(r"conn=(\d+) fd=\d+ ACCEPT", server.log()))
    again = site.says("jan@klient1.pl")
    assert (again, set(re.findall(r"conn=(\d+) fd=\d+ ACCEPT", server.log()))) == (YES, addresses)
    assert failures(server) == 0


@pytest.mark.parametrize("mode", ["", "privilege-separation: yes\nfirst-uid: 1\n"])
def test_attributes_and_names_without_a_domain(start: StartSite, mode: str) -> None:
    site = start(
        f"{mode}"
        "auth-ldap-filter: (&(objectClass=inetOrgPerson)(uid=$(user)))\n"
        "auth-ldap-mail-user-attr: uidnumber\nauth-ldap-mailbox-attr: homeDirectory\n"
        "auth-ldap-mboxtype-attr: gecos\n"
    )
    assert site.says("jan") == YES
    assert site.says("lost") == LOST
    assert "uid=lost,dc=x: there is no Unix account '999999'" in site.log


def test_a_base_that_the_login_chooses(start: StartSite, folder: Path, vmail: pwd.struct_passwd) -> None:
    more = fixed(folder, vmail) + "auth-ldap-filter: (objectClass=*)\nauth-ldap-scope: base\n"
    site = start(more, base="uid=$(local_part),dc=x")
    assert site.says("jan@klient1.pl") == YES
    assert site.says("jan,dc=x@klient1.pl") == WRONG
    misplaced = start(fixed(folder, vmail), base="dc=nowhere")
    assert misplaced.says("jan@klient1.pl") == LOST


@pytest.mark.parametrize("how", ["ldaps", "starttls"])
def test_tls_and_whom_it_trusts(
    start: StartSite, folder: Path, vmail: pwd.struct_passwd, how: str, server: Slapd
) -> None:
    scheme = "ldaps" if how == "ldaps" else "ldap"
    more = fixed(folder, vmail) + ("auth-ldap-use-tls: yes\n" if how == "starttls" else "")
    trusting = start(f"{more}auth-ldap-tls-ca-file: {folder}/cert.pem\n", scheme)
    assert trusting.says("jan@klient1.pl") == YES
    assert trusting.says("jan@klient1.pl") == YES
    before = server.log().count(" BIND dn=")
    stranger = start(more, scheme)
    assert stranger.says("jan@klient1.pl") == LOST
    assert "certificate" in stranger.log
    assert server.log().count(" BIND dn=") == before  # nothing has been said to whom nobody trusts


def test_a_searchdn_that_is_not_let_in(
    folder: Path, vmail: pwd.struct_passwd, start: StartSite, server: Slapd
) -> None:
    more = fixed(folder, vmail) + "auth-ldap-searchdn: cn=nobody,dc=x\n"
    site = start(more)
    assert site.says("jan@klient1.pl") == LOST
    assert "auth-ldap-searchdn is not let in: invalidCredentials (49)" in site.log


def test_a_server_that_goes_and_comes_back_and_one_that_hangs(
    start: StartSite, folder: Path, vmail: pwd.struct_passwd, server: Slapd
) -> None:
    site = start(fixed(folder, vmail))
    assert site.says("jan@klient1.pl") == YES
    server.stop()
    try:
        assert site.says("jan@klient1.pl") == LOST
    finally:
        server.start()
    wait_for(lambda: site.says("jan@klient1.pl") == YES, "a login after the server has come back")
    server.hang()
    try:
        assert site.says("jan@klient1.pl") == LOST
        assert site.says("jan@klient1.pl") == LOST
    finally:
        server.go_on()
    wait_for(lambda: site.says("jan@klient1.pl") == YES, "a login after the server has gone on")
    assert "auth-ldap: the database is away" in site.log
    assert "auth-ldap: the database answers again" in site.log
