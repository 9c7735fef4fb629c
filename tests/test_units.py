"""What the units, the filter and the rotation of logs promise, read without their programs."""

from __future__ import annotations

import re
from pathlib import Path

from tpop3d_py.server.listeners import parse_listener

SCRIPTS = Path(__file__).parents[1] / "scripts"
SERVICE = (SCRIPTS / "systemd/pypop3d.service").read_text()
TEMPLATE = (SCRIPTS / "systemd/pypop3d@.service").read_text()


def directives(unit: str) -> list[str]:
    return [line for line in unit.splitlines() if re.match(r"[A-Za-z]+=", line)]


def test_the_template_differs_in_names_only() -> None:
    alike = TEMPLATE.replace("/run/tpop3d-%i", "/run/tpop3d").replace("=tpop3d-%i", "=tpop3d")
    alike = alike.replace(" -f /etc/tpop3d/%i", "").replace(" (%i)", "")
    assert directives(alike) == directives(SERVICE)


def test_root_can_do_only_what_the_master_does() -> None:
    (line,) = [line for line in directives(SERVICE) if line.startswith("CapabilityBoundingSet=")]
    assert set(line.partition("=")[2].split()) == {
        "CAP_NET_BIND_SERVICE",
        "CAP_SETUID",
        "CAP_SETGID",
        "CAP_SETPCAP",
        "CAP_KILL",
        "CAP_CHOWN",
    }


def test_a_reload_checks_the_file_first() -> None:
    reloads = [line for line in directives(SERVICE) if line.startswith("ExecReload=")]
    # The shell's kill: the program is in a package that a small system need not have.
    assert reloads == ["ExecReload=/usr/sbin/pypop3d --check", "ExecReload=/bin/sh -c 'kill -HUP $MAINPID'"]


def test_the_socket_binds_addresses_that_can_be_written_in_listen_address() -> None:
    unit = (SCRIPTS / "systemd/pypop3d.socket").read_text()
    written = [line.partition("=")[2] for line in directives(unit) if line.startswith("ListenStream=")]
    assert [(parse_listener(address).host, parse_listener(address).port) for address in written] == [
        ("0.0.0.0", 110),
        ("::", 110),
    ]


def test_log_rotation_finds_the_pid_files_of_both_units() -> None:
    rotation = (SCRIPTS / "logrotate/tpop3d-py").read_text()
    assert "/run/tpop3d*/pypop3d.pid" in rotation
    for unit in (SERVICE, TEMPLATE):
        assert re.search(r"-p /run/tpop3d(-%i)?/pypop3d\.pid$", unit, flags=re.MULTILINE)
    assert "kill -USR1" in rotation
