"""Fixtures that start real servers on free loopback ports.

They need root and what scripts/install-test-peers installs; where that is not
so, every test here fails and says what to run.  None is ever skipped.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.support import sqlsite
from tests.system.support.cleanroot import build
from tests.system.support.exim import Exim
from tests.system.support.mariadb import Mariadb
from tests.system.support.processes import INSTALL, Child
from tests.system.support.site import Site, StartExim


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Show what the servers said beside a failure."""
    report: pytest.TestReport = yield  # type: ignore[assignment]
    if report.failed:
        report.sections += [(f"log of {child.name} (pid {child.pid})", child.output()) for child in Child.all]
    return report  # type: ignore[return-value]


def pytest_sessionfinish() -> None:
    """Stop what a fixture started and then failed before it could hand it over."""
    for child in list(Child.all):
        child.stop()


@pytest.fixture(scope="session")
def system() -> None:
    """Make sure that this machine can run system tests."""
    if os.geteuid() != 0:
        pytest.fail("system tests start servers that change user: run them as root", pytrace=False)
    check = subprocess.run([INSTALL, "--check"], capture_output=True, text=True, check=False)
    if check.returncode:
        pytest.fail(check.stderr, pytrace=False)


@pytest.fixture(scope="session")
def area(system: None) -> Iterator[Path]:
    """A folder for the servers, which their accounts may enter (pytest's own folders are closed to them)."""
    path = Path(tempfile.mkdtemp(prefix="tpop3d-system-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def mariadb(area: Path) -> Iterator[Mariadb]:
    """A MariaDB server for the whole run; `mariadb.url(NAME)` makes a database."""
    server = Mariadb(area / "mariadb")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def exim(area: Path) -> Iterator[StartExim]:
    """A function that starts an Exim with the configuration that `make_config(port)` returns."""
    started: list[Exim] = []

    def start(make_config: Callable[[int], str]) -> Exim:
        folder = Path(tempfile.mkdtemp(prefix="exim-", dir=area))
        folder.chmod(0o755)
        started.append(Exim(folder, make_config))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture(scope="session")
def debian_package(area: Path) -> Path:
    """The Debian package of this checkout, built once for all tests that install it."""
    return build(area)


@pytest.fixture(scope="session")
def sql_folder(area: Path, vmail: pwd.struct_passwd) -> Path:
    """A folder with a certificate and one mailbox, for the SQL drivers."""
    folder = area / "sql"
    sqlsite.make_mail(folder, vmail.pw_name)
    return folder


@pytest.fixture(scope="session")
def sql_mysql(area: Path, sql_folder: Path, vmail: pwd.struct_passwd) -> Iterator[sqlsite.Base]:
    """A MariaDB server that speaks TLS, which tests may stop, and give back as it was."""
    base, server = sqlsite.mysql_base(area, sql_folder, vmail.pw_name)
    yield base
    server.stop()


@pytest.fixture(scope="session")
def sql_pgsql(area: Path, sql_folder: Path, vmail: pwd.struct_passwd) -> Iterator[sqlsite.Base]:
    """A PostgreSQL server of the same kind."""
    base, server = sqlsite.pgsql_base(area, sql_folder, vmail.pw_name)
    yield base
    server.stop()


@pytest.fixture
def start(sql_folder: Path, vmail: pwd.struct_passwd) -> Iterator[sqlsite.StartSite]:
    """A function that starts a pypop3d with some directives, until the test is over."""
    running: list[sqlsite.Site] = []

    def begin(directives: str) -> sqlsite.Site:
        running.append(sqlsite.Site(sql_folder, vmail, directives))
        return running[-1]

    yield begin
    for site in running:
        site.pop3d.stop()


@pytest.fixture(scope="session")
def mail_site(
    area: Path, mariadb: Mariadb, exim: StartExim, vmail: pwd.struct_passwd, vmail2: pwd.struct_passwd
) -> Iterator[Site]:
    """Exim as generated, on MariaDB with the paper's tables and the rows of `support.site`."""
    site = Site(mariadb.url("site"), area / "site", exim, vmail, vmail2)
    yield site
    site.close()


@pytest.fixture(scope="session")
def vmail(system: None) -> pwd.struct_passwd:
    """The account that owns virtual mail; its group is nogroup, as in the paper."""
    return pwd.getpwnam("vmail")


@pytest.fixture(scope="session")
def vmail2(system: None) -> pwd.struct_passwd:
    """A second owner of virtual mail."""
    return pwd.getpwnam("vmail2")
