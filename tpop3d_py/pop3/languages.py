"""The language a session speaks, and LANG and UTF8 (RFC 6856), which change it.

Rules: until the client asks, texts are the listener's catalog in ASCII (RFC 6856
section 3 wants "i-default", which RFC 2277 makes a text that anybody can display).
UTF8 allows UTF-8 in them; LANG does too, and chooses.  LANG's answers name the language
they are in.  A client's tag is looked up by RFC 4647 section 3.4, so that pl-PL finds pl; it is never echoed.

When things fail: an unknown tag is a `Mistake`; the language stays as it is.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from tpop3d_py.pop3.commands import Command
from tpop3d_py.pop3.mistakes import Mistake
from tpop3d_py.pop3.replies import Reply
from tpop3d_py.pop3.texts import Texts, in_ascii
from tpop3d_py.pop3.texts_en import CLASSIC, POLITE
from tpop3d_py.pop3.texts_pl import POLISH

#: What the configuration calls the catalogs.
CATALOGS = {"classic": CLASSIC, "polite": POLITE, "polish": POLISH}

DEFAULT = b"i-default"
#: What a session may be in.
TAGS = (DEFAULT, b"en", b"pl")
_LISTED = ((b"en", "English"), (b"pl", "polski"), (DEFAULT, "English"))
LISTING = b"".join(b"%b %b\r\n" % (tag, name.encode()) for tag, name in _LISTED)


@dataclass(frozen=True, slots=True)
class Languages:
    """The catalogs of one listener; made once, shared by its sessions.

    Args:
        preferred: what the listener speaks.
        ascii: the same without anything but ASCII.
        by_tag: what LANG finds.
    """

    preferred: Texts
    ascii: Texts
    by_tag: dict[bytes, Texts]


@functools.cache
def languages_of(preferred: Texts) -> Languages:
    """Gather the catalogs of a listener; who is not teased in Polish is not teased in English either."""
    english = preferred if preferred.tag == b"en" else POLITE
    by_tag = {b"en": english, b"pl": POLISH, DEFAULT: in_ascii(english)}
    return Languages(preferred, in_ascii(preferred), by_tag)


class Speech:
    """What one session says at the moment."""

    __slots__ = ("_chosen", "_languages", "_tag", "texts")

    def __init__(self, languages: Languages) -> None:
        self._languages = languages
        self.reset()

    def reset(self) -> None:
        """Forget what the client asked for, as STLS does."""
        self._chosen = False
        self._tag = DEFAULT
        self.texts = self._languages.ascii

    @property
    def carried(self) -> tuple[bool, int, bool]:
        """What `carry_on` needs elsewhere: whether chosen, the tag's place in `TAGS`, whether preferred."""
        return self._chosen, TAGS.index(self._tag), self.texts is self._languages.preferred

    def carry_on(self, chosen: bool, tag: int, preferred: bool) -> None:
        """Go on in the language of a session in another process.

        Raises:
            ValueError: there is no such language.
        """
        if tag >= len(TAGS):
            raise ValueError("an unknown language")
        self._chosen, self._tag = chosen, TAGS[tag]
        if preferred:
            self.texts = self._languages.preferred
        elif chosen:
            self.texts = self._languages.by_tag[self._tag]

    def allow_utf8(self) -> None:
        """Use UTF-8 from now on; a language that was chosen stays."""
        if not self._chosen:
            self.texts = self._languages.preferred

    def choose(self, wanted: bytes) -> bytes:
        """Change the language; return the text that says so, behind its tag.

        Args:
            wanted: a language tag, or ``*`` for what the server likes best.

        Raises:
            Mistake: the language is not known.
        """
        tag = self._languages.preferred.tag if wanted == b"*" else _look_up(wanted, self._languages.by_tag)
        if tag is None:
            raise Mistake(self._tagged(self.texts.language_unknown))
        self._chosen = True
        self._tag = tag
        self.texts = self._languages.preferred if wanted == b"*" else self._languages.by_tag[tag]
        return self._tagged(self.texts.language_changed)

    def _tagged(self, text: bytes) -> bytes:
        return b"%b %b" % (self._tag, text)


def lang(command: Command, speech: Speech, wrong_words: bytes) -> Reply:
    """Obey LANG, which both states know: list the languages, or change to one.

    Args:
        command: the command.
        speech: the session's language.
        wrong_words: the state's answer to arguments that make no sense.

    Raises:
        Mistake: it cannot be obeyed as it was sent.
    """
    words = command.words
    if not words:
        return Reply(True, speech.texts.languages, listing=LISTING)
    if len(words) > 1 or not words[0]:
        raise Mistake(wrong_words)
    return Reply(True, speech.choose(words[0]))


def _look_up(wanted: bytes, known: dict[bytes, Texts]) -> bytes | None:
    """Find the longest known tag that a wanted one begins with."""
    tag = wanted.lower()
    while tag and tag not in known:
        tag = tag.rpartition(b"-")[0]
    return tag or None
