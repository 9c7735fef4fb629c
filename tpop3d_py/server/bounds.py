"""The directives that bound how many clients there may be, and what they come to.

When things fail: values that contradict each other are told by the configuration reader.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass

from tpop3d_py.server.networks import NETWORKS, Networks
from tpop3d_py.settings import integer, seconds, setting

_LOOPBACK = Networks((ipaddress.ip_network("127.0.0.1"), ipaddress.ip_network("::1")))
#: Connections for each session that may be logged in, if nothing else is said.
_CONNECTIONS_A_SESSION = 10
#: Part of the open files of a process that clients may have; the rest is for its own, and for surprises.
_CLIENTS_FILES = 0.8


@dataclass(frozen=True, slots=True)
class Limits:
    """What the limits come to.

    Args:
        connections: of all processes together.
        here: of one process, each session counted as two, for the file it may have open.
        sessions: of all processes together.
        sessions_of_one: sessions of one source; 0: any number.
        waiting_of_one: connections of one source that have not logged in; 0: any number.
        exempt: addresses that have no share.
        login_seconds: until a connection must have logged in.
        stressed_seconds: the same when there are many.
    """

    connections: int
    here: int
    sessions: int
    sessions_of_one: int
    waiting_of_one: int
    exempt: Networks
    login_seconds: float
    stressed_seconds: float


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """Limits, against too many clients."""

    max_children: int = setting(
        "max-children",
        integer(1, 1_000_000, "sessions"),
        default=1000,
        summary="How many sessions may be logged in at once; the next login is answered [SYS/TEMP].",
    )
    max_connections: int = setting(
        "max-connections",
        integer(0, 10_000_000, "connections"),
        default=0,
        summary="How many connections there may be in all, logged in or not; 0 is ten times max-children. At "
        "the limit newcomers are let in, and the oldest connection without a login is closed, of the address "
        "that has most of them.",
    )
    max_sessions_per_address: int = setting(
        "max-sessions-per-address",
        integer(0, 1_000_000, "sessions"),
        default=100,
        summary="How many sessions may be logged in from one address, which is all of a /64 in IPv6; the "
        "next login is answered [SYS/TEMP]; 0 is any number.",
    )
    max_waiting_per_address: int = setting(
        "max-waiting-per-address",
        integer(0, 1_000_000, "connections"),
        default=0,
        summary="How many connections from one address may be open without a login; the oldest of them is "
        "closed when one more comes. 0 is any number: whoever has most is the first to be closed at "
        "max-connections anyway.",
    )
    exempt: Networks = setting(
        "limit-exempt-networks",
        NETWORKS,
        default=_LOOPBACK,
        summary="Networks that the limits per address do not count for: webmail hosts, proxies, "
        "monitoring. Whoever is listed is also the last to be closed at max-connections.",
        example="127.0.0.1 ::1 10.0.0.0/8",
    )
    login_timeout_seconds: int = setting(
        "login-timeout-seconds",
        integer(5, 3600, "seconds"),
        default=60,
        summary="Close a connection that has not logged in after this long, whatever it sends.",
    )
    stressed_login_timeout: float = setting(
        "stressed-login-timeout-seconds",
        seconds(1, 3600),
        default=10.0,
        summary="The same while 70 % of max-connections are in use.",
    )

    command_errors: int = setting(
        "max-command-errors",
        integer(1, 1_000_000, "commands"),
        default=50,
        summary="Close a connection with so many commands that could not be obeyed.",
    )
    login_attempts: int = setting(
        "max-failed-logins",
        integer(1, 1000, "logins"),
        default=3,
        summary="Close a connection with so many wrong logins, or with so many that could not be checked.",
    )

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Yield what contradicts itself."""
        if self.max_connections and self.max_connections < self.max_children:
            yield "max-connections", "must not be less than max-children"

    @property
    def connections(self) -> int:
        """How many connections that makes in all."""
        return self.max_connections or _CONNECTIONS_A_SESSION * self.max_children

    @property
    def files(self) -> int:
        """Open files that a process needs if it gets all clients; two are for a session's mailbox."""
        return int((self.connections + 2 * self.max_children) / _CLIENTS_FILES) + 100

    def limits(self, files: int) -> Limits:
        """Return what the limits come to where a process may have so many open files."""
        return Limits(
            connections=self.connections,
            here=max(1, int(files * _CLIENTS_FILES)),
            sessions=self.max_children,
            sessions_of_one=self.max_sessions_per_address,
            waiting_of_one=self.max_waiting_per_address,
            exempt=self.exempt,
            login_seconds=self.login_timeout_seconds,
            stressed_seconds=self.stressed_login_timeout,
        )
