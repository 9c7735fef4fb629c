"""Drivers that hear of logins, in a real pypop3d: the cache's logins too, and nobody waits for them."""

from __future__ import annotations

import os
import pwd
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.support.pop3d import Telnet
from tests.system.support.processes import wait_for
from tests.system.support.small import SmallSite

#: A driver that knows nobody, and writes down of whom it hears, and in which process.
HEARS = """
import os, time
from tpop3d_py.auth.program import AuthDriver

class Hears(AuthDriver):
    def onlogin(self, request):
        words = [request[key] for key in ("user", "local_part", "domain", "clienthost")]
        with open("{file}", "a") as file:
            print(*words, os.getpid(), file=file)
        if request["user"].startswith("slow"):
            time.sleep(1.0)
        if request["user"].startswith("hang"):
            time.sleep(600)
"""


@pytest.fixture(scope="module")
def site(area: Path, vmail: pwd.struct_passwd) -> Iterator[SmallSite]:
    folder = area / "onlogin"
    code = area / "hears.py"
    code.write_text(HEARS.format(file=folder / "heard"))
    more = (
        "authcache-enable: yes\nworker-processes: 1\nauth-processes: 1\nauth-timeout-seconds: 2\n"
        f"auth-python-enable: yes\nauth-python-class: {code}:Hears\n"
    )
    site = SmallSite(folder, vmail, dict.fromkeys(("luser", "slow", "hang", "last"), "maildir"), more)
    yield site
    site.stop()


def login(site: SmallSite, box: str, password: str = "") -> str:
    client = Telnet(site.port)
    client.read()
    client.type(f"USER {box}@klient1.pl")
    answer = client.type(f"PASS {password or site.password(box)}")
    client.type("QUIT")
    client.close()
    return answer


def heard(site: SmallSite, box: str) -> list[list[str]]:
    """List what the driver has written down of a box."""
    file = site.config.parent / "heard"
    lines = [line.split() for line in file.read_text().splitlines()] if file.exists() else []
    return [line for line in lines if line[0] == f"{box}@klient1.pl"]


def test_every_login_is_heard_of_once_and_no_refusal(site: SmallSite) -> None:
    for _ in range(3):
        assert login(site, "luser").startswith("+OK")
    assert login(site, "luser", "wrong").startswith("-ERR [AUTH]")
    assert login(site, "last").startswith("+OK")
    wait_for(lambda: heard(site, "last"), "the last login")
    lines = heard(site, "luser")
    assert "with directory+cache" in site.pop3d.log.read_text()
    assert [line[1:4] for line in lines] == [["luser", "klient1.pl", "127.0.0.1"]] * 3


def test_nobody_waits_for_slow_ones(site: SmallSite) -> None:
    began = time.monotonic()
    assert all(login(site, "slow").startswith("+OK") for _ in range(5))
    assert login(site, "luser", "wrong again").startswith("-ERR [AUTH]")
    assert time.monotonic() - began < 3 + 5 * 1.0  # three are the refusal's
    wait_for(lambda: len(heard(site, "slow")) == 5, "all of them")


def test_what_hangs_is_killed_and_the_next_login_is_heard_of_elsewhere(site: SmallSite) -> None:
    assert login(site, "hang").startswith("+OK")
    assert login(site, "last").startswith("+OK")
    count = len(heard(site, "last"))
    wait_for(lambda: len(heard(site, "last")) > count, "the login behind the one that hangs")
    assert heard(site, "last")[-1][4] != heard(site, "hang")[-1][4]
    assert f"died of signal {int(signal.SIGALRM)}" in site.pop3d.log.read_text()


def test_it_has_given_root_up(site: SmallSite, vmail: pwd.struct_passwd) -> None:
    assert login(site, "last").startswith("+OK")
    wait_for(lambda: heard(site, "last"), "the login")
    assert os.stat(site.config.parent / "heard").st_uid == vmail.pw_uid
