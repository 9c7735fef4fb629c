"""``auth-directory``: the directory that vmail.conf names, whatever its dialect."""

from __future__ import annotations

from dataclasses import dataclass

from tpop3d_py.settings import BOOLEAN, setting

NAME = "directory"


@dataclass(frozen=True, slots=True)
class DirectoryDriverSettings:
    """Logins from the directory (auth-directory)."""

    enable: bool = setting(
        "auth-directory-enable",
        BOOLEAN,
        default=False,
        summary="Log users in from the directory that database-url names.",
    )
