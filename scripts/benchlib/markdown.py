"""The tables of docs/performance.md, as they stand there.

Ratios compare with Dovecot with its cache on, where it was measured, else with the server named first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchlib.load import TLS_MODES
from benchlib.measure import Case, Crowd, Sample, median, spread

_TITLES = {
    ("poll", "md5"): "login, STAT, QUIT, stored as MD5:",
    ("uidl", "md5"): "login, STAT, UIDL, QUIT, stored as MD5:",
    ("fetch", "md5"): "login, STAT, RETR of 20 messages, QUIT, stored as MD5:",
    ("handshake", "md5"): "TLS handshake (TLS 1.3, ECDSA P-256), greeting, QUIT:",
    ("resumed", "md5"): "the same with a ticket of an earlier connection:",
    ("poll", "argon2id"): "login, STAT, QUIT, stored as argon2id (19 MiB, 2 passes):",
}
_SESSIONS = (
    "server",
    "sessions/s",
    "p50 ms",
    "p99 ms",
    "CPU µs per session",
    "of which workers, auth",
    "MariaDB µs",
    "sessions/s against Dovecot",
    "CPU against Dovecot",
)
_HANDSHAKES = ("server", "handshakes/s", "p50 ms", "p99 ms", "CPU µs each", "resumed", "CPU against Dovecot")
_CROWDS = ("server", "held", "KiB each", "alone: p50, p99 ms", "among them: p50, p99 ms")


def page(results: Mapping[Case, Sequence[Sample]], crowds: Mapping[str, Crowd]) -> str:
    """Write all tables and a line about how quiet the machine was."""
    groups: dict[tuple[str, str], dict[str, Sample]] = {}
    for case, samples in results.items():
        groups.setdefault((case.mode, case.form), {})[case.server] = median(samples)
    parts = [f"{_TITLES[key]}\n\n{_group(key[0], rows)}" for key, rows in groups.items()]
    if crowds:
        parts.append(f"Idle sessions, and polls one after the other:\n\n{_crowds(crowds)}")
    return "\n\n".join([*parts, _quietness(results)])


def _group(mode: str, rows: Mapping[str, Sample]) -> str:
    other = rows.get("dovecot") or next(iter(rows.values()))
    if mode in TLS_MODES:
        return _table(_HANDSHAKES, [_handshake(name, s, other) for name, s in rows.items()])
    return _table(_SESSIONS, [_session(name, s, other) for name, s in rows.items()])


def _session(name: str, s: Sample, other: Sample) -> list[str]:
    parts = f"{s.workers:,.0f}, {s.authenticators:,.0f}" if s.workers else ""
    ratios = [f"{s.rate / other.rate:.2f}", f"{s.cpu / other.cpu:.2f}"]
    return [
        name,
        f"{s.rate:,.0f}",
        _ms(s.p50),
        _ms(s.p99),
        f"{s.cpu:,.0f}",
        parts,
        f"{s.database:,.0f}",
        *ratios,
    ]


def _handshake(name: str, s: Sample, other: Sample) -> list[str]:
    figures = [f"{s.rate:,.0f}", _ms(s.p50), _ms(s.p99), f"{s.cpu:,.0f}", f"{s.resumed:.0%}"]
    return [name, *figures, f"{s.cpu / other.cpu:.2f}"]


def _crowds(crowds: Mapping[str, Crowd]) -> str:
    rows = []
    for name, crowd in crowds.items():
        times = [f"{p50:.2f}, {p99:.1f}" for p50, p99 in (crowd.alone, crowd.among)]
        rows.append([name, f"{crowd.sessions:,}", f"{crowd.octets / 1024:.1f}", *times])
    return _table(_CROWDS, rows)


def _quietness(results: Mapping[Case, Sequence[Sample]]) -> str:
    others = [sample.others for samples in results.values() for sample in samples]
    apart = [spread(samples) for samples in results.values()]
    return (
        f"(others: at most {max(others):.2f} processors; measurements of one case differ by "
        f"{min(apart):.0%} to {max(apart):.0%})"
    )


def _ms(milliseconds: float) -> str:
    return f"{milliseconds:.1f}" if milliseconds < 100 else f"{milliseconds:,.0f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
