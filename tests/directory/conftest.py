"""A directory on SQLite in a folder of its own, owned by whoever can own files here."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from tpop3d_py.directory import migrations
from tpop3d_py.directory.engine import Directory, DirectorySettings, make_engine


@pytest.fixture
def settings(tmp_path: Path) -> DirectorySettings:
    """Settings for a database that does not exist yet."""
    owner = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    return DirectorySettings(
        database_url=f"sqlite:///{tmp_path}/vmail.db",
        mail_root=f"{tmp_path}/SERVERS",
        default_unix_user=owner,
    )


@pytest.fixture
def empty(settings: DirectorySettings, tmp_path: Path) -> Directory:
    """A database without tables."""
    migrations.create_file(f"{tmp_path}/vmail.db")
    return Directory(settings, make_engine(settings))


@pytest.fixture
def directory(empty: Directory) -> Directory:
    """A database with tables and no rows."""
    migrations.init(empty.engine)
    return empty
