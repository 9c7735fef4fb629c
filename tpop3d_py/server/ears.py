"""Where the monitor listens: directives, and how the sockets are made.

The control socket can end anybody's session, so only its owner may connect, whom the kernel names besides.
Metrics and health hold no secret and no name; who may connect to their address may read them.

A socket file that is left of a daemon that is no more is replaced; one that somebody listens on is not.

When things fail: `EarError` with the address.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from tpop3d_py.server.sockets import key_of
from tpop3d_py.settings import PATH, Kind, setting

#: Where ``pypop3d status`` asks if no file says otherwise.
USUAL_CONTROL = "/run/tpop3d/control"
_BACKLOG = 64
_LONGEST_PATH = 107


class EarError(Exception):
    """An address of the monitor cannot be listened on."""


@dataclass(frozen=True, slots=True)
class Ear:
    """An address to listen on.

    Args:
        path: of a Unix socket; empty: TCP.
        host: numeric address.
        port: TCP port.
    """

    path: str = ""
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def key(self) -> object:
        """What tells its socket from others."""
        family = socket.AF_UNIX if self.path else _family(self.host)
        return key_of(family, self.path or (self.host, self.port))


def parse_ear(text: str) -> Ear:
    """Read ``ADDRESS:PORT``, ``[ADDRESS]:PORT`` or ``unix:/path``."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path.startswith("/") or len(path.encode()) > _LONGEST_PATH:
            raise ValueError(f"must be unix: and an absolute path of at most {_LONGEST_PATH} octets")
        return Ear(path=path)
    host, colon, port = text.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not port.isascii() or not port.isdigit() or not 1 <= int(port) <= 65535:
        raise ValueError("must be ADDRESS:PORT or unix:/path")
    try:
        _family(host)
    except OSError:
        raise ValueError(f"{host!r} is not a numeric address") from None
    return Ear(host=host, port=int(port))


EAR: Kind[Ear] = Kind("ADDRESS:PORT or unix:/path", parse_ear)


def _family(host: str) -> int:
    with contextlib.suppress(OSError):
        socket.inet_pton(socket.AF_INET, host)
        return socket.AF_INET
    socket.inet_pton(socket.AF_INET6, host)
    return socket.AF_INET6


@dataclass(frozen=True, slots=True)
class MonitorSettings:
    """Looking at the daemon while it runs."""

    metrics: Ear | None = setting(
        "metrics-listen",
        EAR,
        default=None,
        summary="Where to answer /metrics for Prometheus, /healthz and /readyz over HTTP. Whoever can "
        "connect is answered: name a loopback address or a socket. Without it nothing is counted.",
        example="127.0.0.1:9110",
    )
    control: str | None = setting(
        "control-socket",
        PATH,
        default=None,
        summary="Unix socket for pypop3d status and pypop3d kick. Root may use it, and whoever started the "
        "daemon.",
        example=USUAL_CONTROL,
    )

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Yield what no socket can be made of."""
        if self.control is not None and len(self.control.encode()) > _LONGEST_PATH:
            yield "control-socket", f"a socket's path has at most {_LONGEST_PATH} octets"
        if self.control is not None and self.metrics is not None and self.metrics.path == self.control:
            yield "metrics-listen", "the control socket has this path"


def listen(ear: Ear, mode: int) -> socket.socket:
    """Open a listening, non-blocking socket.

    Args:
        ear: where.
        mode: permissions of a Unix socket.

    Raises:
        EarError: it cannot be listened on.
    """
    family = socket.AF_UNIX if ear.path else _family(ear.host)
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if ear.path:
            _bind_path(sock, ear.path, mode)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((ear.host, ear.port))
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise EarError(f"cannot listen on {ear}: {error.strerror}") from None
    return sock


def _bind_path(sock: socket.socket, path: str, mode: int) -> None:
    with contextlib.suppress(FileExistsError, FileNotFoundError):
        os.mkdir(os.path.dirname(path), 0o755)  # /run is empty after each start of the machine
    _clear(path)
    before = os.umask(0o777 & ~mode)  # never open for more, not even for a moment
    try:
        sock.bind(path)
    finally:
        os.umask(before)


def _clear(path: str) -> None:
    """Remove a socket that nobody listens on any more."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        if probe.connect_ex(path) == errno.ECONNREFUSED:
            os.unlink(path)
