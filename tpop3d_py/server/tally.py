"""Counters in memory that all processes share: what metrics are made of.

What is counted is declared once, when modules are loaded: a family has a name, one sentence, and
labels whose values are all known beforehand, so that every figure has its fixed cell and no client can
invent one.  To count is one addition at an index.

Rules: each process writes only the row of its slot, each of whose cells is a 64-bit integer.  When a
process has died, the master adds its row to that of the dead, so that counters never go backwards.  Readers
sum over the rows in use.

`row[cell] += n` is not interrupted by another thread of its process (the interpreter changes threads at
calls and backward jumps only, and there is none between the two), and were it, one count would be lost.

When things fail: nothing here can, except that an undeclared label value counts as ``other``.
"""

from __future__ import annotations

import itertools
import mmap
import time
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

_CELL = 8
#: Cells at the head of a row that say whose it is.
_PID, _KIND, _GENERATION, _ANSWERED = range(4)
_HEAD = 4
OTHER = "other"
#: Histograms add durations up in microseconds.
_MICRO = 1_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Family:
    """What is counted under one name.

    Args:
        name: of the metric, without a suffix.
        help: one sentence for operators.
        labels: each label's name with its values.
        cells: cell by label values, in the labels' order.
        bounds: upper bounds of a histogram's buckets, in seconds; none: a counter.
    """

    name: str
    help: str
    labels: Mapping[str, Sequence[str]]
    cells: Mapping[tuple[str, ...], int]
    bounds: tuple[float, ...] = ()

    def cell(self, *values: str) -> int:
        """Find the cell of some label values; what was not declared counts as ``other``."""
        found = self.cells.get(values)
        if found is None:
            known = (
                v if v in self.labels[name] else OTHER for name, v in zip(self.labels, values, strict=True)
            )
            found = self.cells[tuple(known)]
        return found

    def observe(self, row: memoryview, seconds: float, *values: str) -> None:
        """Count a duration in a histogram."""
        first = self.cell(*values)
        row[first + bisect_left(self.bounds, seconds)] += 1
        row[first + len(self.bounds) + 1] += int(seconds * _MICRO)


class Layout:
    """Which figure is in which cell; complete once all modules are loaded."""

    def __init__(self) -> None:
        self.families: list[Family] = []
        self.size = _HEAD

    def counter(self, name: str, text: str, **labels: Sequence[str]) -> Family:
        """Declare a counter for each combination of label values."""
        return self._declare(name, text, labels, ())

    def histogram(self, name: str, text: str, bounds: tuple[float, ...], **labels: Sequence[str]) -> Family:
        """Declare a histogram of durations in seconds."""
        return self._declare(name, text, labels, bounds)

    def _declare(
        self, name: str, text: str, labels: Mapping[str, Sequence[str]], bounds: tuple[float, ...]
    ) -> Family:
        if any(family.name == name for family in self.families):
            raise ValueError(f"{name} is declared twice")
        full = {label: tuple(dict.fromkeys((*values, OTHER))) for label, values in labels.items()}
        width = len(bounds) + 2 if bounds else 1
        keys = itertools.product(*full.values())
        cells = {key: self.size + n * width for n, key in enumerate(keys)}
        self.size += len(cells) * width
        family = Family(name, text, full, cells, bounds)
        self.families.append(family)
        return family


@dataclass(frozen=True, slots=True)
class Inhabitant:
    """Whose row it is.

    Args:
        row: its number, which is the slot's.
        pid: process id.
        kind: code of the kind of process.
        generation: how many times the settings had been read when it was made.
        answered: CLOCK_MONOTONIC seconds of the last login it could check; 0: none yet.
    """

    row: int
    pid: int
    kind: int
    generation: int
    answered: float


class Tally:
    """The shared rows; made by the master before its first fork.

    Args:
        layout: what is counted; nothing can be declared any more.
        rows: how many processes there may be at one time.
    """

    def __init__(self, layout: Layout, rows: int) -> None:
        self.layout = layout
        self._width = layout.size
        self._rows = rows
        # The master's own row and that of the dead come behind the slots'.
        cells = memoryview(mmap.mmap(-1, ((rows + 2) * self._width + 1) * _CELL)).cast("q")
        self._folds, self._cells = cells[:1], cells[1:]

    def row(self, number: int) -> memoryview:
        """Return the row of a slot, to count in."""
        return self._cells[number * self._width : (number + 1) * self._width]

    @property
    def master(self) -> memoryview:
        """The row of the master."""
        return self.row(self._rows)

    def settle(self, number: int, pid: int, kind: int, generation: int) -> memoryview:
        """Take a row for this process; done by the process itself."""
        row = self.row(number)
        row[_KIND], row[_GENERATION], row[_ANSWERED], row[_PID] = kind, generation, 0, pid
        return row

    def bury(self, number: int) -> None:
        """Add the row of a process that has died to the dead's, and clear it; the master's to do."""
        row, dead = self.row(number), self.row(self._rows + 1)
        # Odd while sums would be wrong; readers try again.
        self._folds[0] += 1
        for cell in range(_HEAD, self._width):
            if row[cell]:
                dead[cell] += row[cell]
                row[cell] = 0
        row[_PID] = 0
        self._folds[0] += 1

    def totals(self) -> list[int]:
        """Return the sum of each cell over all rows."""
        for _ in range(100):
            before = self._folds[0]
            sums = [sum(column) for column in zip(*self._in_use(), strict=True)]
            if before % 2 == 0 and self._folds[0] == before:
                break
            time.sleep(0.001)
        return sums

    def inhabitants(self) -> Iterator[Inhabitant]:
        """Tell who lives in which row."""
        for number in range(self._rows):
            row = self.row(number)
            if row[_PID]:
                answered = row[_ANSWERED] / _MICRO
                yield Inhabitant(number, row[_PID], row[_KIND], row[_GENERATION], answered)

    def _in_use(self) -> list[list[int]]:
        rows = [self.row(number) for number in range(self._rows)]
        used = [row.tolist() for row in rows if row[_PID]]
        return [*used, self.master.tolist(), self.row(self._rows + 1).tolist()]


def note_answer(row: memoryview) -> None:
    """Note in a row that the directory has just answered."""
    row[_ANSWERED] = int(time.monotonic() * _MICRO)
