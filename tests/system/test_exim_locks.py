"""Exim honors the two locks that pypop3d takes: it does not write while either is held.

The Exim of these tests tries a lock once instead of ten times, three seconds
apart: a delivery that meets a lock is then deferred soon, and says so in the
log, so nothing here has to wait for "long enough".
"""

from __future__ import annotations

import fcntl
import os
import pwd
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.support.mariadb import Mariadb
from tests.system.support.processes import wait_for
from tests.system.support.site import OURS, Site, StartExim, filled


def _impatient(configuration: str) -> str:
    assert configuration.count("use_lockfile = true") == 1
    return configuration.replace(
        "use_lockfile = true", "use_lockfile = true\n  lock_retries = 1\n  lock_interval = 1s"
    )


@pytest.fixture(scope="module")
def impatient(area: Path, mariadb: Mariadb, exim: StartExim, vmail: pwd.struct_passwd) -> Iterator[Site]:
    site = Site(mariadb.url("locks"), area / "locks", exim, vmail, change=_impatient)
    yield site
    site.close()


@pytest.fixture
def box(impatient: Site, vmail: pwd.struct_passwd) -> Path:
    """An empty mbox that belongs to the domain's owner."""
    impatient.clean()
    path = impatient.ours / "luser"
    path.touch(0o660)
    os.chown(path, vmail.pw_uid, vmail.pw_gid)
    return path


def deliver_to_locked_box(site: Site, box: Path) -> None:
    """Send a message and return when Exim has given up the lock for now; the box must be untouched."""
    logged = site.since_now()
    site.exim.send([f"luser@{OURS}"])
    wait_for(lambda: logged("failed to lock mailbox"), "a deferral")
    assert box.read_bytes() == b""


def deliver_what_waits(site: Site, box: Path) -> None:
    site.exim.command("-qff")
    assert box.read_text().count("\nEnvelope-to: ") == 1


def test_dotlock(impatient: Site, box: Path, vmail: pwd.struct_passwd) -> None:
    lock = box.with_name("luser.lock")
    lock.touch()
    os.chown(lock, vmail.pw_uid, vmail.pw_gid)
    deliver_to_locked_box(impatient, box)
    assert lock.exists()
    lock.unlink()
    deliver_what_waits(impatient, box)
    assert not lock.exists()


def test_fcntl_lock(impatient: Site, box: Path) -> None:
    descriptor = os.open(box, os.O_RDWR)
    fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    deliver_to_locked_box(impatient, box)
    os.close(descriptor)
    deliver_what_waits(impatient, box)


def test_flock_protects_nothing(impatient: Site, box: Path) -> None:
    """Why pypop3d does not use it alone."""
    descriptor = os.open(box, os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    impatient.exim.send([f"luser@{OURS}"])
    wait_for(lambda: filled(box), "the mail")
    os.close(descriptor)
