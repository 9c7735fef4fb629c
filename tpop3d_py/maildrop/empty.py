"""The empty maildrop, for an account whose mailbox does not exist yet.

When things fail: nothing can.
"""

from __future__ import annotations

from collections.abc import Sequence

from tpop3d_py.contracts import Body, MessageGone, Reason


class Empty:
    """A maildrop without messages."""

    __slots__ = ()

    @property
    def sizes(self) -> Sequence[int]:
        """No sizes."""
        return ()

    @property
    def uids(self) -> Sequence[bytes]:
        """No identifiers."""
        return ()

    def open(self, index: int) -> Body:
        """Refuse: there is no message."""
        raise MessageGone(Reason.UNAVAILABLE, f"an empty mailbox has no message {index}")

    def commit(self, deleted: Sequence[int], retrieved: Sequence[int]) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""
