"""vmail-gen-exim: what it prints, and where its complaints go."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tpop3d_py.cli.gen_exim import main


@pytest.fixture
def config(tmp_path: Path) -> str:
    password = tmp_path / "password"
    password.write_text("sekret\n")
    password.chmod(0o600)
    file = tmp_path / "vmail.conf"
    file.write_text(f"database-url: mysql+pymysql://vmail@h/v\ndatabase-password-file: {password}\n")
    return str(file)


def test_everything(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-f", config]) == 0
    output = capsys.readouterr()
    assert output.err == ""
    assert output.out.startswith("# vmail-gen-exim ")
    assert '"h::3306/v/vmail/sekret"' in output.out
    assert "begin transports" in output.out


def test_configuration_from_the_environment(
    config: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VMAIL_CONFIG", config)
    assert main(["--section", "routers"]) == 0
    output = capsys.readouterr().out
    assert "virtual_localuser:" in output
    assert "begin" not in output


def test_standalone(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-f", config, "--standalone", "--hostname", "mail.klient1.pl", "--port", "2525"]) == 0
    assert "\ndaemon_smtp_ports = 2525\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["--section", "acl", "--standalone"],
        ["--section", "everything"],
        ["--port", "2525"],
        ["--standalone", "--port", "0"],
        ["--standalone", "--port", "65536"],
        ["--standalone", "--port", "٢٥"],
        ["--standalone", "--port", ""],
        ["surplus"],
    ],
)
def test_wrong_command_lines(config: str, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-f", config, *arguments]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert len(output.err.splitlines()) == 1


def test_refusals_leave_the_output_empty(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    (Path(config).parent / "password").write_text("sek/ret\n")
    assert main(["-f", config]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("vmail-gen-exim: the database password contains '/'")
    assert "sek" not in output.err
    assert main(["-f", "/nonexistent"]) == 1
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("umask", "section", "warns"), [(0o022, "main", True), (0o077, "main", False), (0, "acl", False)]
)
def test_warns_when_everybody_may_read_the_password(
    config: str, tmp_path: Path, umask: int, section: str, warns: bool
) -> None:
    output = os.open(tmp_path / "vmail", os.O_WRONLY | os.O_CREAT, 0o666 & ~umask)
    command = [sys.executable, "-m", "tpop3d_py.cli.gen_exim", "-f", config, "--section", section]
    done = subprocess.run(command, stdout=output, stderr=subprocess.PIPE, text=True, check=True)
    os.close(output)
    assert ("chmod 640" in done.stderr) is warns
