"""The TRANSACTION state: an open maildrop and the marks of this session.

Rules: numbers count from 1 on the wire and from 0 here; sizes and identifiers are the
maildrop's.  A deletion is a mark until QUIT, which is the UPDATE state and the only
thing that commits; every other end changes nothing (RFC 1939 section 6).  A message is
opened before ``+OK`` is said, and read after; it counts as retrieved once RETR has
streamed it to its end.  Lists are made without a Python loop per message, and
long ones as they are sent.

When things fail: a mistake is a `Mistake`; a message that has gone or cannot be read,
and an update that did not succeed, are ``-ERR`` with the reason's code and the detail
for the log, except that codes which only speak of logins become SYS/TEMP.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import compress
from operator import not_
from typing import ClassVar

from tpop3d_py.contracts import Body, Maildrop, MaildropError, MessageGone, ResponseCode, Whole
from tpop3d_py.pop3.bodies import LongList, Retrieval, Top
from tpop3d_py.pop3.commands import Command
from tpop3d_py.pop3.counters import Counters
from tpop3d_py.pop3.languages import Speech, lang
from tpop3d_py.pop3.mistakes import Mistake
from tpop3d_py.pop3.numbers import line_count, message_index
from tpop3d_py.pop3.replies import Reply, Then
from tpop3d_py.pop3.texts import Texts

#: Lines that a list of one piece may have.
_LONGEST_LISTING = 1000

_listing_line = b"%d %d\r\n".__mod__
_id_line = b"%d %b\r\n".__mod__


class Transaction:
    """One maildrop, open.

    Args:
        user: the name given, for the log.
        maildrop: closed by `release` and by QUIT.
        capabilities: what CAPA lists, one line each with its CRLF.
        speech: the session's language.
        counters: the session's, counted on here.

    Raises:
        MaildropError: the maildrop's sizes cannot be told.
    """

    __slots__ = (
        "_body",
        "_capabilities",
        "_counters",
        "_kept",
        "_kept_count",
        "_kept_octets",
        "_maildrop",
        "_retrieved",
        "_sizes",
        "_speech",
        "user",
    )
    #: The next line is never a SASL response.
    challenged = False

    def __init__(
        self, user: str, maildrop: Maildrop, capabilities: bytes, speech: Speech, counters: Counters
    ) -> None:
        self.user = user
        self._maildrop = maildrop
        self._capabilities = capabilities
        self._speech = speech
        self._counters = counters
        self._sizes: Sequence[int] = maildrop.sizes
        self._retrieved = bytearray(len(self._sizes))
        self._body: Body | None = None
        self._keep_all()

    @property
    def welcome(self) -> bytes:
        """The text that greets a user who has just logged in."""
        if not self._kept_count:
            return self._texts.welcome_empty
        return self._texts.welcome.of(self._kept_count)

    @property
    def any_deleted(self) -> bool:
        """Whether QUIT would remove a message."""
        return self._kept_count < len(self._sizes)

    def handle(self, command: Command) -> Reply:
        """Obey one command.

        Raises:
            Mistake: it cannot be obeyed as it was sent.
        """
        handler = self.table.get(command.verb)
        if handler is None:
            raise Mistake(self._texts.unknown_command)
        try:
            return handler(self, command)
        except MessageGone as gone:
            return Reply(False, self._texts.message_gone, detail=gone.detail)
        except MaildropError as trouble:
            return _failure(self._texts.cannot_send, trouble)

    def release(self) -> None:
        """Close the message being sent and the maildrop, changing nothing."""
        if self._body is not None:
            self._body.close()
            self._body = None
        self._maildrop.close()

    # --- the commands -----------------------------------------------------

    def _stat(self, command: Command) -> Reply:
        self._no_words(command)
        return Reply(True, b"%d %d" % (self._kept_count, self._kept_octets))

    def _list(self, command: Command) -> Reply:
        if words := self._at_most(1, command):
            index = self._index(words[0])
            return Reply(True, b"%d %d" % (index + 1, self._sizes[index]))
        return self._listing(self._texts.scan_list, _listing_line, self._sizes)

    def _uidl(self, command: Command) -> Reply:
        if words := self._at_most(1, command):
            index = self._index(words[0])
            return Reply(True, b"%d %b" % (index + 1, self._maildrop.uids[index]))
        return self._listing(self._texts.id_list, _id_line, self._maildrop.uids)

    def _retr(self, command: Command) -> Reply:
        words = self._at_most(1, command)
        if not words:
            raise Mistake(self._texts.which_to_retrieve)
        index = self._index(words[0])
        body = self._open(index)
        if type(body) is Whole:
            self._was_retrieved(index)
        else:
            body = Retrieval(body, lambda: self._was_retrieved(index))
        return Reply(True, self._texts.message_follows, body=body)

    def _top(self, command: Command) -> Reply:
        words = self._at_most(2, command)
        if not words:
            raise Mistake(self._texts.which_to_top)
        index = self._index(words[0])
        if len(words) == 1:
            raise Mistake(self._texts.how_many_lines)
        lines = line_count(words[1])
        if lines is None:
            raise Mistake(self._texts.bad_line_count)
        return Reply(True, self._texts.message_follows, body=Top(self._open(index), lines))

    def _dele(self, command: Command) -> Reply:
        words = self._at_most(1, command)
        if not words:
            raise Mistake(self._texts.which_to_delete)
        index = self._index(words[0])
        self._kept[index] = 0
        self._kept_count -= 1
        self._kept_octets -= self._sizes[index]
        return Reply(True, self._texts.done)

    def _rset(self, command: Command) -> Reply:
        self._no_words(command)
        self._keep_all()
        return Reply(True, self._texts.done)

    def _noop(self, command: Command) -> Reply:
        self._no_words(command)
        return Reply(True, self._texts.still_here)

    def _last(self, command: Command) -> Reply:
        raise Mistake(self._texts.last_removed)

    def _capa(self, command: Command) -> Reply:
        self._no_words(command)
        return Reply(True, self._texts.capabilities, listing=self._capabilities)

    def _stls(self, command: Command) -> Reply:
        raise Mistake(self._texts.too_late_for_tls)

    def _utf8(self, command: Command) -> Reply:
        raise Mistake(self._texts.too_late_for_utf8)  # RFC 6856 section 2.1

    def _lang(self, command: Command) -> Reply:
        return lang(command, self._speech, self._texts.extra_argument)

    def _quit(self, command: Command) -> Reply:
        """Enter the UPDATE state (RFC 1939 section 6); the maildrop is closed before the reply is sent."""
        self._no_words(command)
        deleted = self._marked(map(not_, self._kept)) if self.any_deleted else []
        try:
            self._maildrop.commit(deleted, self._marked(self._retrieved))
        except MaildropError as trouble:
            reply = _failure(self._texts.update_failed, trouble)
            reply.then = Then.CLOSE
            return reply
        finally:
            self.release()
        self._counters.deleted = len(deleted)
        return Reply(True, self._texts.goodbye, then=Then.CLOSE)

    # --- what they share --------------------------------------------------

    @property
    def _texts(self) -> Texts:
        return self._speech.texts

    def _no_words(self, command: Command) -> None:
        if command.rest:
            self._at_most(0, command)

    def _at_most(self, count: int, command: Command) -> list[bytes]:
        words = command.words
        if len(words) > count:
            texts = self._texts
            raise Mistake(texts.extra_argument if len(words) <= 2 else texts.too_many_arguments)
        return words

    def _index(self, word: bytes) -> int:
        index = message_index(word, len(self._sizes))
        if index is None:
            raise Mistake(self._texts.bad_number)
        if not self._kept[index]:
            raise Mistake(self._texts.message_deleted)
        return index

    def _listing(
        self, text: bytes, line: Callable[[tuple[int, object]], bytes], column: Sequence[object]
    ) -> Reply:
        lines = map(line, compress(enumerate(column, 1), self._kept))
        # A list of ids may take 80 octets a message: a client slow to read it must not cost megabytes.
        if self._kept_count > _LONGEST_LISTING:
            return Reply(True, text, body=LongList(lines))
        return Reply(True, text, listing=b"".join(lines))

    def _marked(self, marks: Iterable[int]) -> list[int]:
        return list(compress(range(len(self._sizes)), marks))

    def _keep_all(self) -> None:
        self._kept = bytearray(b"\1") * len(self._sizes)
        self._kept_count = len(self._sizes)
        self._kept_octets = sum(self._sizes)

    def _open(self, index: int) -> Body:
        # Remembered, so that a connection lost in the middle of a message releases it in any case.
        self._body = self._maildrop.open(index)
        return self._body

    def _was_retrieved(self, index: int) -> None:
        self._retrieved[index] = 1
        self._counters.retrieved += 1
        self._counters.octets += self._sizes[index]

    table: ClassVar[dict[bytes, Callable[[Transaction, Command], Reply]]] = {
        b"STAT": _stat,
        b"LIST": _list,
        b"UIDL": _uidl,
        b"RETR": _retr,
        b"TOP": _top,
        b"DELE": _dele,
        b"RSET": _rset,
        b"NOOP": _noop,
        b"LAST": _last,
        b"CAPA": _capa,
        b"STLS": _stls,
        b"UTF8": _utf8,
        b"LANG": _lang,
        b"QUIT": _quit,
    }


def _failure(text: bytes, trouble: MaildropError) -> Reply:
    code = trouble.reason.code
    # The other codes may only answer an attempt to log in (RFC 2449 section 8.1, RFC 3206 section 4).
    if code is not ResponseCode.SYS_PERM:
        code = ResponseCode.SYS_TEMP
    return Reply(False, text, code, detail=trouble.detail)
