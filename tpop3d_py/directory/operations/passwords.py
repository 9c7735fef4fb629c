"""Stored passwords as a whole, for reports."""

from __future__ import annotations

from collections.abc import Iterator

from tpop3d_py.directory import statements
from tpop3d_py.directory.engine import Directory

_ROWS_AT_ONCE = 1000


def stored_passwords(directory: Directory, table: str) -> Iterator[str]:
    """Yield the stored form of every row's password, empty for none; rows are not held in memory.

    Args:
        directory: where.
        table: ``popbox`` or ``domain``.

    Raises:
        DirectoryUnavailable: the database failed.
    """
    with directory.reading() as connection:
        streaming = connection.execution_options(yield_per=_ROWS_AT_ONCE)
        for stored in streaming.execute(statements.stored_passwords(table)).scalars():
            yield stored or ""
