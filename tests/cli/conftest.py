"""Commands run in this process, with a vmail.conf of their own."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from tests.cli.shell import Shell
from tpop3d_py.cli import ve_passwd


@pytest.fixture
def bare(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A configuration without a database."""
    owner = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    (tmp_path / "vmail.conf").write_text(
        f"database-url: sqlite:///{tmp_path}/vmail.db\n"
        f"mail-root: {tmp_path}/SERVERS\n"
        f"default-unix-user: {owner}\n"
    )
    monkeypatch.setenv("VMAIL_CONFIG", f"{tmp_path}/vmail.conf")
    monkeypatch.setattr(ve_passwd, "make_hash", lambda password, scheme: f"{{{scheme}}}{password}")
    return Shell(tmp_path, owner, capsys, monkeypatch)


@pytest.fixture
def shell(bare: Shell) -> Shell:
    """An empty directory."""
    assert bare("vmail db init").code == 0
    return bare


@pytest.fixture
def klient1(shell: Shell) -> Shell:
    """A directory with the paper's domain and box, in the paper's format."""
    for line in ("VE-domain add klient1.pl", "VE-popbox add klient1.pl luser --type bsd"):
        assert shell(line).code == 0
    return shell
