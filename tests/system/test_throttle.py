"""Guessing passwords at a real pypop3d: what the guesser sees, what the owner sees, what the log says.

Networks are addresses of the loopback interface, 127.0.0.2 and so on.
"""

from __future__ import annotations

import pwd
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.system.support.pop3d import BIN
from tests.system.support.small import SmallSite

#: Seconds that the first step takes, and by which every wrong password is slowed down.
STEP = 2.0
WRONG_SECONDS = 3.0
WRONG = "-ERR [AUTH]"


@pytest.fixture(scope="module")
def site(area: Path, vmail: pwd.struct_passwd) -> Iterator[SmallSite]:
    folder = area / "throttle"
    more = (
        "throttle-passwords: 1\nthrottle-users: 20\nthrottle-shared-networks: 127.0.0.1\n"
        f"authcache-enable: yes\ncontrol-socket: {folder}/control\n"
    )
    boxes = dict.fromkeys(("luser", "ola", "adam", "ewa"), "maildir")
    site = SmallSite(folder, vmail, boxes, more)
    yield site
    site.stop()


def login(site: SmallSite, box: str, password: str, host: str) -> tuple[str, float]:
    """Log in from an address; return the answer and the seconds it took."""
    with (
        socket.create_connection(("127.0.0.1", site.port), 30, (host, 0)) as sock,
        sock.makefile("rb") as file,
    ):
        file.readline()
        sock.sendall(f"USER {box}@klient1.pl\r\n".encode())
        file.readline()
        began = time.monotonic()
        sock.sendall(f"PASS {password}\r\n".encode())
        answer = file.readline().decode()
        return answer, time.monotonic() - began


def guess(site: SmallSite, box: str, passwords: Sequence[str], host: str) -> list[tuple[str, float]]:
    """Try passwords, all at once."""
    with ThreadPoolExecutor(len(passwords)) as pool:
        return list(pool.map(lambda password: login(site, box, password, host), passwords))


def test_a_guesser_waits_and_the_owner_elsewhere_does_not(site: SmallSite) -> None:
    answers = guess(site, "luser", ("guess0", "guess1"), "127.0.0.2")
    assert all(answer.startswith(WRONG) for answer, _ in answers)
    wrong, seconds = login(site, "luser", "guess2", "127.0.0.2")
    assert wrong.startswith(WRONG)
    assert seconds >= STEP + WRONG_SECONDS
    owner, seconds = login(site, "luser", site.password("luser"), "127.0.0.3")
    assert owner.startswith("+OK")
    assert seconds < STEP
    lines = site.pop3d.log.read_text()
    assert "throttle: client 127.0.0.2: network 127.0.0.2/32: about 2 different wrong passwords" in lines


def test_a_right_password_waits_like_a_wrong_one_even_when_it_is_remembered(site: SmallSite) -> None:
    assert login(site, "ola", site.password("ola"), "127.0.0.3")[0].startswith("+OK")
    guess(site, "ola", ("guess0", "guess1"), "127.0.0.4")
    answer, seconds = login(site, "ola", site.password("ola"), "127.0.0.4")
    assert answer.startswith("+OK")
    assert seconds >= STEP


def test_where_the_owner_has_logged_in_he_is_spared(site: SmallSite) -> None:
    assert login(site, "adam", site.password("adam"), "127.0.0.5")[0].startswith("+OK")
    guess(site, "adam", [f"guess{n}" for n in range(12)], "127.0.0.5")
    answer, seconds = login(site, "adam", site.password("adam"), "127.0.0.5")
    assert answer.startswith("+OK")
    assert seconds < STEP


def test_an_old_password_repeated_is_no_guess(site: SmallSite) -> None:
    answers = guess(site, "ewa", ["old"] * 10, "127.0.0.6")
    assert all(answer.startswith(WRONG) for answer, _ in answers)
    answer, seconds = login(site, "ewa", site.password("ewa"), "127.0.0.6")
    assert answer.startswith("+OK")
    assert seconds < STEP


def test_forgiving_over_the_control_socket(site: SmallSite) -> None:
    guess(site, "ewa", ("guess0", "guess1"), "127.0.0.7")
    command = [str(BIN / "pypop3d"), "forgive", "-f", str(site.config), "127.0.0.7"]
    told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout
    assert "forgiven" in told
    assert not told.startswith("0 ")
    assert login(site, "ewa", site.password("ewa"), "127.0.0.7")[1] < STEP
