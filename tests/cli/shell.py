"""A shell for tests: runs the commands in this process and remembers what they said."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tpop3d_py.cli import ve_domain, ve_forwarder, ve_passwd, ve_popbox, vmail

COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "VE-domain": ve_domain.main,
    "VE-popbox": ve_popbox.main,
    "VE-forwarder": ve_forwarder.main,
    "VE-passwd": ve_passwd.main,
    "vmail": vmail.main,
}


@dataclass(frozen=True)
class Outcome:
    """What a command did."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Shell:
    """Runs commands; `folder` holds vmail.conf, the database and the mail."""

    folder: Path
    owner: str
    capture: pytest.CaptureFixture[str]
    patch: pytest.MonkeyPatch

    def __call__(self, line: str, *more: str, stdin: bytes = b"") -> Outcome:
        """Run a command line split at blanks, with more arguments behind that are not split."""
        program, *words = line.split()
        self.patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        self.capture.readouterr()
        code = COMMANDS[program]([*words, *more])
        captured = self.capture.readouterr()
        return Outcome(code, captured.out, captured.err)

    def refuses(self, line: str, *more: str, code: int = 1, stdin: bytes = b"") -> str:
        """Run a command that must change nothing and say why in one printable line."""
        before = self.state()
        outcome = self(line, *more, stdin=stdin)
        assert outcome.code == code
        assert outcome.out == ""
        assert outcome.err.endswith("\n")
        assert outcome.err[:-1].isprintable()
        assert self.state() == before
        return outcome.err

    def state(self) -> tuple[bytes, list[str]]:
        """Return all rows and all file names, to compare."""
        database = self.folder / "vmail.db"
        content = database.read_bytes() if database.exists() else b""
        return content, sorted(str(path) for path in self.folder.rglob("*"))
