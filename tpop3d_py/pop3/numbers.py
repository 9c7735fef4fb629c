"""Numbers a client sends: the only place where octets become integers.

Rules: decimal digits on octets and nothing else.  `int()` would also take ``+1``,
``1_0``, blanks and foreign digits, and a fixed-width integer wraps (the ancestor took
``RETR 4294967297`` for message 1).

When things fail: None; which reply that is, the command knows.
"""

from __future__ import annotations

_ZERO = 48
#: Digits of a message number; more messages than that do not fit a maildrop.
_MESSAGE_DIGITS = 9
#: Digits of a line count; clients send 2147483647 and more to mean "all".
_LINE_DIGITS = 18


def message_index(word: bytes, count: int) -> int | None:
    """Turn a message number, from 1, into an index, from 0.

    Args:
        word: the octets as sent; leading zeros are refused, for they are a slip or a probe, never a need.
        count: number of messages, deleted ones included.
    """
    if not (word.isdigit() and len(word) <= _MESSAGE_DIGITS and word[0] != _ZERO):
        return None
    number = int(word)
    return number - 1 if number <= count else None


def line_count(word: bytes) -> int | None:
    """Read how many lines TOP is to send, from 0."""
    return int(word) if word.isdigit() and len(word) <= _LINE_DIGITS else None
