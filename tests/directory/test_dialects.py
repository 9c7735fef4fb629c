"""Engines: what an operator is told when an optional library is missing."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
from sqlalchemy import make_url

from tpop3d_py.directory.dialects import engine_for
from tpop3d_py.directory.errors import DirectoryUnavailable


class _Broken(ModuleType):
    """A psycopg that found no libpq."""

    def __getattr__(self, name: str) -> object:
        raise ImportError("no pq wrapper available.\nAttempts made:\n- libpq library not found")


def test_a_missing_libpq_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "tpop3d_py.directory.postgres"
    monkeypatch.setitem(sys.modules, name, _Broken(name))
    with pytest.raises(DirectoryUnavailable) as caught:
        engine_for(make_url("postgresql+psycopg://vmail@127.0.0.1:1/x"))
    assert str(caught.value).endswith("libpq (Debian: libpq5): no pq wrapper available.")
