"""One POP3 session: a line in, a Reply out.

Rules: the shell calls `receive` once per line, sends the reply, and does what
`reply.then` says; after WAIT it reads nothing until it has called `login_finished`, after
START_TLS it forgets what it has read and calls `tls_started`, and after CLOSE it calls nothing
but `connection_lost`.  The state objects know the commands;
here are the turns between states, the count of mistakes, and the end.

When things fail: no octets of a client make anything here raise; what nobody foresaw
is not caught, so that the shell can log it, and `connection_lost` then releases the
maildrop.  However a session ends, its maildrop is closed, even one whose login
succeeds after the client has gone; only QUIT applies deletions.  Calls out of turn raise `RuntimeError`.
"""

from __future__ import annotations

from enum import Enum

from tpop3d_py.contracts import Challenge, Login, Maildrop, MaildropError, Peer, Refusal
from tpop3d_py.pop3.authorization import Authorization
from tpop3d_py.pop3.capabilities import capability_lines
from tpop3d_py.pop3.commands import parse
from tpop3d_py.pop3.counters import Counters
from tpop3d_py.pop3.handover import Carried
from tpop3d_py.pop3.languages import CATALOGS, Speech
from tpop3d_py.pop3.lines import Expected
from tpop3d_py.pop3.mistakes import Mistake
from tpop3d_py.pop3.profile import Profile
from tpop3d_py.pop3.replies import Reply, Then
from tpop3d_py.pop3.transaction import Transaction
from tpop3d_py.pop3.xclient import MARK

_IN_DOMAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_:")
_DOMAIN_TABLE = bytes(octet if octet in _IN_DOMAIN else ord("-") for octet in range(256))
_LONGEST_DOMAIN = 255


class Ending(Enum):
    """Why a session ended, for the log."""

    QUIT = "quit"
    UPDATE_FAILED = "quit, but not everything could be removed"
    REFUSED = "login refused"
    ERRORS = "too many errors"
    IDLE = "idle for too long"
    LOST = "connection lost"


