"""What one listener's sessions have in common.

Built once per listener from its settings and shared by all its sessions, so that a
command looks nothing up.

When things fail: making a profile raises `ValueError` with the field's name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tpop3d_py.pop3.languages import Languages, languages_of
from tpop3d_py.pop3.texts import Texts
from tpop3d_py.pop3.texts_en import CLASSIC

_CAPABILITY_PARAMETER = re.compile(r"[!-~]{1,200}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Settings of the protocol.

    Args:
        texts: what the server says, until a client asks for another language.
        implementation: what CAPA tells as IMPLEMENTATION (RFC 2449 section 6.9): one word, with a version
            only where the operator wants to tell it; empty: not told.
        login_attempts: wrong logins of one connection; the last of them closes it.
        command_errors: commands of one session that cannot be obeyed; the last of them closes it.
            Cumulative, and larger than what any client needs to find out what a server can do.
        failed_login_delay: seconds between a wrong login and its reply.
        stls: whether a plain connection may become TLS (RFC 2595).
        apop_only: outside TLS no password is taken; whoever sends a name is told to use APOP and sent away.
        password_tls_only: outside TLS no password is taken.
        mechanisms: what AUTH knows, of `mechanisms.ALL`; each is offered where it can work.
        token_check: whether somebody checks bearer tokens; without, OAUTHBEARER and XOAUTH2 do not exist.
        binding: octets of the certificate's tls-server-end-point (RFC 5929 section 4); empty: there are none.
        permit_empty_password: whether PASS without an argument is a password of no octets.
        commit_on_early_close: whether QUIT removes messages when the client has hung up behind it.
        xclient: whether the client is a proxy that may say XCLIENT.
        languages: made of `texts`.
        listed: what CAPA has listed so far; `capability_lines` makes each list once.
    """

    texts: Texts = CLASSIC
    implementation: str = "tpop3d_py"
    login_attempts: int = 3
    command_errors: int = 50
    failed_login_delay: float = 3.0
    stls: bool = False
    apop_only: bool = False
    password_tls_only: bool = False
    mechanisms: tuple[bytes, ...] = (b"PLAIN", b"LOGIN")
    token_check: bool = False
    binding: bytes = b""
    permit_empty_password: bool = False
    commit_on_early_close: bool = True
    xclient: bool = False
    languages: Languages = field(init=False)
    listed: dict[tuple[bool, bool], bytes] = field(init=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        if self.implementation and not _CAPABILITY_PARAMETER.match(self.implementation):
            raise ValueError("implementation: must be one printable ASCII word of at most 200 characters")
        if self.login_attempts < 1:
            raise ValueError("login_attempts: must be at least 1")
        if self.command_errors < 1:
            raise ValueError("command_errors: must be at least 1")
        if not 0 <= self.failed_login_delay <= 3600:
            raise ValueError("failed_login_delay: must be between 0 and 3600 seconds")
        object.__setattr__(self, "languages", languages_of(self.texts))

    def takes_passwords(self, secure: bool) -> bool:
        """Tell whether passwords may be sent as they are, inside TLS or outside it."""
        return secure or not (self.apop_only or self.password_tls_only)
