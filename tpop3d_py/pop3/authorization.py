"""The AUTHORIZATION state: who is there, and may they come in.

Rules: a name is one word; a password is everything behind one blank after PASS,
blanks kept, since people have such passwords.  USER's answer does not tell whether the
name exists.  PASS and APOP hand what they got to the login port and wait; a refused
login forgets the name.  PASS without USER is ``-ERR``: the ancestor said ``+OK What's
your name?`` there, which to a mail program means "logged in" (RFC 1939 section 7).

When things fail: wrong logins are slowed down and the last one allowed closes the
connection; a login that could not be checked is no wrong login and is not slowed down, but as
many of them close it too; a mailbox that cannot be had closes it at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import ClassVar

from tpop3d_py.contracts import Credentials, Login, Mechanism, Peer, Reason, Refusal
from tpop3d_py.pop3.capabilities import capability_lines
from tpop3d_py.pop3.commands import Command
from tpop3d_py.pop3.mistakes import Mistake
from tpop3d_py.pop3.profile import Profile
from tpop3d_py.pop3.replies import Reply, Then
from tpop3d_py.pop3.sasl import CANCEL, EMPTY, MECHANISMS, plain_login
from tpop3d_py.pop3.texts import Texts
from tpop3d_py.pop3.transaction import Transaction

_HEX = re.compile(rb"[0-9A-Fa-f]+\Z")
_DIGEST_LENGTH = 32  # MD5 in hexadecimal, RFC 1939 section 7 (APOP)


class Authorization:
    """A connection that has not logged in.

    Args:
        peer: both ends of it.
        login: asked to check credentials.
        timestamp: the greeting's, with its angle brackets.
        profile: the listener's.
    """

    __slots__ = (
        "_challenged",
        "_login",
        "_named",
        "_peer",
        "_profile",
        "_texts",
        "_timestamp",
        "_unchecked",
        "_wrong",
        "user",
    )

    def __init__(self, peer: Peer, login: Login, timestamp: bytes, profile: Profile) -> None:
        self._peer = peer
        self._login = login
        self._timestamp = timestamp
        self._profile = profile
        self._texts = profile.texts
        self._named = False
        self._challenged = False
        self._wrong = 0
        self._unchecked = 0
        self.user = ""

    def handle(self, command: Command) -> Reply:
        """Obey one command.

        Raises:
            Mistake: it cannot be obeyed as it was sent, or not before a login.
        """
        handler = self.table.get(command.verb)
        if handler is not None:
            return handler(self, command)
        known = command.verb in Transaction.table
        raise Mistake(self._texts.first_log_in if known else self._texts.unknown_command)

    @property
    def challenged(self) -> bool:
        """Whether the next line is a SASL response, which holds a secret, and not a command."""
        return self._challenged

    def cancel(self) -> None:
        """Forget the challenge: what came instead of a response was no line at all."""
        self._challenged = False

    def respond(self, response: bytes) -> Reply:
        """Take the response to a challenge.

        Raises:
            Mistake: the client cancels, or the response is not what the mechanism asks for.
        """
        self._challenged = False
        if response == CANCEL:
            raise Mistake(self._texts.login_canceled)
        return self._plain(response)

    def release(self) -> None:
        """Give up; there is nothing to close yet."""

    def refused(self, refusal: Refusal) -> Reply:
        """Answer the login that was under way, which did not succeed."""
        self._named = False
        if refusal.reason is Reason.CREDENTIALS:
            return self._wrong_login()
        text, closes = _refusal_texts(self._texts)[refusal.reason]
        self._unchecked += 1
        closes = closes or self._unchecked >= self._profile.login_attempts
        return Reply(False, text, refusal.reason.code, then=Then.CLOSE if closes else Then.CONTINUE)

    def _wrong_login(self) -> Reply:
        self._wrong += 1
        reply = Reply(False, self._texts.wrong_login, Reason.CREDENTIALS.code)
        reply.delay = self._profile.failed_login_delay
        if self._wrong >= self._profile.login_attempts:
            reply.text = self._texts.too_many_logins
            reply.then = Then.CLOSE
        return reply

    # --- the commands -----------------------------------------------------

    def _user(self, command: Command) -> Reply:
        (name,) = self._words(1, command)
        if self._named:
            raise Mistake(self._texts.name_already_given)
        self._named = True
        self.user = _text(name)
        return Reply(True, self._texts.name_accepted)

    def _pass(self, command: Command) -> Reply:
        if command.rest is None:
            raise Mistake(self._texts.wrong_words)
        if not self._named:
            raise Mistake(self._texts.name_wanted)
        return self._begin(Mechanism.PASSWORD, command.rest, b"")

    def _apop(self, command: Command) -> Reply:
        name, digest = self._words(2, command)
        if len(digest) != _DIGEST_LENGTH:
            raise Mistake(self._texts.digest_length)
        if not _HEX.match(digest):
            raise Mistake(self._texts.digest_not_hex)
        self.user = _text(name)
        return self._begin(Mechanism.APOP, digest.lower(), self._timestamp)

    def _auth(self, command: Command) -> Reply:
        mechanism, *initial = command.words or [b""]
        if mechanism.upper() not in MECHANISMS:
            raise Mistake(self._texts.unknown_mechanism)
        if len(initial) > 1:
            raise Mistake(self._texts.wrong_words)
        if initial:
            return self._plain(b"" if initial[0] == EMPTY else initial[0])
        self._challenged = True
        return Reply(True, b"", challenge=True)

    def _plain(self, response: bytes) -> Reply:
        login = plain_login(response)
        if login is None:
            raise Mistake(self._texts.bad_response)
        self.user = _text(login.user)
        return self._begin(Mechanism.PASSWORD, login.password, b"")

    def _capa(self, command: Command) -> Reply:
        self._words(0, command)
        return Reply(True, self._texts.capabilities, listing=capability_lines(self._profile))

    def _stls(self, command: Command) -> Reply:
        self._words(0, command)
        raise Mistake(self._texts.no_tls)

    def _quit(self, command: Command) -> Reply:
        self._words(0, command)
        return Reply(True, self._texts.quit_before_login, then=Then.CLOSE)

    # --- what they share --------------------------------------------------

    def _words(self, count: int, command: Command) -> list[bytes]:
        words = command.words
        # Two blanks in a row enclose an empty word, which is nobody's name.
        if len(words) != count or b"" in words:
            raise Mistake(self._texts.wrong_words)
        return words

    def _begin(self, mechanism: Mechanism, secret: bytes, timestamp: bytes) -> Reply:
        self._login.begin(Credentials(mechanism, self.user, secret, timestamp, self._peer))
        return Reply(True, b"", then=Then.WAIT)

    table: ClassVar[dict[bytes, Callable[[Authorization, Command], Reply]]] = {
        b"USER": _user,
        b"PASS": _pass,
        b"APOP": _apop,
        b"AUTH": _auth,
        b"CAPA": _capa,
        b"STLS": _stls,
        b"QUIT": _quit,
    }


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _refusal_texts(texts: Texts) -> dict[Reason, tuple[bytes, bool]]:
    """Say for each reason but wrong credentials what is answered, and whether that ends the connection."""
    return {
        Reason.UNAVAILABLE: (texts.login_unavailable, False),
        Reason.BUSY: (texts.busy, True),
        Reason.LOCKED: (texts.mailbox_locked, True),
        Reason.MAILBOX: (texts.mailbox_broken, True),
        Reason.FORBIDDEN: (texts.forbidden, True),
    }
