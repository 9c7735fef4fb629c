"""The one package that knows every layer: it makes a running server out of settings."""

from __future__ import annotations

from tpop3d_py.assemble.daemon import check, serve
from tpop3d_py.assemble.groups import (
    DIRECTORY_GROUPS,
    POP3_GROUPS,
    Options,
    StartError,
    auth_settings,
    daemon_groups,
    make_log,
)

__all__ = [
    "DIRECTORY_GROUPS",
    "POP3_GROUPS",
    "Options",
    "StartError",
    "auth_settings",
    "check",
    "daemon_groups",
    "make_log",
    "serve",
]
