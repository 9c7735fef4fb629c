"""Counters in shared memory: nothing is lost when processes die, and no client can make a new figure."""

from __future__ import annotations

import os
import threading

import pytest

from tpop3d_py.server import figures
from tpop3d_py.server.tally import OTHER, Layout, Tally, note_answer


def make(rows: int = 4) -> tuple[Tally, int, int]:
    layout = Layout()
    plain = layout.counter("plain_total", "Plain.")
    labeled = layout.counter("labeled_total", "Labeled.", color=("red", "blue"))
    return Tally(layout, rows), plain.cell(), labeled.cell("red")


def test_each_figure_has_a_cell_of_its_own() -> None:
    layout = Layout()
    one = layout.counter("one_total", "One.", a=("x", "y"), b=("u", "v"))
    two = layout.histogram("two_seconds", "Two.", (0.1, 1.0), verb=("RETR",))
    three = layout.counter("three_total", "Three.")
    assert len(one.cells) == 9  # (x, y, other) times (u, v, other)
    used = [*one.cells.values(), *(c + n for c in two.cells.values() for n in range(4)), three.cell()]
    assert sorted(used) == list(range(4, layout.size))


def test_a_name_cannot_be_declared_twice() -> None:
    layout = Layout()
    layout.counter("one_total", "One.")
    with pytest.raises(ValueError, match="one_total is declared twice"):
        layout.counter("one_total", "One.")


def test_an_undeclared_value_counts_as_other() -> None:
    family = Layout().counter("one_total", "One.", a=("x",), b=("u",))
    assert family.cell("x", "nobody knows") == family.cells["x", OTHER]
    assert family.cell("?", "u") == family.cells[OTHER, "u"]


@pytest.mark.parametrize(
    ("seconds", "bucket"), [(0.0, 0), (0.1, 0), (0.10001, 1), (1.0, 1), (1.1, 2), (1e6, 2)]
)
def test_a_duration_falls_into_its_bucket(seconds: float, bucket: int) -> None:
    layout = Layout()
    family = layout.histogram("two_seconds", "Two.", (0.1, 1.0))
    tally = Tally(layout, 1)
    row = tally.settle(0, 1, 0, 0)
    family.observe(row, seconds)
    cells = tally.totals()[family.cell() : family.cell() + 4]
    assert cells[bucket] == sum(cells[:3]) == 1
    assert cells[3] == int(seconds * 1e6)


def test_totals_are_over_all_processes_and_the_master() -> None:
    tally, plain, red = make()
    for number in (0, 2):
        tally.settle(number, 100 + number, 0, 0)[plain] += 5
    tally.master[red] += 1
    tally.row(3)[plain] += 99  # nobody lives there
    assert tally.totals()[plain] == 10
    assert tally.totals()[red] == 1


def test_the_dead_stay_counted_and_their_rows_are_free() -> None:
    tally, plain, red = make()
    row = tally.settle(1, 77, 0, 3)
    row[plain] += 5
    row[red] += 2
    tally.bury(1)
    assert tally.totals()[plain] == 5
    assert list(tally.inhabitants()) == []
    tally.settle(1, 78, 0, 3)[plain] += 1
    assert tally.totals()[plain] == 6
    tally.bury(1)
    tally.bury(1)
    assert (tally.totals()[plain], tally.totals()[red]) == (6, 2)


def test_who_lives_where() -> None:
    tally, _, _ = make()
    tally.settle(2, 77, 1, 3)
    (one,) = tally.inhabitants()
    assert (one.row, one.pid, one.kind, one.generation, one.answered) == (2, 77, 1, 3, 0.0)
    note_answer(tally.row(2))
    (one,) = tally.inhabitants()
    assert one.answered > 0


def test_another_process_sees_what_is_counted() -> None:
    tally, plain, _ = make()
    pid = os.fork()
    if pid == 0:
        tally.settle(0, os.getpid(), 0, 0)[plain] += 7
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert tally.totals()[plain] == 7


def test_a_reader_never_sees_a_row_counted_twice_or_not_at_all() -> None:
    layout = Layout()
    first = layout.counter("first_total", "First.").cell()
    for n in range(200):
        layout.counter(f"c{n}_total", "More.")
    tally = Tally(layout, 2)
    stop = threading.Event()
    seen: list[int] = []

    def read() -> None:
        while not stop.is_set():
            seen.append(tally.totals()[first])

    reader = threading.Thread(target=read)
    reader.start()
    for n in range(300):
        row = tally.settle(0, 1, 0, 0)
        row[first] += 1
        row[first + 1 + n % 200] += 1
        tally.bury(0)
    stop.set()
    reader.join()
    assert seen == sorted(seen)
    assert tally.totals()[first] == 300


def test_threads_of_a_process_lose_no_count() -> None:
    tally, plain, _ = make()
    row = tally.settle(0, 1, 0, 0)

    def count() -> None:
        for _ in range(50_000):
            row[plain] += 1

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert row[plain] == 200_000


def test_names_and_labels_of_all_figures_are_those_of_prometheus() -> None:
    for family in figures.LAYOUT.families:
        assert family.name.startswith("pypop3d_")
        assert family.name.endswith("_seconds" if family.bounds else "_total")
        assert family.help.endswith(".")
        assert list(family.bounds) == sorted(family.bounds)


def test_the_number_of_time_series_is_bounded_and_a_row_small() -> None:
    assert figures.LAYOUT.size * 8 < 16_384
