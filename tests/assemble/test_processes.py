"""From settings to processes, and back to what there was where that goes wrong in the middle."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tpop3d_py import assemble
from tpop3d_py.assemble import plant
from tpop3d_py.assemble.groups import Options
from tpop3d_py.assemble.plant import Lasting
from tpop3d_py.assemble.processes import make_generation
from tpop3d_py.config import Configuration, load


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


def test_descriptors_that_run_out_in_the_middle_of_a_reload_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def starved(_workers: int) -> None:
        raise OSError("Too many open files")

    ports = free_port(), free_port()
    lasting, options = Lasting(), Options(foreground=True)
    make_generation(settings(tmp_path, ports[0]), options, lasting)
    monkeypatch.setattr(plant, "AuthLink", starved)
    with pytest.raises(OSError, match="Too many"):
        make_generation(settings(tmp_path, ports[1]), options, lasting)
    try:
        # A process that has to be replaced finds its listener.
        socket.create_connection(("127.0.0.1", ports[0]), 5).close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", ports[1]), 5)
    finally:
        lasting.sockets.close_all()
