"""auth-mysql and auth-pgsql against real servers that are unwell.

The seconds here are what is promised (docs/drivers.md), not what it takes.
"""

from __future__ import annotations

import pytest

from tests.system.support.mariadb import USER
from tests.system.support.processes import wait_for
from tests.system.support.saboteur import Saboteur
from tests.system.support.sqlsite import Base, StartSite

ANSWERED_WITHIN = 5.0
BACK_WITHIN = 3.0


@pytest.fixture(params=["sql_mysql", "sql_pgsql"])
def base(request: pytest.FixtureRequest) -> Base:
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]


@pytest.mark.parametrize("fault", ["refused", "silent"])
def test_the_next_server_lets_the_same_login_in(base: Base, start: StartSite, fault: str) -> None:
    saboteur = Saboteur(base.port)
    try:
        site = start(base.directives(f"127.0.0.1:{saboteur.port}", f"127.0.0.1:{base.port}"))
        assert site.lets_in()
        saboteur.commit(fault)
        for _ in range(4):  # every authentication process
            answer, seconds = site.login()
            assert answer.startswith("+OK")
            assert seconds < ANSWERED_WITHIN
        assert f"asked from now on instead of virtualemail at 127.0.0.1:{saboteur.port}" in site.log
        assert "the database is away" not in site.log
    finally:
        saboteur.stop()


def test_a_server_that_is_stopped_where_it_is(base: Base, start: StartSite) -> None:
    site = start(base.directives())
    wait_for(site.lets_in, "a login before")
    base.hang()
    try:
        for password in ("haslo", "wrong"):
            answer, seconds = site.login(password)
            assert answer.startswith("-ERR [SYS/TEMP]")
            assert seconds < ANSWERED_WITHIN
    finally:
        base.go_on()
    wait_for(site.lets_in, "a login after", BACK_WITHIN)
    assert site.log.count("the database is away") == 1


def test_a_query_that_takes_too_long(base: Base, start: StartSite) -> None:
    sleep = {"mysql": "SLEEP(8)", "pgsql": "pg_sleep(8)"}[base.driver]
    query = f"SELECT NULL, NULL, NULL, NULL FROM (SELECT {sleep}) AS s WHERE '$(user)' <> ''"
    answer, seconds = start(base.directives(pass_query=query)).login()
    assert answer.startswith("-ERR [SYS/TEMP]")
    assert seconds < ANSWERED_WITHIN


def test_an_account_that_the_server_refuses(base: Base, start: StartSite) -> None:
    site = start(base.directives(password="zly-sekret"))
    answer, seconds = site.login()
    assert answer.startswith("-ERR [SYS/TEMP]")
    assert seconds < ANSWERED_WITHIN
    assert USER in site.log
    assert "zly-sekret" not in site.log
