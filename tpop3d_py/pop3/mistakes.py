"""The client's mistakes, apart from refusals and from our own failures.

A handler raises `Mistake`; the session turns it into ``-ERR``, and counts it.
"""

from __future__ import annotations


class Mistake(Exception):
    """A command that cannot be obeyed as it was sent.

    Args:
        text: the catalog's answer.
    """

    def __init__(self, text: bytes) -> None:
        super().__init__(text)
        self.text = text
