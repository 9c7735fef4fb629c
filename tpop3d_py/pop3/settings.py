"""The directives that the protocol obeys."""

from __future__ import annotations

from dataclasses import dataclass

from tpop3d_py.pop3.languages import CATALOGS
from tpop3d_py.pop3.mechanisms import ALL
from tpop3d_py.settings import BOOLEAN, choice, setting, words_of


def _mechanism(word: str) -> bytes:
    name = word.upper().encode("ascii", "replace")
    if name not in CONFIGURED:
        raise ValueError(f"must be some of: {' '.join(name.decode() for name in CONFIGURED)}")
    return name


#: Bearer tokens need no word here: whoever checks tokens wants them.
CONFIGURED = tuple(name for name in ALL if name not in (b"OAUTHBEARER", b"XOAUTH2"))


@dataclass(frozen=True, slots=True)
class ProtocolSettings:
    """The protocol: logins, words and endings."""

    texts: str = setting(
        "texts",
        choice(*CATALOGS),
        default="classic",
        summary="What the server says: classic has tpop3d's words, polite neutral ones, polish is Polish "
        "without diacritical marks. A listener may have its own (;texts=NAME), and any client may change the "
        "language with LANG (en, pl).",
    )
    apop_only: bool = setting(
        "apop-only",
        BOOLEAN,
        default=False,
        summary="Outside TLS take no passwords: USER and PASS are answered that APOP must be used, and the "
        "connection is closed; CAPA says neither USER nor the mechanisms that send passwords.",
    )
    password_tls_only: bool = setting(
        "password-tls-only",
        BOOLEAN,
        default=False,
        summary="Outside TLS take no passwords: USER, PASS, AUTH PLAIN and AUTH LOGIN are refused until the "
        "client has said STLS; APOP and SCRAM go on working.",
    )
    sasl_mechanisms: tuple[bytes, ...] = setting(
        "sasl-mechanisms",
        words_of("list of SASL mechanisms", _mechanism, bytes.decode),
        default=(b"PLAIN", b"LOGIN"),
        summary="What AUTH offers, of SCRAM-SHA-256-PLUS, SCRAM-SHA-256, PLAIN and LOGIN. SCRAM works for "
        "passwords stored as {SCRAM-SHA-256} or {plaintext} and for no others: a client that prefers it "
        "fails for the rest.",
    )
    permit_empty_password: bool = setting(
        "permit-empty-password",
        BOOLEAN,
        default=False,
        summary="Let an empty password in where one is stored; otherwise it is a wrong one.",
    )
    permit_empty_passwords: bool = setting(
        "permit-empty-passwords",
        BOOLEAN,
        default=False,
        summary="The same, in the spelling that tpop3d read.",
    )
    no_commit_on_early_close: bool = setting(
        "no-commit-on-early-close",
        BOOLEAN,
        default=False,
        summary="When a client hangs up right behind its QUIT, remove nothing. By default QUIT counts even "
        "if the client does not wait for the answer: RFC 1939 section 6 has it so, and some clients do that.",
    )

    @property
    def empty_passwords(self) -> bool:
        """Whether an empty password may be right, in either spelling."""
        return self.permit_empty_password or self.permit_empty_passwords