class Session:
    """The protocol side of one connection.

    Args:
        peer: both ends of it.
        login: the port that checks credentials.
        stamp: 32 hexadecimal digits that no other greeting had (RFC 1939 section 7, APOP).
        profile: the listener's.
        secure: whether the connection begins inside TLS (RFC 8314).
    """

    __slots__ = ("_ending", "_greeting", "_profile", "_speech", "_state", "_waiting", "counters", "logged_in")

    def __init__(
        self, peer: Peer, login: Login, stamp: bytes, profile: Profile, *, secure: bool = False
    ) -> None:
        self._greeting = b"<%b@%b>" % (stamp, _domain(peer.domain))
        self._profile = profile
        self._speech = Speech(profile.languages)
        self._state: Authorization | Transaction = Authorization(
            peer, login, self._greeting, profile, self._speech, secure=secure
        )
        self._waiting = False
        self._ending: Ending | None = None
        #: Whether a login has succeeded.
        self.logged_in = False
        self.counters = Counters()

    @property
    def user(self) -> str:
        """The name last given, as sent (`log.printable` before it is logged); empty if none was."""
        return self._state.user

    @property
    def expected(self) -> Expected:
        """What the next line is; a SASL response must not be logged."""
        if self.logged_in:
            return Expected.COMMAND
        return Expected.RESPONSE if self._state.challenged else Expected.LOGIN

    def would_commit(self, line: bytes) -> bool:
        """Tell whether a line is the QUIT that removes messages."""
        if self._ending is not None or not isinstance(self._state, Transaction):
            return False
        command = parse(line)
        return command is not None and command.verb == b"QUIT" and self._state.any_deleted

    @property
    def ending(self) -> Ending | None:
        """Why the session ended; None while it goes on."""
        return self._ending

    def greeting(self) -> Reply:
        """Return the reply that opens the connection; the stamp in it is what APOP digests."""
        return Reply(True, MARK + self._greeting if self._profile.xclient else self._greeting)

    def receive(self, line: bytes) -> Reply:
        """Answer one command line, given without its line end."""
        if self._waiting or self._ending is not None:
            self._check_turn(waiting=False)
        self.counters.commands += 1
        try:
            reply = self._obey(line)
        except Mistake as mistake:
            return self._mistaken(mistake.text)
        return reply if reply.then is Then.CONTINUE else self._settle(reply)

    def receive_too_long(self) -> Reply:
        """Answer a line that was over the limit."""
        self._check_turn(waiting=False)
        self.counters.commands += 1
        refusal = self._state.cancel() if isinstance(self._state, Authorization) else None
        if refusal is not None:
            return self._settle(refusal)
        return self._mistaken(self._speech.texts.line_too_long)

    def introduce(self, peer: Peer, profile: Profile) -> None:
        """Go on with what TLS has told of a client that has not logged in.

        Args:
            peer: the client, with the domain that goes with the name it asked for.
            profile: settings that go with the certificate it was shown.
        """
        if isinstance(self._state, Authorization):
            self._profile = profile
            self._state.introduce(peer, profile)

    def tls_started(self) -> None:
        """Begin anew inside TLS: of what was said before, only mistakes and wrong logins stay counted."""
        if not isinstance(self._state, Authorization) or self._state.secure:
            raise RuntimeError("TLS may start once, before a login")
        self._state = self._state.inside_tls()

    def carried(self) -> Carried:
        """Tell what another process needs to go on behind the login under way."""
        catalogs = tuple(CATALOGS.values())
        catalog = catalogs.index(self._profile.texts)
        chosen, tag, preferred = self._speech.carried
        bound, counters = bool(self._profile.binding), self.counters
        secure = isinstance(self._state, Authorization) and self._state.secure
        return Carried(catalog, bound, secure, chosen, tag, preferred, counters.commands, counters.errors)

    def carry_on(self, user: str, carried: Carried) -> None:
        """Be a session of another process that waits for its login to finish.

        Args:
            user: the name as sent.
            carried: from there; its profile is this session's already.

        Raises:
            ValueError: what was carried makes no sense.
        """
        self._speech.carry_on(carried.chosen, carried.tag, carried.preferred)
        self.counters.commands, self.counters.errors = carried.commands, carried.errors
        self._state.user, self._waiting = user, True

    def login_finished(self, outcome: Maildrop | Refusal | Challenge) -> Reply:
        """Answer the login under way; takes the maildrop over, whatever has happened meanwhile."""
        if self._ending is not None:
            return self._too_late(outcome)
        self._check_turn(waiting=True)
        self._waiting = False
        if isinstance(outcome, Refusal):
            return self._refuse(outcome)
        if isinstance(outcome, Challenge):
            assert isinstance(self._state, Authorization)  # only that state waits
            return self._state.challenge(outcome.octets)
        return self._enter(outcome)

    def timed_out(self) -> Reply:
        """Take leave of a client that has been idle for too long; nothing is deleted (RFC 1939 section 3)."""
        self._end(Ending.IDLE)
        return Reply(False, self._speech.texts.idle, then=Then.CLOSE)

    def connection_lost(self) -> None:
        """Release the maildrop and apply nothing; may be called at any time and more than once."""
        self._end(Ending.LOST)

    # --- how it works -----------------------------------------------------

    def _check_turn(self, *, waiting: bool) -> None:
        if self._ending is not None:
            raise RuntimeError("the session has ended")
        if self._waiting is not waiting:
            raise RuntimeError("a login is under way" if self._waiting else "no login is under way")

    def _obey(self, line: bytes) -> Reply:
        state = self._state
        if state.challenged:
            assert isinstance(state, Authorization)  # the other one never challenges
            return state.respond(line)
        command = parse(line)
        if command is None:
            raise Mistake(self._speech.texts.malformed_line)
        return state.handle(command)

    def _settle(self, reply: Reply) -> Reply:
        """Note what a reply does to the session."""
        if reply.then is Then.WAIT:
            self._waiting = True
        elif reply.then is Then.CLOSE:
            failed = Ending.UPDATE_FAILED if self.logged_in else Ending.REFUSED
            self._end(Ending.QUIT if reply.ok else failed)
        return reply

    def _mistaken(self, text: bytes) -> Reply:
        self.counters.errors += 1
        if self.counters.errors < self._profile.command_errors:
            return Reply(False, text)
        self._end(Ending.ERRORS)
        return Reply(False, self._speech.texts.too_many_errors, then=Then.CLOSE)

    def _enter(self, maildrop: Maildrop) -> Reply:
        try:
            assert isinstance(self._state, Authorization)  # only that state waits
            capabilities = capability_lines(self._profile, secure=self._state.secure, logged_in=True)
            state = Transaction(self.user, maildrop, capabilities, self._speech, self.counters)
        except MaildropError as trouble:
            maildrop.close()
            reply = self._refuse(Refusal(trouble.reason))
            reply.detail = trouble.detail
            return reply
        except BaseException:
            maildrop.close()
            raise
        self._state, self.logged_in = state, True
        return Reply(True, state.welcome)

    def _refuse(self, refusal: Refusal) -> Reply:
        assert isinstance(self._state, Authorization)  # only that state waits
        reply = self._state.refused(refusal)
        if reply.then is Then.CLOSE:
            self._end(Ending.REFUSED)
        return reply

    def _too_late(self, outcome: Maildrop | Refusal | Challenge) -> Reply:
        # The client left while its login was being checked: nobody else would ever close the mailbox.
        if not isinstance(outcome, Refusal | Challenge):
            outcome.close()
        return Reply(False, self._speech.texts.login_unavailable, then=Then.CLOSE)

    def _end(self, ending: Ending) -> None:
        if self._ending is None:
            self._ending = ending
            self._state.release()


def _domain(domain: str) -> bytes:
    """Make a domain fit for the greeting; a name from reverse DNS may hold anything."""
    octets = domain.encode("ascii", "replace").translate(_DOMAIN_TABLE)[:_LONGEST_DOMAIN]
    return octets or b"x.invalid"
