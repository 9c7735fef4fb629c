"""Guesses, and what follows from logins, in separated mode: the tests of plain mode on another site."""

from __future__ import annotations

import pwd
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.support.small import SmallSite
from tests.system.test_onlogin import HEARS, test_every_login_is_heard_of_once_and_no_refusal  # noqa: F401
from tests.system.test_throttle import (  # noqa: F401
    test_a_guesser_waits_and_the_owner_elsewhere_does_not,
    test_where_the_owner_has_logged_in_he_is_spared,
)


@pytest.fixture(scope="module")
def site(area: Path, vmail: pwd.struct_passwd) -> Iterator[SmallSite]:
    folder = area / "separated-afterwards"
    code = area / "separated_hears.py"
    code.write_text(HEARS.format(file=folder / "heard"))
    more = (
        "privilege-separation: yes\nauthcache-enable: yes\nauth-processes: 1\n"
        f"auth-python-enable: yes\nauth-python-class: {code}:Hears\n"
        "throttle-passwords: 1\nthrottle-users: 20\nthrottle-shared-networks: 127.0.0.1\n"
    )
    site = SmallSite(folder, vmail, dict.fromkeys(("luser", "last", "adam"), "maildir"), more)
    yield site
    site.stop()
