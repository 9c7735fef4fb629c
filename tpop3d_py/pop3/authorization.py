"""The AUTHORIZATION state: who is there, and may they come in.

Rules: a name is one word; a password is everything behind one blank after PASS,
blanks kept, since people have such passwords.  USER's answer does not tell whether the
name exists.  PASS, APOP and AUTH hand what they got to the login port and wait; a refused
login forgets the name.  PASS without USER is ``-ERR``: the ancestor said ``+OK What's
your name?`` there, which to a mail program means "logged in" (RFC 1939 section 7).

STLS makes a new state of this one: everything the client said is forgotten, its name
above all (RFC 2595 section 4); only its wrong logins stay counted.

When things fail: see `refusals`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import ClassVar

from tpop3d_py.contracts import Credentials, Login, Mechanism, Peer, Reason, Refusal
from tpop3d_py.pop3 import mechanisms, xclient
from tpop3d_py.pop3.capabilities import capability_lines
from tpop3d_py.pop3.commands import Command
from tpop3d_py.pop3.languages import Speech, lang
from tpop3d_py.pop3.mistakes import Mistake
from tpop3d_py.pop3.profile import Profile
from tpop3d_py.pop3.refusals import Refusals
from tpop3d_py.pop3.replies import Reply, Then
from tpop3d_py.pop3.sasl import CANCEL, EMPTY, Ask, Check, Confirm, Dialog, challenge
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
        speech: the session's language.
        secure: whether the connection is inside TLS.
    """

    __slots__ = (
        "_dialog",
        "_login",
        "_named",
        "_peer",
        "_profile",
        "_refusals",
        "_secure",
        "_speech",
        "_timestamp",
        "user",
    )

    def __init__(
        self, peer: Peer, login: Login, timestamp: bytes, profile: Profile, speech: Speech, *, secure: bool
    ) -> None:
        self._peer = peer
        self._login = login
        self._timestamp = timestamp
        self._profile = profile
        self._speech = speech
        self._secure = secure
        self._named = False
        self._dialog: Dialog | None = None
        self._refusals = Refusals()
        self.user = ""

    def inside_tls(self) -> Authorization:
        """Return the state that follows STLS."""
        mine = self._peer, self._login, self._timestamp, self._profile, self._speech
        state = Authorization(*mine, secure=True)
        state._refusals = self._refusals
        self._speech.reset()
        return state

    def introduce(self, peer: Peer, profile: Profile) -> None:
        """Go on with what TLS has told of the client, and with the profile of its certificate."""
        self._peer, self._profile = peer, profile

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
    def secure(self) -> bool:
        """Whether the connection is inside TLS."""
        return self._secure

    @property
    def challenged(self) -> bool:
        """Whether the next line is a SASL response, which holds a secret, and not a command."""
        return self._dialog is not None

    def cancel(self) -> Reply | None:
        """Forget the exchange; return the refusal that it was about to end with, if there is one."""
        refusal = self._dialog.refusal if self._dialog is not None else None
        self._dialog = None
        return refusal

    def respond(self, response: bytes) -> Reply:
        """Take the response to a challenge.

        Raises:
            Mistake: the client cancels, or the response is not what the mechanism asks for.
        """
        assert self._dialog is not None  # else there is nothing to respond to
        if response == CANCEL and self._dialog.refusal is None:
            self.cancel()
            raise Mistake(self._texts.login_canceled)
        return self._go_on(self._dialog, response)

    def release(self) -> None:
        """Give up; there is nothing to close yet."""

    def challenge(self, octets: bytes) -> Reply:
        """Pass on what the login that was under way wants the client to hear first."""
        assert self._dialog is not None  # nothing else is challenged
        return self._dialog.challenged(octets)

    def refused(self, refusal: Refusal) -> Reply:
        """Answer the login that was under way, which did not succeed."""
        self._named = False
        reply = self._refusals.answer(refusal, self._texts, self._profile)
        wrong = refusal.reason is Reason.CREDENTIALS
        if wrong and self._dialog is not None and (told := self._dialog.refuse(reply)) is not None:
            return told
        self.cancel()
        return reply

    # --- the commands -----------------------------------------------------

    def _user(self, command: Command) -> Reply:
        if not self._profile.takes_passwords(self._secure):
            return self._no_passwords()
        (name,) = self._words(1, command)
        if self._named:
            raise Mistake(self._texts.name_already_given)
        self._named = True
        self.user = _text(name)
        return Reply(True, self._texts.name_accepted)

    def _pass(self, command: Command) -> Reply:
        if not self._profile.takes_passwords(self._secure):
            return self._no_passwords()
        password = command.rest
        if password is None and self._profile.permit_empty_password:
            password = b""
        if password is None:
            raise Mistake(self._texts.wrong_words)
        if not self._named:
            raise Mistake(self._texts.name_wanted)
        return self._begin(Mechanism.PASSWORD, password)

    def _no_passwords(self) -> Reply:
        """Refuse a password; the ancestor closes, so that the next command cannot be the password itself."""
        if self._profile.apop_only:
            return Reply(False, self._texts.use_apop, then=Then.CLOSE)
        raise Mistake(self._texts.first_tls)

    def _apop(self, command: Command) -> Reply:
        name, digest = self._words(2, command)
        if len(digest) != _DIGEST_LENGTH:
            raise Mistake(self._texts.digest_length)
        if not _HEX.match(digest):
            raise Mistake(self._texts.digest_not_hex)
        self.user = _text(name)
        return self._begin(Mechanism.APOP, digest.lower(), self._timestamp)

    def _auth(self, command: Command) -> Reply:
        name, *initial = command.words or [b""]
        name = name.upper()
        exchange = mechanisms.begin(name, self._profile, self._secure)
        if exchange is None:
            waits = mechanisms.waits_for_tls(name, self._profile, self._secure)
            raise Mistake(self._texts.first_tls if waits else self._texts.unknown_mechanism)
        if len(initial) > 1:
            raise Mistake(self._texts.wrong_words)
        self._dialog = Dialog(exchange)
        if not initial:
            return self._dialog.open()
        return self._go_on(self._dialog, b"" if initial[0] == EMPTY else initial[0])

    def _go_on(self, dialog: Dialog, response: bytes) -> Reply:
        match dialog.respond(response):
            case Ask(octets):
                return challenge(octets)
            case Check() as check:
                return self._check(check)
            case Confirm():
                self._login.confirm()
                return Reply(True, b"", then=Then.WAIT)
        refusal = self.cancel()
        if refusal is None:
            raise Mistake(self._texts.bad_response)
        return refusal

    def _check(self, check: Check) -> Reply:
        self.user = _text(check.user)
        return self._begin(check.mechanism, check.secret, b"", check.exchange, check.binding)

    def _capa(self, command: Command) -> Reply:
        self._words(0, command)
        listing = capability_lines(self._profile, secure=self._secure, logged_in=False)
        return Reply(True, self._texts.capabilities, listing=listing)

    def _stls(self, command: Command) -> Reply:
        self._words(0, command)
        if self._secure:
            raise Mistake(self._texts.already_tls)
        if not self._profile.stls:
            raise Mistake(self._texts.no_tls)
        return Reply(True, self._texts.begin_tls, then=Then.START_TLS)

    def _xclient(self, command: Command) -> Reply:
        if not self._profile.xclient:
            raise Mistake(self._texts.unknown_command)
        peer = xclient.introduced(self._peer, command)
        if peer is None:
            raise Mistake(self._texts.wrong_words)
        self._peer, self._named, self.user = peer, False, ""
        self._login.introduce(peer)
        return xclient.updated()

    def _utf8(self, command: Command) -> Reply:
        self._words(0, command)
        self._speech.allow_utf8()
        return Reply(True, self._texts.utf8_enabled)

    def _lang(self, command: Command) -> Reply:
        return lang(command, self._speech, self._texts.wrong_words)

    def _quit(self, command: Command) -> Reply:
        self._words(0, command)
        return Reply(True, self._texts.quit_before_login, then=Then.CLOSE)

    # --- what they share --------------------------------------------------

    @property
    def _texts(self) -> Texts:
        return self._speech.texts

    def _words(self, count: int, command: Command) -> list[bytes]:
        words = command.words
        # Two blanks in a row enclose an empty word, which is nobody's name.
        if len(words) != count or b"" in words:
            raise Mistake(self._texts.wrong_words)
        return words

    def _begin(
        self,
        mechanism: Mechanism,
        secret: bytes,
        timestamp: bytes = b"",
        exchange: tuple[bytes, ...] = (),
        binding: bytes = b"",
    ) -> Reply:
        credentials = Credentials(mechanism, self.user, secret, timestamp, self._peer, exchange, binding)
        self._login.begin(credentials)
        return Reply(True, b"", then=Then.WAIT)

    table: ClassVar[dict[bytes, Callable[[Authorization, Command], Reply]]] = {
        b"USER": _user,
        b"PASS": _pass,
        b"APOP": _apop,
        b"AUTH": _auth,
        b"CAPA": _capa,
        b"STLS": _stls,
        b"XCLIENT": _xclient,
        b"UTF8": _utf8,
        b"LANG": _lang,
        b"QUIT": _quit,
    }


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
