"""Which source has most connections without a login, at the cost of one step for each that comes or goes.

Sources stand in ranks by the number of their connections.  Whoever comes into a rank stands behind those who
are there, so that of sources with equally many the one is first that has had them longest.

One thread at a time.  When things fail: nothing here can.
"""

from __future__ import annotations

from collections.abc import Iterator

from tpop3d_py.server.connection import Connection


class Source:
    """One address, or one network of a customer, with its connections in this process.

    Args:
        key: what it is known by; empty for one that is spared.
        places: its cells of the census; none for one that is spared, which stands one rank lower than others.
    """

    __slots__ = ("key", "places", "sessions", "waiting")

    def __init__(self, key: bytes, places: tuple[int, ...]) -> None:
        self.key = key
        self.places = places
        #: Those that have not logged in, the oldest first.
        self.waiting: dict[Connection, None] = {}
        self.sessions = 0


class Ranking:
    """The sources with connections that have not logged in."""

    def __init__(self) -> None:
        self._ranks: dict[int, dict[Source, None]] = {}
        self._top = 0

    def add(self, source: Source, conn: Connection) -> None:
        """Give a source one connection more."""
        count = len(source.waiting)
        source.waiting[conn] = None
        self._move(source, count, count + 1)
        self._top = max(self._top, _rank(source, count + 1))

    def remove(self, source: Source, conn: Connection) -> None:
        """Take a connection from a source that has it."""
        count = len(source.waiting)
        if count == 1 and conn in source.waiting:
            source.waiting.clear()  # and so of its memory: a source with sessions may stay for long
        else:
            del source.waiting[conn]
        self._move(source, count, count - 1)
        rank = _rank(source, count)
        if rank == self._top and rank not in self._ranks:
            self._top = max(rank - 1, 0)  # whoever was alone at the top is one step below now

    def oldest(self) -> Iterator[Connection]:
        """Yield the connections of the source that has most, oldest first; then of the next, and so on."""
        for rank in range(self._top, -1, -1):
            for source in self._ranks.get(rank, ()):
                yield from source.waiting

    def _move(self, source: Source, before: int, after: int) -> None:
        if before:
            number = _rank(source, before)
            rank = self._ranks[number]
            del rank[source]
            if not rank:
                del self._ranks[number]
        if after:
            self._ranks.setdefault(_rank(source, after), {})[source] = None


def _rank(source: Source, count: int) -> int:
    return count if source.places else count - 1
