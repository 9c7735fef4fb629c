"""Checks of bearer tokens (OAUTHBEARER, XOAUTH2), which sites bring themselves.

``auth-token-check: MODULE:NAME`` names something that, called without arguments, returns a
`contracts.TokenCheck`.  A token only says who somebody is; where the mail lies is asked of
the drivers as for everybody.

When things fail: `TokenCheckError` at start, for what cannot be loaded.  What a check raises
later costs one login, which is answered as a temporary failure.
"""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass

from tpop3d_py.contracts import TokenCheck
from tpop3d_py.settings import Kind, setting

_WRITTEN = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


class TokenCheckError(Exception):
    """The check of bearer tokens cannot be loaded."""


def _parse(text: str) -> str:
    if not _WRITTEN.fullmatch(text):
        raise ValueError("must be MODULE:NAME")
    return text


@dataclass(frozen=True, slots=True)
class TokenSettings:
    """Logins with bearer tokens (OAuth 2.0)."""

    check: str = setting(
        "auth-token-check",
        Kind("MODULE:NAME of Python", _parse),
        default=None,
        summary="Who checks bearer tokens: NAME of the Python module MODULE, called without arguments, "
        "returns an object with check(user, token). Without it OAUTHBEARER and XOAUTH2 are not offered; with "
        "it they are, inside TLS.",
        example="example_site.oauth:Introspection",
    )


def load_check(written: str) -> TokenCheck:
    """Load the check that a directive names.

    Raises:
        TokenCheckError: there is no such thing, or it cannot be made.
    """
    module, _, name = written.partition(":")
    try:
        check = getattr(importlib.import_module(module), name)()
    except Exception as error:  # foreign code, at start: whatever it raises is for the operator
        raise TokenCheckError(f"auth-token-check: {written}: {type(error).__name__}: {error}") from error
    if not callable(getattr(check, "check", None)):
        raise TokenCheckError(f"auth-token-check: {written}: has no check(user, token)")
    return check  # type: ignore[no-any-return]
