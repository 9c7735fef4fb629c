"""Our own server passes every conformance check, with a maildir and an mbox, in the clear and inside TLS.

The runs go side by side: most of their time is the delay of refused logins.
"""

from __future__ import annotations

import json
import pwd
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.support.processes import CHECKOUT
from tests.system.support.small import SmallSite
from tpop3d_py.contracts import Verdict

#: Box, kind of preparation, which listener, and how it is reached.
RUNS = (
    ("plain", "maildir", "stls_port", ()),
    ("spool", "mbox", "port", ()),
    ("inside", "maildir", "tls_port", ("--tls",)),
    ("upgraded", "mbox", "stls_port", ("--stls",)),
)
BOXES = [box for box, *_ in RUNS]
KINDS = {"maildir": "maildir", "mbox": "bsd"}
MORE = """\
sasl-mechanisms: SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN
auth-token-check: tests.system.test_conformance:NobodysTokens
maildir-exclusive-lock: yes
"""
#: What only a person may wait for.
NEVER = {"connection.autologout"}
FEWEST = 440
#: Checks that show that a run had what it should have.
SIGNS = {
    "plain": {"tls.injection", "tls.stls_works"},
    "spool": {"login.apop_right", "scram.scram[SCRAM-SHA-256]"},
    "inside": {"sasl.bad_token[XOAUTH2]", "scram.scram_plus", "language.utf8_message"},
    "upgraded": {"sasl.login", "tls.not_twice", "scram.scram[SCRAM-SHA-256]"},
}
EVERYWHERE = {"update.removes", "retrieval.arrives[dots]", "pipelining.depth[5000]", "login.in_use"}


class NobodysTokens:
    """Bearer tokens of which none is good."""

    def check(self, user: str, token: bytes) -> Verdict:
        return Verdict.REFUSED


@pytest.fixture(scope="module")
def site(area: Path, vmail: pwd.struct_passwd) -> Iterator[SmallSite]:
    running = SmallSite(area / "conformance", vmail, {box: KINDS[kind] for box, kind, *_ in RUNS}, MORE)
    for box in BOXES:  # the only form that APOP and SCRAM can both use
        running.store(box, f"{{plaintext}}{running.password(box)}")
    yield running
    running.stop()


def _start(
    site: SmallSite, box: str, kind: str, listener: str, security: tuple[str, ...]
) -> subprocess.Popen[str]:
    port = str(getattr(site, listener))
    command = [sys.executable, "-m", "tests.conformance", "--host", "127.0.0.1", "--port", port]
    command += ["--user", site.user(box), "--password", site.password(box), "--json", "--destructive"]
    command += ["--prepare-by", kind, str(site.path(box)), *security]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=CHECKOUT, stdout=pipe, stderr=pipe, text=True)


@pytest.fixture(scope="module")
def results(site: SmallSite) -> dict[str, list[dict[str, Any]]]:
    started = {run[0]: _start(site, *run) for run in RUNS}
    found = {}
    for box, process in started.items():
        out, err = process.communicate(timeout=300)
        assert process.returncode in (0, 1), err
        found[box] = json.loads(out)
    return found


@pytest.mark.parametrize("box", BOXES)
def test_no_check_fails(results: dict[str, list[dict[str, Any]]], box: str) -> None:
    failed = [row for row in results[box] if row["outcome"] == "fail"]
    assert not failed, json.dumps(failed, indent=1)


@pytest.mark.parametrize("box", BOXES)
def test_the_checks_were_really_made(results: dict[str, list[dict[str, Any]]], box: str) -> None:
    passed = {row["name"] for row in results[box] if row["outcome"] == "pass"}
    assert len(passed) >= FEWEST
    assert NEVER.isdisjoint(passed)
    assert (EVERYWHERE | SIGNS[box]) - passed == set()


def test_a_server_that_is_not_there_is_no_verdict() -> None:
    command = [sys.executable, "-m", "tests.conformance", "--host", "127.0.0.1", "--port", "1"]
    command += ["--user", "x", "--password", "x", "--prepare-by", "maildir", "/nowhere", "--destructive"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "cannot be checked" in done.stderr
