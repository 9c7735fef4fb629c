"""Many short byte strings held as one, and a bounded cache of snapshots.

A maildrop of 50,000 messages must cost megabytes: a `bytes` object per name or identifier would cost
73 octets and its length each, `Octets` costs four and its length.

When things fail: nothing here touches a file; a full cache forgets what was used least recently.
"""

from __future__ import annotations

import threading
from array import array
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar, overload

#: Messages from which on it pays to give back to the kernel what making a snapshot took.
MANY = 5000


class Octets(Sequence[bytes]):
    """An immutable sequence of byte strings in one `bytes` object."""

    __slots__ = ("_blob", "_ends")

    def __init__(self, items: Iterable[bytes] = ()) -> None:
        # Grown one by one: a list of all strings first would cost several times what is kept.
        blob, ends = bytearray(), array("I", [0])
        for item in items:
            blob += item
            ends.append(len(blob))
        self._blob = bytes(blob)
        self._ends = ends

    @classmethod
    def joined(cls, blob: bytes, ends: array[int]) -> Octets:
        """Return the strings that lie end to end in `blob`; `ends` has a 0, then the end of each.

        Raises:
            ValueError: the ends do not fit the blob.
        """
        if ends.typecode != "I" or not ends or ends[0] or ends[-1] != len(blob):
            raise ValueError("ends do not fit")
        made = cls()
        made._blob, made._ends = blob, ends
        return made

    def followed_by(self, other: Octets) -> Octets:
        """Return these strings and then the others."""
        if not len(self):
            return other
        ends = self._ends[:]
        ends.extend(end + len(self._blob) for end in other._ends[1:])
        return Octets.joined(self._blob + other._blob, ends)

    def are_unique(self) -> bool:
        """Tell whether no two strings are the same, without holding them all at once.

        May say no, though there are no twins, where their hashes happen to be the same.
        """
        return len(set(map(hash, self))) == len(self)

    @property
    def blob(self) -> bytes:
        """All strings, end to end."""
        return self._blob

    @property
    def ends(self) -> array[int]:
        """A 0, then the end of each string in `blob`."""
        return self._ends

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> bytes: ...

    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...

    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if index < 0:
            index = range(len(self))[index]
        return self._blob[self._ends[index] : self._ends[index + 1]]

    def __iter__(self) -> Iterator[bytes]:
        blob, start = self._blob, 0
        for end in self._ends[1:]:
            yield blob[start:end]
            start = end

    @property
    def weight(self) -> int:
        """Approximate memory in octets."""
        return len(self._blob) + len(self._ends) * self._ends.itemsize


class Weighty(Protocol):
    """Something a cache can hold."""

    @property
    def weight(self) -> int:
        """Approximate memory in octets."""


V = TypeVar("V", bound=Weighty)


class Cache(Generic[V]):
    """The most recently used values by mailbox path, up to a total weight; safe for several threads.

    Args:
        capacity: how much to hold, in octets; 0 holds nothing.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._weight = 0
        self._values: OrderedDict[str, V] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, path: str) -> V | None:
        """Return the value for a path, if it is still held."""
        with self._lock:
            value = self._values.get(path)
            if value is not None:
                self._values.move_to_end(path)
            return value

    def put(self, path: str, value: V) -> None:
        """Hold a value in place of an older one; a value heavier than the whole cache is not held."""
        with self._lock:
            self._forget(path)
            if value.weight > self._capacity:
                return
            self._values[path] = value
            self._weight += value.weight
            while self._weight > self._capacity:
                self._forget(next(iter(self._values)))

    def drop(self, path: str) -> None:
        """Forget the value for a path."""
        with self._lock:
            self._forget(path)

    def _forget(self, path: str) -> None:
        old = self._values.pop(path, None)
        if old is not None:
            self._weight -= old.weight
