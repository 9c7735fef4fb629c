"""From settings to processes, and back to what there was where that goes wrong in the middle."""

from __future__ import annotations

import os
import pwd
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tpop3d_py import assemble
from tpop3d_py.assemble import plant
from tpop3d_py.assemble import separated as module
from tpop3d_py.assemble.certificates import Known
from tpop3d_py.assemble.groups import Options
from tpop3d_py.assemble.plant import Lasting
from tpop3d_py.assemble.processes import make_generation
from tpop3d_py.assemble.separated import make_separated
from tpop3d_py.config import Configuration, load
from tpop3d_py.server.crew import Generation


def settings(folder: Path, port: int) -> Configuration:
    config = folder / "tpop3d.conf"
    config.write_text(
        f"listen-address: 127.0.0.1:{port}(klient1.pl)\nno-detach: yes\n"
        f"auth-flatfile-enable: yes\nauth-flatfile-mail-user: nobody\n"
        f"auth-flatfile-passwd-file: {folder}/passwd\nlog-file: {folder}/log\n"
    )
    return load(str(config), (*assemble.POP3_GROUPS, *assemble.DIRECTORY_GROUPS))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def make(conf: Configuration, lasting: Lasting, *, separated: bool) -> Generation:
    options = Options(foreground=True)
    if not separated:
        return make_generation(conf, options, lasting)
    outcome: Any = SimpleNamespace(conf=conf, known=Known({}, ()), mailboxes={}, hears=False)
    secrets: Any = None
    return make_separated(outcome, secrets, options, lasting)


@pytest.mark.parametrize("separated", [False, True])
def test_descriptors_that_run_out_in_the_middle_of_a_reload_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, separated: bool
) -> None:
    def starved(_workers: int) -> None:
        raise OSError("Too many open files")

    ports, lasting = (free_port(), free_port()), Lasting()
    make(settings(tmp_path, ports[0]), lasting, separated=False)
    monkeypatch.setattr(plant, "AuthLink", starved)
    monkeypatch.setattr(module, "cast_of", lambda *_: SimpleNamespace(mail=pwd.getpwuid(os.geteuid())))
    with pytest.raises(OSError, match="Too many"):
        make(settings(tmp_path, ports[1]), lasting, separated=separated)
    try:
        # A process that has to be replaced finds its listener.
        socket.create_connection(("127.0.0.1", ports[0]), 5).close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", ports[1]), 5)
    finally:
        lasting.sockets.close_all()
