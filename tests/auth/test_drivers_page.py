"""The code on docs/drivers.md does what the page says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "drivers.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "tpop3d.conf"
    path.write_text("listen-address: 127.0.0.1:1\nrun-as: daemon\nauth-example-enable: yes\n")
    return path


def pypop3d(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tpop3d_py.cli.pypop3d", *arguments]
    root = str(Path(__file__).parents[2])
    environment = {"PYTHONPATH": f"{folder}:{root}", "PATH": "/usr/bin:/bin"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def install(folder: Path, code: str) -> None:
    """Install the page's package by hand."""
    (folder / "example_driver.py").write_text(code)
    info = folder / "example_driver-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: example-driver\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[tpop3d_py.auth]\nexample = example_driver:PLUGIN\n")


def test_the_whole_driver(tmp_path: Path, config: Path) -> None:
    (code,) = (block for block in BLOCKS if "PLUGIN" in block)
    install(tmp_path, code)
    with config.open("a") as file:
        file.write("auth-example-password: secret\n")
    config.chmod(0o600)
    done = pypop3d(tmp_path, "--check", "-f", str(config))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"pypop3d: {config}: no mistakes found; users are looked for in: example\n"
    assert "#auth-example-password:" in pypop3d(tmp_path, "--sample").stdout
    asked = tmp_path / "asked.py"
    asked.write_text(
        "from example_driver import ExampleSettings, make\n"
        "from tests.auth.kit import PEER, tools\n"
        "from tpop3d_py.auth.names import Attempt\n"
        "from tpop3d_py.contracts import Credentials, Mechanism\n"
        "import dataclasses\n"
        "from tpop3d_py.auth.accounts import Account\n"
        "given = dataclasses.replace(tools(), fixed=Account(1, 1, '/'))\n"
        "driver = make(ExampleSettings(True, 'secret'), given)\n"
        "for user, secret in (('example', b'secret'), ('example', b'x'), ('jan', b'secret')):\n"
        "    credentials = Credentials(Mechanism.PASSWORD, user, secret, b'', PEER)\n"
        "    print(driver.check(Attempt(user, None, None), credentials).verdict.name)\n"
    )
    root = str(Path(__file__).parents[2])
    command, environment = [sys.executable, str(asked)], {"PYTHONPATH": f"{tmp_path}:{root}"}
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert said.split() == ["GRANTED", "REFUSED", "NOT_MINE"]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import nosuchmodule\n", "example of example-driver .*nosuchmodule"),
        ("PLUGIN = 1\n", "example of .*is no Plugin"),
    ],
)
def test_a_package_that_is_broken_is_named(tmp_path: Path, config: Path, code: str, words: str) -> None:
    install(tmp_path, code)
    done = pypop3d(tmp_path, "--check", "-f", str(config))
    assert done.returncode == 1
    assert re.search(f"^pypop3d: authentication driver {words}", done.stderr)
    assert len(done.stderr.splitlines()) == 1


def test_the_class_with_its_loop(tmp_path: Path) -> None:
    (klass,) = (block for block in BLOCKS if "class Accounts" in block)
    (loop,) = (block for block in BLOCKS if "__main__" in block)
    (tmp_path / "accounts.py").write_text(klass + loop)
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, str(tmp_path / "accounts.py")],
        input=b"method\0ONLOGIN\0user\0jan\0\0",
        env={"PYTHONPATH": root},
        capture_output=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == (b"\0\0", b"")
