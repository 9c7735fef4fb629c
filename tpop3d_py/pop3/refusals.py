"""What a refused login is answered, and how many of them one connection gets.

Rules: a wrong login is slowed down, and the last one allowed closes the connection; a login that could not
be checked is no wrong login and is not slowed down, but as many of them close the connection too; a mailbox
that cannot be had closes it at once.

When things fail: nothing here can.
"""

from __future__ import annotations

from tpop3d_py.contracts import Reason, Refusal
from tpop3d_py.pop3.profile import Profile
from tpop3d_py.pop3.replies import Reply, Then
from tpop3d_py.pop3.texts import Texts


class Refusals:
    """The logins of one connection that did not succeed, counted; inside TLS they stay counted."""

    __slots__ = ("_unchecked", "_wrong")

    def __init__(self) -> None:
        self._wrong = 0
        self._unchecked = 0

    def answer(self, refusal: Refusal, texts: Texts, profile: Profile) -> Reply:
        """Count a refusal and return the reply to it."""
        if refusal.reason is Reason.CREDENTIALS:
            return self._wrong_login(texts, profile)
        text, closes = _texts_of(texts)[refusal.reason]
        self._unchecked += 1
        closes |= self._unchecked >= profile.login_attempts
        return Reply(False, text, refusal.reason.code, then=Then.CLOSE if closes else Then.CONTINUE)

    def _wrong_login(self, texts: Texts, profile: Profile) -> Reply:
        self._wrong += 1
        reply = Reply(False, texts.wrong_login, Reason.CREDENTIALS.code)
        reply.delay = profile.failed_login_delay
        if self._wrong >= profile.login_attempts:
            reply.text = texts.too_many_logins
            reply.then = Then.CLOSE
        return reply


def _texts_of(texts: Texts) -> dict[Reason, tuple[bytes, bool]]:
    """Say for each reason but wrong credentials what is answered, and whether that ends the connection."""
    return {
        Reason.UNAVAILABLE: (texts.login_unavailable, False),
        Reason.BUSY: (texts.busy, True),
        Reason.LOCKED: (texts.mailbox_locked, True),
        Reason.MAILBOX: (texts.mailbox_broken, True),
        Reason.FORBIDDEN: (texts.forbidden, True),
    }
