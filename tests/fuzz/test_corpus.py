"""Every input that was ever worth keeping still does no harm."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_corpus(target: str) -> None:
    files = sorted((CORPUS / target).iterdir())
    assert len(files) >= 5
    for file in files:
        TARGETS[target](file.read_bytes())
