"""One measurement: load on one server, and what it cost whom.

Everything that runs is started before the first measurement and idle in all but
its own, so that rounds can take turns: a machine that gets slower for a while
slows all of them.

When things fail: `LoadError` from the load; a server without successful sessions
is not silently fast.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from benchlib import meter
from benchlib.load import TLS_MODES, Figures, Popload
from benchlib.mailhost import Mailhost, login_names
from benchlib.meter import Spent
from benchlib.servers import Server

#: Seconds a server gets to finish with the last sessions before its processor time is read.
_SETTLE = 0.2


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured: a server under one kind of session and one stored form of passwords."""

    server: str
    mode: str
    form: str


@dataclass(frozen=True, slots=True)
class Sample:
    """What one measurement found.

    Args:
        rate: sessions per second.
        p50: median duration of a session in milliseconds.
        p99: the same for 99 of 100.
        cpu: the server's processor time per session in microseconds, database excluded.
        user: the part of it outside the kernel.
        database: MariaDB's processor time per session in microseconds.
        workers: pypop3d's processes that serve connections, as a part of `cpu`; 0 for others.
        authenticators: pypop3d's processes that check passwords, as a part of `cpu`; 0 for others.
        others: processors kept busy by anything else on the machine, the load itself excluded.
        errors: sessions that failed.
        resumed: part of the sessions whose TLS handshake was a resumption.
    """

    rate: float
    p50: float
    p99: float
    cpu: float
    user: float
    database: float
    workers: float
    authenticators: float
    others: float
    errors: int
    resumed: float = 0.0


@dataclass(frozen=True, slots=True)
class Crowd:
    """What many idle sessions cost.

    Args:
        sessions: how many were held, logged in.
        octets: memory of each.
        alone: milliseconds of a poll session before, with nobody else there: median and 99 of 100.
        among: the same while they were held.
    """

    sessions: int
    octets: float
    alone: tuple[float, float]
    among: tuple[float, float]


class Bench:
    """Load, mail and meters together."""

    def __init__(self, host: Mailhost, load: Popload, clients: int) -> None:
        self._host = host
        self._load = load
        self._clients = clients

    def warm_up(self, server: Server, case: Case, seconds: float) -> None:
        """Let a server learn every mailbox; without this the first round would measure disks."""
        self._run(server, case, seconds)

    def sample(self, server: Server, case: Case, seconds: float) -> Sample:
        """Measure one case once."""
        roles = server.roles() if server.name.startswith("pypop3d") else {}
        before, began = self._read(server, roles), time.monotonic()
        figures = self._run(server, case, seconds)
        time.sleep(_SETTLE)
        after, took = self._read(server, roles), time.monotonic() - began
        used = {name: after[name] - before[name] for name in before}
        ours = used["server"].total + used["database"].total + figures.client_cpu
        each = 1e6 / figures.sessions
        return Sample(
            rate=figures.rate,
            p50=figures.p50,
            p99=figures.p99,
            cpu=used["server"].total * each,
            user=used["server"].user * each,
            database=used["database"].total * each,
            workers=used["workers"].total * each,
            authenticators=used["authenticators"].total * each,
            others=max(0.0, used["machine"].total - ours) / took,
            errors=figures.errors,
            resumed=figures.resumed / figures.sessions,
        )

    def crowd(self, server: Server, seconds: float, form: str = "md5") -> Crowd:
        """Hold idle sessions; return what each costs and whether a newcomer notices them."""
        alone = self._newcomer(server, seconds, form)
        before = meter.pss(server.pids())
        with self._load.holding(
            server.port, login_names(form), users=self._host.boxes, sessions=server.holds
        ):
            time.sleep(_SETTLE)
            octets = (meter.pss(server.pids()) - before) / server.holds
            return Crowd(server.holds, octets, alone, self._newcomer(server, seconds, form))

    def _newcomer(self, server: Server, seconds: float, form: str) -> tuple[float, float]:
        """Measure sessions that come one after the other."""
        figures = self._load.run(
            server.port, login_names(form), "poll", seconds, users=self._host.boxes, clients=1
        )
        return figures.p50, figures.p99

    def _run(self, server: Server, case: Case, seconds: float) -> Figures:
        return self._load.run(
            server.tls_port if case.mode in TLS_MODES else server.port,
            login_names(case.form),
            case.mode,
            seconds,
            users=self._host.boxes,
            clients=self._clients,
        )

    def _read(self, server: Server, roles: dict[str, list[int]]) -> dict[str, Spent]:
        database = self._host.mariadb
        return {
            "server": meter.spent(server.pids()),
            "database": meter.spent([database.child.pid] if database else []),
            "workers": meter.spent(roles.get("workers", [])),
            "authenticators": meter.spent(roles.get("authenticators", [])),
            "machine": Spent(meter.machine_busy(), 0.0),
        }


def median(samples: Sequence[Sample]) -> Sample:
    """Return the median of every figure; errors are added up."""
    rows = [asdict(sample) for sample in samples]
    values = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
    return Sample(**{**values, "errors": sum(row["errors"] for row in rows)})


def spread(samples: Iterable[Sample]) -> float:
    """Return how far apart the measurements of processor time are, as a part of their median."""
    values = [sample.cpu for sample in samples]
    return (max(values) - min(values)) / statistics.median(values)
