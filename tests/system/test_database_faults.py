"""What logins hear while the database is away in one way or another, and how soon it is over.

The seconds here are what is promised (docs/reliability.md), not what it takes.
"""

from __future__ import annotations

import hashlib
import pwd
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.system.support.mariadb import Mariadb
from tests.system.support.pop3d import Pop3d, Shell, Telnet, new_directory
from tests.system.support.processes import free_port, wait_for
from tests.system.support.saboteur import FAULTS, Saboteur

ANSWERED_WITHIN = 5.0
BACK_WITHIN = 3.0


class Site:
    """A pypop3d whose database can be broken."""

    def __init__(self, folder: Path, mariadb: Mariadb, owner: pwd.struct_passwd) -> None:
        self.saboteur = Saboteur(mariadb.port)
        shell = new_directory(folder, mariadb, "faults", f"default-unix-user: {owner.pw_name}\n")
        folder.chmod(0o755)
        self._make_box(shell, folder, mariadb)
        conf = folder / "vmail.conf"
        conf.write_text(conf.read_text().replace(f":{mariadb.port}/", f":{self.saboteur.port}/"))
        self.port = free_port()
        config = folder / "tpop3d.conf"
        config.write_text(
            f"include: vmail.conf\nlisten-address: 127.0.0.1:{self.port}(klient1.pl)\n"
            f"auth-directory-enable: yes\nrun-as: {owner.pw_name}\nappend-domain: yes\n"
        )
        self.pop3d = Pop3d(config, self.port)

    def _make_box(self, shell: Shell, folder: Path, mariadb: Mariadb) -> None:
        shell.run("VE-domain add klient1.pl")
        shell.run("VE-popbox add klient1.pl luser --type maildir")
        stored = hashlib.md5(b"haslo", usedforsecurity=False).hexdigest()
        mariadb.execute("UPDATE popbox SET password_hash = %s", stored, database="faults")
        for path in (folder / "SERVERS").rglob("*"):
            path.chmod(0o777)

    def login(self, password: str = "haslo") -> tuple[str, float]:
        """Log in; return the answer, and the seconds from connecting to it."""
        began = time.monotonic()
        client = Telnet(self.port)
        assert client.read().startswith("+OK")
        client.type("USER luser")
        answer = client.type(f"PASS {password}")
        seconds = time.monotonic() - began
        client.close()
        return answer, seconds

    def lets_in(self) -> bool:
        return self.login()[0].startswith("+OK")

    def stop(self) -> None:
        self.pop3d.stop()
        self.saboteur.stop()


@pytest.fixture(scope="module")
def site(area: Path, mariadb: Mariadb, vmail: pwd.struct_passwd) -> Iterator[Site]:
    site = Site(area / "faults", mariadb, vmail)
    yield site
    site.stop()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_login_is_told_to_come_back_and_soon_may(site: Site, fault: str) -> None:
    wait_for(site.lets_in, "a login before the fault")
    open_session = Telnet(site.port)
    open_session.read()
    open_session.type("USER luser")
    assert open_session.type("PASS haslo").startswith("+OK")
    began = len(site.pop3d.log.read_text())
    site.saboteur.commit(fault)
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(site.login, ["haslo", "wrong"] * 8))
    answers += [site.login(), site.login("wrong")]
    assert {answer.split("]")[0] for answer, _ in answers} == {"-ERR [SYS/TEMP"}
    assert max(seconds for _, seconds in answers) < ANSWERED_WITHIN
    assert open_session.type("NOOP").startswith("+OK")
    assert open_session.type("LIST").startswith("+OK")
    site.saboteur.heal()
    wait_for(site.lets_in, "a login after the fault", BACK_WITHIN)
    open_session.close()
    log = site.pop3d.log.read_text()[began:]
    assert log.count("the database is away") in (1, 2), "told once, or by two processes in one moment"
    assert log.count("the database answers again") == 1
