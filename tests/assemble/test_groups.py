"""From the directives of the log to the log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tpop3d_py import assemble
from tpop3d_py.assemble.groups import make_log
from tpop3d_py.config import load
from tpop3d_py.server.settings import LogSettings


def settings(folder: Path, text: str) -> LogSettings:
    config = folder / "tpop3d.conf"
    config.write_text(f"listen-address: 127.0.0.1\n{text}")
    return load(str(config), assemble.POP3_GROUPS).get(LogSettings)


def test_nothing_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log = make_log(settings(tmp_path, ""), assemble.Options())
    log.info("not written")
    assert (log.level, log.structured, capfd.readouterr().err) == (5, False, "")


def test_a_file(tmp_path: Path) -> None:
    file = tmp_path / "pop3.log"
    make_log(settings(tmp_path, f"log-file: {file}\n"), assemble.Options()).notice("hello")
    assert file.read_text().endswith(": hello\n")


def test_json_everywhere(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "pop3.log"
    text = f"log-file: {file}\nlog-format: json\n"
    make_log(settings(tmp_path, text), assemble.Options(foreground=True)).notice(
        "hello", "greeting", {"a": 1}
    )
    for line in (file.read_text(), capfd.readouterr().err):
        assert json.loads(line).items() >= {"message": "hello", "event": "greeting", "a": 1}.items()


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(assemble.StartError, match=r"log-file .*/none/pop3.log: No such file or directory"):
        make_log(settings(tmp_path, f"log-file: {tmp_path}/none/pop3.log\n"), assemble.Options())


def test_check_misses_the_folder(tmp_path: Path) -> None:
    config = tmp_path / "tpop3d.conf"
    config.write_text(
        f"listen-address: 127.0.0.1\nauth-directory-enable: yes\ndatabase-url: sqlite:///{tmp_path}/x.db\n"
        f"log-file: {tmp_path}/none/pop3.log\n"
    )
    with pytest.raises(assemble.StartError, match=r"log-file .*/none/pop3.log: there is no such folder"):
        assemble.check(load(str(config), assemble.daemon_groups()))
