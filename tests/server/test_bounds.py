from __future__ import annotations

from pathlib import Path

import pytest

from tpop3d_py.config import ConfigError, load
from tpop3d_py.server.bounds import LimitSettings


def settings(tmp_path: Path, text: str) -> LimitSettings:
    file = tmp_path / "tpop3d.conf"
    file.write_text(text)
    return load(str(file), (LimitSettings,)).get(LimitSettings)


def test_the_defaults_fit_together(tmp_path: Path) -> None:
    bounds = settings(tmp_path, "")
    limits = bounds.limits(bounds.files)
    assert (limits.sessions, limits.connections) == (1000, 10_000)
    assert limits.here >= limits.connections + 2 * limits.sessions
    assert limits.exempt.contains("127.0.0.1")
    assert limits.exempt.contains("::1")
    assert not limits.exempt.contains("127.0.0.2")


def test_connections_follow_the_sessions_unless_they_are_set(tmp_path: Path) -> None:
    assert settings(tmp_path, "max-children: 50\n").connections == 500
    assert settings(tmp_path, "max-children: 50\nmax-connections: 60\n").connections == 60


def test_few_descriptors_bound_what_a_process_takes(tmp_path: Path) -> None:
    assert settings(tmp_path, "").limits(1000).here == 800
    assert settings(tmp_path, "").limits(1).here == 1


def test_nobody_can_be_spared(tmp_path: Path) -> None:
    assert not settings(tmp_path, "limit-exempt-networks: 192.0.2.0/24\n").exempt.contains("127.0.0.1")


@pytest.mark.parametrize(
    "text",
    [
        "max-children: 100\nmax-connections: 99\n",
        "max-children: 0\n",
        "limit-exempt-networks: 10.0.0.1/8\n",
        "stressed-login-timeout-seconds: 0\n",
        "max-sessions-per-address: -1\n",
    ],
)
def test_what_contradicts_itself_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=text.split("\n")[-2].split(":", maxsplit=1)[0]):
        settings(tmp_path, text)
