"""What one listener's sessions have in common.

Built once per listener from its settings and shared by all its sessions, so that a
command looks nothing up.  Switches of commands to come are added as fields here.

When things fail: making a profile raises `ValueError` with the field's name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tpop3d_py.pop3.texts import CLASSIC, Texts

_CAPABILITY_PARAMETER = re.compile(r"[!-~]{1,200}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Settings of the protocol.

    Args:
        texts: what the server says.
        implementation: what CAPA tells as IMPLEMENTATION (RFC 2449 section 6.9): one word, with a version
            only where the operator wants to tell it; empty: not told.
        login_attempts: wrong logins of one connection; the last of them closes it.
        command_errors: commands of one session that cannot be obeyed; the last of them closes it.
            Cumulative, and larger than what any client needs to find out what a server can do.
        failed_login_delay: seconds to hold the reply to a wrong login back.
    """

    texts: Texts = CLASSIC
    implementation: str = "tpop3d_py"
    login_attempts: int = 3
    command_errors: int = 50
    failed_login_delay: float = 3.0

    def __post_init__(self) -> None:
        if self.implementation and not _CAPABILITY_PARAMETER.match(self.implementation):
            raise ValueError("implementation: must be one printable ASCII word of at most 200 characters")
        if self.login_attempts < 1:
            raise ValueError("login_attempts: must be at least 1")
        if self.command_errors < 1:
            raise ValueError("command_errors: must be at least 1")
        if not 0 <= self.failed_login_delay <= 3600:
            raise ValueError("failed_login_delay: must be between 0 and 3600 seconds")
