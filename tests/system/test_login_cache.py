"""The login cache of a real pypop3d: who gets in when, with whose mail, and what the log says."""

from __future__ import annotations

import hashlib
import os
import pwd
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.support.pop3d import BIN, Telnet
from tests.system.support.small import SmallSite


@pytest.fixture(scope="module")
def site(area: Path, vmail: pwd.struct_passwd) -> Iterator[SmallSite]:
    boxes = dict.fromkeys(("luser", "ola", "same", "twin", "changed"), "maildir")
    folder = area / "cache"
    more = f"authcache-enable: yes\nworker-processes: 1\ncontrol-socket: {folder}/control\n"
    site = SmallSite(folder, vmail, boxes, more)
    for box in ("same", "twin"):
        site.store(box, hashlib.md5(b"one for both", usedforsecurity=False).hexdigest())
    for number, box in enumerate(boxes, 1):
        for message in range(number):
            path = site.path(box) / "new" / f"1000000{message}.M1P1.test"
            path.write_bytes(b"Subject: x\n\n" + b"y" * number + b"\n")
            os.chown(path, vmail.pw_uid, vmail.pw_gid)
    yield site
    site.stop()


@pytest.fixture
def no_database(site: SmallSite) -> Iterator[None]:
    file = site.config.parent / "vmail.db"
    away = file.with_suffix(".away")
    file.rename(away)
    yield
    away.rename(file)


def login(site: SmallSite, user: str, password: str) -> tuple[str, str]:
    """Log in; return the answers to PASS and STAT, the second empty if the first is no welcome."""
    client = Telnet(site.port)
    client.read()
    client.type(f"USER {user}")
    answer = client.type(f"PASS {password}")
    stat = client.type("STAT") if answer.startswith("+OK") else ""
    client.type("QUIT")
    client.close()
    return answer, stat


def drivers(site: SmallSite, user: str) -> list[str]:
    """List the drivers that the log names for a user's sessions."""
    mark = f"began session for `{user}' with "
    lines = site.pop3d.log.read_text().splitlines()
    return [
        line.partition(mark)[2].partition(";")[0] for line in lines if "fork_child" in line and mark in line
    ]


def test_a_cached_login_gets_the_same_mailbox_and_the_log_tells(site: SmallSite) -> None:
    user, password = site.user("ola"), site.password("ola")
    first, *others = [login(site, user, password) for _ in range(3)]
    assert first[1].startswith("+OK 2 ")
    assert others == [first, first]
    assert drivers(site, user) == ["directory", "directory+cache", "directory+cache"]


def test_the_same_password_is_not_the_same_user(site: SmallSite) -> None:
    for _ in range(2):
        for box, count in (("same", 3), ("twin", 4)):
            assert login(site, site.user(box), "one for both")[1].startswith(f"+OK {count} ")


def test_a_changed_password_is_right_at_once_and_the_old_one_wrong_when_it_is_forgotten(
    site: SmallSite,
) -> None:
    user, old = site.user("changed"), site.password("changed")
    assert login(site, user, old)[0].startswith("+OK")
    site.store("changed", hashlib.md5(b"nowe", usedforsecurity=False).hexdigest())
    assert login(site, user, "nowe")[0].startswith("+OK")
    assert login(site, user, old)[0].startswith("+OK"), "as long as it is remembered; the manual says so"
    forget = [str(BIN / "pypop3d"), "forget", "-f", str(site.config), user]
    done = subprocess.run(forget, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "1 worker processes told\n"
    assert login(site, user, old)[0].startswith("-ERR [AUTH]")
    assert login(site, user, "nowe")[0].startswith("+OK")


def test_while_the_database_is_away_known_users_get_in_and_nobody_else(
    site: SmallSite, request: pytest.FixtureRequest
) -> None:
    user, password = site.user("luser"), site.password("luser")
    assert login(site, user, password)[0].startswith("+OK")
    request.getfixturevalue("no_database")
    assert login(site, user, password)[1].startswith("+OK 1 ")
    for name, secret in ((user, "wrong"), (user, password.upper()), ("nobody@klient1.pl", password)):
        assert login(site, name, secret)[0].startswith("-ERR [SYS/TEMP]")
