"""What stands in the rows of an original database that the new keys would not bear.

An original database has no keys, so anything may be in it.  A *fault* forbids
the upgrade: the key would refuse the row, or the row worked until now and would
silently stop working, because the new collation compares octets.  A *warning*
is a row that is as good or bad after the upgrade as before.

The functions here only look at rows that somebody has read; nothing can fail.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tpop3d_py.directory import addresses
from tpop3d_py.directory.errors import BadAddress
from tpop3d_py.directory.schema import KEYS
from tpop3d_py.log import printable

Row = Sequence[str | None]


@dataclass(frozen=True, slots=True)
class Finding:
    """One remark about one row.

    Args:
        table: where the row is.
        text: one printable line.
        fatal: the upgrade cannot go on.
    """

    table: str
    text: str
    fatal: bool

    def __str__(self) -> str:
        return f"{'error' if self.fatal else 'warning'}: {self.table}: {self.text}"


def examine(tables: Mapping[str, Sequence[Row]]) -> list[Finding]:
    """List everything remarkable in the rows of the tables, faults and warnings.

    Args:
        tables: rows by table name, as `statements.every_row` gives them; a table may be missing.
    """
    domains = {row[0] for row in tables.get("domain", ()) if row[0] is not None}
    findings: list[Finding] = []
    for table, rows in tables.items():
        findings += _keys(table, rows)
        findings += _orphans(table, rows, domains)
        findings += _names(table, rows)
    findings += _warnings(tables)
    return findings


def _keys(table: str, rows: Iterable[Row]) -> Iterator[Finding]:
    width = len(KEYS[table])
    for key, count in Counter(tuple(row[:width]) for row in rows).items():
        if None in key:
            yield Finding(table, f"a key part is NULL: {_show(key)}", True)
        elif count > 1:
            yield Finding(table, f"{count} rows with one key: {_show(key)}", True)


def _orphans(table: str, rows: Iterable[Row], domains: set[str]) -> Iterator[Finding]:
    if table == "domain":
        return
    column = -1 if table == "web_session" else 0
    for name in sorted({name for row in rows if (name := row[column]) is not None} - domains):
        yield Finding(table, f"rows of a domain that does not exist: {printable(name)}", True)


def _names(table: str, rows: Iterable[Row]) -> Iterator[Finding]:
    # Capitals and blanks at the end matched any case and padding under the old collation.
    width = min(len(KEYS[table]), 2) if table != "web_session" else 0
    for key in dict.fromkeys(tuple(row[:width]) for row in rows):
        parts = [part for part in key if part is not None]
        if any(part != part.lower() for part in parts):
            yield Finding(table, f"capitals, which would no longer match: {_show(key)}", True)
        if any(part != part.strip() for part in parts):
            yield Finding(table, f"blanks at an end, which would no longer match: {_show(key)}", True)


def _warnings(tables: Mapping[str, Sequence[Row]]) -> Iterator[Finding]:
    for name, unix_user, path in tables.get("domain", ()):
        if not unix_user or not path:
            yield Finding("domain", f"no Unix user or no directory: {_show((name,))}", False)
    for name, local_part, mbox_name in tables.get("popbox", ()):
        for why in _complaints(addresses.local_part, local_part), _complaints(addresses.mbox_name, mbox_name):
            if why:
                yield Finding("popbox", f"{_show((name, local_part))}: {why}", False)
    for name, local_part, remote_name in tables.get("forwarder", ()):
        if (
            name
            and remote_name
            and (why := _complaints(lambda t, d=name: addresses.target(t, d), remote_name))
        ):
            yield Finding("forwarder", f"{_show((name, local_part))}: {why}", False)


def _complaints(check: object, text: str | None) -> str:
    assert callable(check)
    try:
        check(text or "")
    except BadAddress as error:
        return str(error)
    return ""


def _show(key: Iterable[str | None]) -> str:
    return ", ".join("NULL" if part is None else f"'{printable(part)}'" for part in key)
