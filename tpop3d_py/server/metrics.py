"""Metrics for Prometheus: the counters of the `tally` and the states of the moment, as a collector.

Families with few combinations of labels are shown whole, so that a rate exists before the first event; of
large ones only what has happened, and ``other`` only if it has.

When things fail: nothing here can; what is asked for is in memory.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from tpop3d_py import __version__
from tpop3d_py.server.census import Census
from tpop3d_py.server.limits import Board
from tpop3d_py.server.tally import OTHER, Family, Tally

#: Families with more combinations of labels than this show only those that have happened.
_FEW = 32
_MICRO = 1e6


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the figures come from.

    Args:
        tally: the counters.
        board: connections and sessions of the moment.
        census: the processes.
        limits: the configured limits, by name.
        certificates: when each certificate ends, in seconds since 1970, by file.
        started: when the daemon was started, in seconds since 1970.
    """

    tally: Tally
    board: Board
    census: Census
    limits: Mapping[str, int]
    certificates: Mapping[str, float]
    started: float


class Figures(Collector):
    """All figures, collected anew for each scrape."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def collect(self) -> Iterator[Metric]:
        """Yield every family."""
        totals = self._sources.tally.totals()
        for family in self._sources.tally.layout.families:
            yield _histogram(family, totals) if family.bounds else _counter(family, totals)
        yield from self._states()

    def describe(self) -> Iterable[Metric]:
        """Name nothing beforehand: registering asks for it."""
        return ()

    def _states(self) -> Iterator[Metric]:
        sources = self._sources
        sessions = sources.board.sessions()
        yield _gauge("pypop3d_connections", "Connections of the moment.", sources.board.connections())
        yield _gauge("pypop3d_sessions", "Sessions of the moment: clients that are logged in.", sessions)
        yield _gauge("pypop3d_open_mailboxes", "Mailboxes that are open, one for each session.", sessions)
        yield _labeled("pypop3d_limit", "Configured limits.", "limit", sources.limits)
        alive = GaugeMetricFamily(
            "pypop3d_processes",
            "Processes that are alive, by what they are for and whether they only finish "
            "what they began before a reload.",
            labels=("role", "draining"),
        )
        for (role, draining), count in sources.census.count().items():
            alive.add_metric((role, "yes" if draining else "no"), count)
        yield alive
        ends = "When each certificate ends."
        yield _labeled("pypop3d_certificate_expiry_timestamp_seconds", ends, "file", sources.certificates)
        yield _gauge("pypop3d_start_time_seconds", "When the daemon was started.", sources.started)
        yield _labeled_info()


def exposition(collector: Collector) -> Callable[[str], tuple[bytes, str]]:
    """Return what writes the figures in the format that an Accept header asks for, and names it."""

    def write(accept: str) -> tuple[bytes, str]:
        encoder, content_type = choose_encoder(accept)
        return encoder(collector), content_type

    return write


def _counter(family: Family, totals: Sequence[int]) -> Metric:
    metric = CounterMetricFamily(family.name, family.help, labels=tuple(family.labels))
    few = len(family.cells) <= _FEW
    for values, cell in family.cells.items():
        if totals[cell] or (few and OTHER not in values):
            metric.add_metric(values, totals[cell])
    return metric


def _histogram(family: Family, totals: Sequence[int]) -> Metric:
    metric = HistogramMetricFamily(family.name, family.help, labels=tuple(family.labels))
    width = len(family.bounds) + 1
    bounds = [*(str(bound) for bound in family.bounds), "+Inf"]
    for values, cell in family.cells.items():
        if OTHER in values and not any(totals[cell : cell + width]):
            continue
        counts = accumulate(totals[cell : cell + width])
        buckets: list[Sequence[str | float]] = [list(pair) for pair in zip(bounds, counts, strict=True)]
        metric.add_metric(values, buckets, totals[cell + width] / _MICRO)  # type: ignore[arg-type]
    return metric


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _labeled(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    metric = GaugeMetricFamily(name, text, labels=(label,))
    for key, value in values.items():
        metric.add_metric((key,), value)
    return metric


def _labeled_info() -> Metric:
    metric = GaugeMetricFamily(
        "pypop3d_build_info", "Always 1; the labels tell the version.", labels=("version", "python")
    )
    metric.add_metric((__version__, platform.python_version()), 1)
    return metric
