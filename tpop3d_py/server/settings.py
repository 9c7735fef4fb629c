"""What the runtime obeys: listeners, processes, limits, time-outs and the log."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from tpop3d_py.log import FACILITIES, LEVEL_ALIASES, LEVELS
from tpop3d_py.server.listeners import LISTENERS, Listener
from tpop3d_py.settings import BOOLEAN, PATH, TEXT, choice, integer, seconds, setting


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Listeners, processes and limits."""

    listen_address: tuple[Listener, ...] = setting(
        "listen-address",
        LISTENERS,
        default=None,
        summary="Addresses to serve, each ADDRESS[:PORT][(DOMAIN)|/REGEX/] with options behind it, as in "
        "docs/listeners.md: ;tls=MODE,CERT[,KEY] ;tls-min=VERSION ;ciphers=LIST ;texts=NAME ;proxy=yes|tls. "
        "MODE is immediate, or stls for clients that say STLS; the port is 110, or 995 with tls=immediate. "
        "DOMAIN stands in the greeting and completes login names; without it the domain is found by the "
        "address that a client connected to. An IPv6 address with a port is written in brackets.",
        example="10.0.0.1(klient1.pl) [::1]:995(klient1.pl);tls=immediate,/etc/ssl/klient1.pem",
    )
    timeout_seconds: int = setting(
        "timeout-seconds",
        integer(0, 86_400, "seconds"),
        default=600,
        summary="Close a session after this long without a command and without progress in sending; 0 never "
        "does. RFC 1939 section 3 asks for at least 600.",
    )
    tcp_send_buffer: int = setting(
        "tcp-send-buffer",
        integer(0, 1 << 28, "octets"),
        default=0,
        summary="How much of a message the kernel keeps for a client that has not read it yet; 0 leaves that "
        "to the kernel. Small values save memory with thousands of slow clients.",
    )
    run_as: str = setting(
        "run-as",
        TEXT,
        default="vmail",
        summary="Unix user to become for good once the listeners are bound, when started as root. All mail "
        "served must belong to that user.",
    )
    workers: int = setting(
        "worker-processes",
        integer(0, 256),
        default=0,
        summary="Processes that serve connections; 0 is one for each processor.",
    )
    threads: int = setting(
        "session-threads",
        integer(1, 64),
        default=8,
        summary="Threads in each worker process. One of them works and the others are spare: when a slow "
        "disk stops it for more than 20 milliseconds, the next one goes on with the others' sessions.",
    )
    auth_processes: int = setting(
        "auth-processes",
        integer(0, 64),
        default=0,
        summary="Processes that check passwords, one login at a time each; 0 is one for each processor, but "
        "at least 2. An argon2id check takes about 20 ms of a processor.",
    )
    auth_timeout: float = setting(
        "auth-timeout-seconds",
        seconds(0.5, 60),
        default=4.0,
        summary="Answer a login [SYS/TEMP] when its check takes longer, and replace the process asked.",
    )

    @property
    def authenticator_count(self) -> int:
        """How many authentication processes that makes on this machine."""
        return self.auth_processes or max(2, len(os.sched_getaffinity(0)))

    @property
    def worker_count(self) -> int:
        """How many worker processes that makes on this machine."""
        return self.workers or len(os.sched_getaffinity(0))

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Yield what a server cannot start without."""
        if not self.listen_address:
            yield "listen-address", "at least one address is required"


@dataclass(frozen=True, slots=True)
class LogSettings:
    """The log."""

    facility: str = setting(
        "log-facility", choice(*FACILITIES), default="mail", summary="Syslog facility of every line."
    )
    level: str = setting(
        "log-level",
        choice(*LEVELS, *LEVEL_ALIASES),
        default="notice",
        summary="Lines less important than this are dropped; -v lowers it to debug. At notice there is one "
        "line for each login and one for the end of its session; info adds the ancestor's other two.",
    )
    file: str | None = setting(
        "log-file",
        PATH,
        default=None,
        summary="File to write to as well as to syslog. On SIGUSR1 every process goes over to a new file of "
        "that name, which the first one makes if nobody else has.",
        example="/var/log/tpop3d/pop3.log",
    )
    form: str = setting(
        "log-format",
        choice("classic", "json"),
        default="classic",
        summary="classic are the ancestor's lines, json is one object a line with what each event has of its "
        "own.",
    )
    mark_passwords: bool = setting(
        "log-bad-passwords",
        BOOLEAN,
        default=False,
        summary="Tell wrong passwords from each other by a mark of four hexadecimal digits in the line of "
        "the refusal. Unlike in tpop3d no password is ever written, and a mark means nothing in another "
        "process.",
    )
    stderr: bool = setting(
        "log-stderr",
        BOOLEAN,
        default=False,
        summary="Copy every line to standard error; -d does the same.",
    )
    no_detach: bool = setting(
        "no-detach", BOOLEAN, default=False, summary="Stay in the foreground; -d does the same."
    )
