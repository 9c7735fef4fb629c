"""Turns a line into a command: a verb and what follows it.

Rules (RFC 1939 section 3): the verb is case-insensitive; words are separated by
single blanks, so that two blanks in a row enclose an empty word, which no command
accepts; commands are printable ASCII.  Two liberties: blanks before the verb and
behind the last word are ignored, as the ancestor did, since they cannot change
what is meant; and USER, PASS and APOP may carry octets above 127, because names and
passwords in UTF-8 exist (RFC 6856 section 2.2) and so do older ones.  NUL and the other control octets,
DEL among them, are refused wherever they stand.

When things fail: `parse` returns None for a line with forbidden octets.  Whether the
verb exists and its words make sense is for the state's table to say.
"""

from __future__ import annotations

from typing import NamedTuple

_CONTROLS = bytes([*range(32), 127])
_MAY_BE_8BIT = frozenset({b"USER", b"PASS", b"APOP"})


class Command(NamedTuple):
    """One command.

    Args:
        verb: upper-cased first word.
        rest: everything behind the one blank after the verb, blanks kept; None if there is no such blank.
    """

    verb: bytes
    rest: bytes | None

    @property
    def words(self) -> list[bytes]:
        """The arguments, split at single blanks; blanks at the end of the line do not count."""
        argument = self.rest and self.rest.rstrip(b" ")
        return argument.split(b" ") if argument else []


def parse(line: bytes) -> Command | None:
    """Read one line, given without its line end; None if it holds octets no command may hold."""
    known = _PLAIN.get(line)
    if known is not None:
        return known
    verb, blank, rest = line.lstrip(b" ").partition(b" ")
    verb = verb.upper()
    # Deleting the forbidden octets and comparing lengths is the cheapest search for a set of octets.
    if len(line.translate(None, _CONTROLS)) != len(line):
        return None
    if not line.isascii() and verb not in _MAY_BE_8BIT:
        return None
    return Command(verb, rest if blank else None)


#: What most lines are, read already.
_PLAIN = {verb: Command(verb, None) for verb in (b"STAT", b"LIST", b"UIDL", b"QUIT", b"CAPA", b"NOOP")}
