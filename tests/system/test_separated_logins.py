"""Every way to log in, in separated mode: the tests of plain mode on a site of another kind."""

from __future__ import annotations

import pwd
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system import test_logins
from tests.system.support.small import SmallSite
from tests.system.test_logins import (  # noqa: F401 - the same tests, on our `site`
    importable,
    test_mpop,
    test_nothing_secret_is_in_the_log,
    test_polish,
    test_poplib_after_stls,
)
from tpop3d_py.auth import scram


@pytest.fixture(scope="module")
def site(area: Path, vmail: pwd.struct_passwd) -> Iterator[SmallSite]:
    """The site of `test_logins`, in separated mode."""
    boxes = dict.fromkeys(("luser", "keys", "open", "dovecot", "none"), "maildir")
    more = (
        "sasl-mechanisms: SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN\n"
        f"auth-token-check: {test_logins.__name__}:Issuer\n"
        "permit-empty-password: yes\nprivilege-separation: yes\n"
    )
    site = SmallSite(area / "separated-logins", vmail, boxes, more)
    site.store("keys", scram.make_stored(test_logins.SENTENCE))
    site.store("open", "{plaintext}otwarte")
    site.store("dovecot", test_logins.FROM_DOVEADM)
    site.store("none", "{plaintext}")
    yield site
    site.stop()
