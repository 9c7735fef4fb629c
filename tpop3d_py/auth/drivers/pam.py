"""``auth-pam``: the directives are understood, the driver itself comes later.

Existing files name PAM beside SQL, as the paper's does; they must start, and say
that nobody is logged in through PAM yet.
"""

from __future__ import annotations

from dataclasses import dataclass

from tpop3d_py.settings import BOOLEAN, TEXT, setting


@dataclass(frozen=True, slots=True)
class PamSettings:
    """Logins through PAM (auth-pam), not available in this version."""

    enable: bool = setting(
        "auth-pam-enable",
        BOOLEAN,
        default=False,
        summary="Understood, but this version has no PAM driver: start-up says so and goes on.",
    )
    facility: str = setting("auth-pam-facility", TEXT, default="tpop3d", summary="Name of the PAM service.")
    mailbox: str = setting(
        "auth-pam-mailbox", TEXT, default=None, summary="Where the mail of PAM users lies."
    )
    mail_user: str = setting(
        "auth-pam-mail-user", TEXT, default=None, summary="Account for names that exist only in PAM."
    )
    mail_group: str = setting(
        "auth-pam-mail-group", TEXT, default=None, summary="Group that sessions of PAM users work with."
    )
