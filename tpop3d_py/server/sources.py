"""Who the clients are, and how many connections each of them has in all workers together.

A source is an IPv4 address, or the first 64 bits of an IPv6 one: that is what one customer gets, and
whoever has it can use any address in it (RFC 6177).

The counts are a sketch in shared memory: each process adds to a few cells of its own row, which are
chosen by a keyed hash of the source; the least of them, summed over all rows, is the count.  It is never too
small, and too large by more than a few only with some ten thousand sources at once.  So the table has one
size, however many sources there are, nobody can aim at a cell, and no lock is needed between processes.

When things fail: what is no address is a source of its own.  The master clears the row of a process that
died.
"""

from __future__ import annotations

import mmap
import os
import socket
from hashlib import blake2b

#: What is counted of each source.
WAITING, SESSIONS = 0, 1
_KINDS = 2
#: Cells of one kind that a source is counted in; each has its own part of the row.
_DEPTH = 3
_WIDTH = 8192
_CELL = 4
_ROW = _KINDS * _DEPTH * _WIDTH
#: An IPv4 address as IPv6 writes it (RFC 4291 section 2.5.5.2).
_MAPPED = bytes(10) + b"\xff\xff"


def source_of(host: str) -> bytes:
    """Return what a client's address counts as."""
    try:
        if ":" not in host:
            return socket.inet_aton(host)
        octets = socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
        return octets[12:] if octets.startswith(_MAPPED) else octets[:8]
    except (OSError, ValueError):
        return b"?" + host.encode("utf-8", "surrogateescape")


class Census:
    """The counts of all sources; made by the master before it forks.

    Args:
        rows: how many processes there may be at one time.
    """

    def __init__(self, rows: int) -> None:
        self._map = mmap.mmap(-1, (rows * _ROW + 1) * _CELL)  # what nobody writes to takes no memory
        cells = memoryview(self._map).cast("i")
        self._used, self._cells = cells[:1], cells[1:]
        self._key = os.urandom(16)

    def open(self, row: int) -> None:
        """Make room in the sums for a process; the master's."""
        self._used[0] = max(self._used[0], (row + 1) * _ROW)

    def places_of(self, source: bytes) -> tuple[int, ...]:
        """Find the cells of a source, for `add` and `count`."""
        digest = blake2b(source, digest_size=2 * _DEPTH, key=self._key).digest()
        words = memoryview(digest).cast("H")
        return tuple(part * _WIDTH + word % _WIDTH for part, word in enumerate(words))

    def add(self, row: int, kind: int, places: tuple[int, ...], change: int) -> None:
        """Count a connection that came (1) or went (-1); one thread of a process at a time."""
        start = row * _ROW + kind * _DEPTH * _WIDTH
        for place in places:
            self._cells[start + place] += change

    def count(self, kind: int, places: tuple[int, ...]) -> int:
        """How many there are in all processes; seldom a few too many, never too few."""
        start, end = kind * _DEPTH * _WIDTH, self._used[0]
        return min(sum(self._cells[start + place : end : _ROW]) for place in places)

    def clear(self, row: int) -> None:
        """Forget a process that died."""
        self._cells[row * _ROW : (row + 1) * _ROW] = memoryview(bytes(_ROW * _CELL)).cast("i")
