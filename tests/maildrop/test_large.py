"""What is large costs little memory: one message of many octets, and many messages."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.maildrop.kit import FROM, identity, mail, maildir_driver, make_maildir, mbox, mbox_driver
from tpop3d_py import libc
from tpop3d_py.contracts import Maildrop
from tpop3d_py.maildrop import maildir, mbox_memory
from tpop3d_py.pop3.replies import Outgoing

MEBIBYTE = 1 << 20
LINE = b"0123456789abcdef" * 4 + b"\n"


@pytest.mark.parametrize("line", [LINE, b"\n", b".\n", LINE[:-1] + b"\r\n", b"x" * MEBIBYTE + b"\n"])
def test_a_large_message_goes_out_in_little_memory(tmp_path: Path, line: bytes) -> None:
    box = tmp_path / "luser"
    with box.open("wb") as file:
        file.write(FROM)
        for _ in range(8 * MEBIBYTE // len(line)):
            file.write(line)
    drop = mbox_driver().open(str(box), identity())
    tracemalloc.start()
    try:
        sent = sum(map(len, Outgoing(b"+OK\r\n", drop.open(0))))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        drop.close()
    assert sent >= 7 * MEBIBYTE
    assert peak < 1.5 * MEBIBYTE


def open_maildir(path: Path, count: int) -> Maildrop:
    return maildir_driver().open(make_maildir(path / "M", [mail(n) for n in range(count)]), identity())


def open_mbox(path: Path, count: int) -> Maildrop:
    box = path / "luser"
    box.write_bytes(mbox([mail(n) for n in range(count)]))
    return mbox_driver().open(str(box), identity())


@pytest.mark.parametrize("opened", [open_maildir, open_mbox])
@pytest.mark.parametrize(("count", "times"), [(9, 0), (10, 1)])
def test_what_reading_many_messages_took_is_given_back(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    opened: Callable[[Path, int], Maildrop],
    count: int,
    times: int,
) -> None:
    given_back: list[bool] = []
    monkeypatch.setattr(libc, "return_memory", lambda: given_back.append(True))
    for module in (maildir, mbox_memory):
        monkeypatch.setattr(module, "MANY", 10)
    drop = opened(tmp_path, count)
    assert len(drop.sizes) == count
    assert len(given_back) == times
    drop.close()
