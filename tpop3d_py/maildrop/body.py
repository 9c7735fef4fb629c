"""An opened message: stored octets read in large steps and sent in canonical form.

The size that LIST told is a promise.  A body counts what it makes and compares before it hands out its
last chunk, so a message that changed under the session ends as an interrupted body and never as wrong
octets with a final dot.  A message of ordinary size is read, and its file closed, when it is opened, and of a
larger one the first chunk: what is wrong with it is found while the protocol can still answer ``-ERR``.

When things fail: `opened` and the constructor raise `MessageGone`, the iteration `BodyInterrupted`.
"""

from __future__ import annotations

from typing import Protocol

from tpop3d_py.contracts import Body, BodyInterrupted, MaildropError, MessageGone, Reason, Whole
from tpop3d_py.maildrop.files import Files, read_all
from tpop3d_py.maildrop.wire import WireFilter, to_wire

#: Stored octets per read; at most twice as many on the wire.  Half of it was measured 10 % slower, and what a
#: client that stops reading costs is one such piece.
_STEP = 128 * 1024
#: Stored octets of messages that are read whole.
_SMALL = 64 * 1024


class Source(Protocol):
    """Where the stored octets of one message come from."""

    def read(self, offset: int, length: int) -> bytes:
        """Return up to `length` octets at an offset within the message; fewer only if it is cut short.

        Raises:
            OSError: they cannot be read.
            MaildropError: the message is no longer the one of the snapshot.
        """

    def close(self) -> None:
        """Release what was held; may be called more than once."""


class FileSource:
    """A message that is a file of its own."""

    __slots__ = ("_fd", "_files")

    def __init__(self, files: Files, fd: int) -> None:
        self._files = files
        self._fd = fd

    def read(self, offset: int, length: int) -> bytes:
        """Return octets of the file."""
        return read_all(self._fd, length, offset)

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            self._files.close(self._fd)
            self._fd = -1


def opened(source: Source, length: int, size: int) -> Body:
    """Return the canonical octets of one message, whole if it is small.

    Args:
        source: the stored octets; closed by what is returned, and in any case when this raises.
        length: how many stored octets there are.
        size: how many canonical octets the snapshot promised.

    Raises:
        MessageGone: the message cannot be read, or is not as long as promised.
    """
    if length > _SMALL:
        return StoredBody(source, length, size)
    try:
        stored = source.read(0, length)
    except OSError as error:
        raise _gone(f"cannot be read: {error.strerror}") from error
    except MaildropError as error:
        raise _gone(error.detail) from error
    finally:
        source.close()
    if len(stored) != length:
        raise _gone("was cut short")
    octets = to_wire(stored)
    if len(octets) != size:
        raise _gone("is not as long as it was")
    return Whole(octets)


def _gone(what: str) -> MessageGone:
    return MessageGone(Reason.UNAVAILABLE, f"a message {what}")


class StoredBody:
    """The canonical octets of one message, in chunks.

    Args:
        source: the stored octets; closed by this object.
        length: how many stored octets there are.
        size: how many canonical octets the snapshot promised.

    Raises:
        MessageGone: the message cannot be read, or is not as long as promised.
    """

    __slots__ = ("_filter", "_first", "_left", "_offset", "_promised", "_source")

    def __init__(self, source: Source, length: int, size: int) -> None:
        self._source = source
        self._filter = WireFilter()
        self._offset = 0
        self._left = length
        self._promised = size
        try:
            self._first: bytes | None = self._make()
        except BodyInterrupted as broken:
            raise MessageGone(broken.reason, broken.detail) from broken
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> StoredBody:
        return self

    def __next__(self) -> bytes:
        chunk, self._first = self._first, None
        if chunk is None:
            chunk = self._make()
        if not chunk:
            raise StopIteration
        return chunk

    def close(self) -> None:
        """Release the file; a body closed too early can only end as an interrupted one."""
        self._source.close()

    def _make(self) -> bytes:
        """Read, filter and count one step; empty when all has been made."""
        if not self._left:
            if self._promised:
                raise self._broken("is not as long as it was")
            return b""
        chunk = self._filter.feed(self._step())
        if not self._left:
            chunk += self._filter.finish()
        self._promised -= len(chunk)
        if self._promised < 0 or (not self._left and self._promised):
            raise self._broken("is not as long as it was")
        if not self._left:
            self._source.close()
        return chunk

    def _step(self) -> bytes:
        wanted = min(self._left, _STEP)
        try:
            stored = self._source.read(self._offset, wanted)
        except OSError as error:
            raise self._broken(f"cannot be read: {error.strerror}") from error
        except MaildropError as error:
            raise self._broken(error.detail) from error
        if len(stored) != wanted:
            raise self._broken("was cut short")
        self._offset += wanted
        self._left -= wanted
        return stored

    def _broken(self, what: str) -> BodyInterrupted:
        self.close()
        return BodyInterrupted(Reason.UNAVAILABLE, f"a message {what}")
