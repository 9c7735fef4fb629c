"""The one module that knows every layer: it makes a running server out of settings.

When things fail: `StartError` with one line (or several) for the operator,
before anything has been served.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tpop3d_py import __version__
from tpop3d_py.auth import passwords
from tpop3d_py.auth.drivers.directory import DirectoryDriverSettings
from tpop3d_py.auth.drivers.mysql import MysqlSettings
from tpop3d_py.auth.drivers.pam import PamSettings
from tpop3d_py.auth.names import NameSettings
from tpop3d_py.auth.registry import Authentication, AuthSettings, NoDrivers, assemble_chain
from tpop3d_py.auth.tokens import TokenCheckError, TokenSettings
from tpop3d_py.config import Configuration
from tpop3d_py.directory.engine import DirectorySettings
from tpop3d_py.directory.errors import DirectoryError
from tpop3d_py.log import Log
from tpop3d_py.maildrop.opener import MaildropSettings, Opener
from tpop3d_py.pop3.languages import CATALOGS
from tpop3d_py.pop3.profile import Profile
from tpop3d_py.pop3.settings import ProtocolSettings
from tpop3d_py.server import authenticator, listeners, privileges
from tpop3d_py.server.admission import Admission
from tpop3d_py.server.authlink import AuthLink
from tpop3d_py.server.connection import Connection
from tpop3d_py.server.door import Door
from tpop3d_py.server.endpoint import end_point
from tpop3d_py.server.gate import Gate
from tpop3d_py.server.habits import Habits
from tpop3d_py.server.limits import Board
from tpop3d_py.server.listeners import Listener, ListenError
from tpop3d_py.server.patience import Timeouts
from tpop3d_py.server.pidfile import PidFile, PidFileError
from tpop3d_py.server.sessionlog import Dialogue
from tpop3d_py.server.settings import LogSettings, ServerSettings
from tpop3d_py.server.supervisor import Role, Supervisor
from tpop3d_py.server.transport import server_context
from tpop3d_py.server.worker import Worker, WorkerPlan

#: Settings of the POP3 daemon, in the order of the sample file and the reference page.
POP3_GROUPS: tuple[type[Any], ...] = (
    ServerSettings,
    ProtocolSettings,
    NameSettings,
    MaildropSettings,
    LogSettings,
    DirectoryDriverSettings,
    MysqlSettings,
    PamSettings,
    TokenSettings,
)
#: Settings of the directory, which every command reads.
DIRECTORY_GROUPS: tuple[type[Any], ...] = (DirectorySettings,)


class StartError(Exception):
    """The server cannot start; the text is for the operator."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says.

    Args:
        foreground: stay attached and log to standard error.
        verbose: log the dialogue with every client.
        pid_file: where to store the process id; empty: nowhere.
    """

    foreground: bool = False
    verbose: bool = False
    pid_file: str = ""


def serve(conf: Configuration, options: Options) -> int:
    """Run the POP3 daemon until it is told to stop; return the exit code.

    Raises:
        StartError: it cannot start.
    """
    server = conf.get(ServerSettings)
    log = make_log(conf.get(LogSettings), options)
    for warning in conf.warnings:
        log.warning(warning)
    # A connection and two files for each session, and twice as many connections that wait.
    wanted = 5 * server.max_children + 100
    if (limit := privileges.raise_descriptor_limit(wanted)) < wanted:
        log.warning(
            f"open files are limited to {limit}; max-children needs {wanted} (ulimit -n, LimitNOFILE=)"
        )
    try:
        privileges.check_account(server.run_as)  # now: after detach() nobody would hear of it
        authentication = assemble_chain(auth_settings(conf), log)
        doors = [_open_door(listener, conf) for listener in server.listen_address]
        pid_file = PidFile(options.pid_file) if options.pid_file else None
        passwords.burn_time(
            b""
        )  # loads what would be loaded later, when root's files cannot be read any more
        if not (options.foreground or conf.get(LogSettings).no_detach):
            detach()
        if pid_file is not None:
            pid_file.write(os.getpid())
        privileges.drop_for_good(server.run_as, authentication.groups)
    except (
        NoDrivers,
        TokenCheckError,
        ListenError,
        PidFileError,
        DirectoryError,
        privileges.PrivilegeError,
    ) as error:
        raise StartError(str(error)) from None
    except KeyError as error:
        raise StartError(str(error.args[0])) from None
    _announce(doors, server.listen_address, authentication, log)
    try:
        return Supervisor(_roles(conf, options, doors, authentication, log), log).run()
    finally:
        if pid_file is not None:
            pid_file.remove()


def make_log(settings: LogSettings, options: Options) -> Log:
    """Open the log that settings and command line ask for."""
    return Log(
        "pypop3d",
        level="debug" if options.verbose else settings.level,
        facility=settings.facility,
        to_stderr=options.foreground or settings.stderr,
        to_syslog=True,
    )


def auth_settings(conf: Configuration) -> AuthSettings:
    """Pick the settings that logins depend on."""
    return AuthSettings(
        names=conf.get(NameSettings),
        pam=conf.get(PamSettings),
        directory=conf.get(DirectorySettings),
        directory_driver=conf.get(DirectoryDriverSettings),
        mysql=conf.get(MysqlSettings),
        tokens=conf.get(TokenSettings),
        empty_passwords=conf.get(ProtocolSettings).empty_passwords,
    )


def check(conf: Configuration) -> list[str]:
    """Look for what would keep the server from starting, without binding or connecting; return warnings.

    Raises:
        StartError: it would not start.
    """
    server = conf.get(ServerSettings)
    try:
        privileges.check_account(server.run_as)
        authentication = assemble_chain(auth_settings(conf), Log("pypop3d", to_stderr=False))
        for listener in server.listen_address:
            _tls_of(listener)
    except (NoDrivers, TokenCheckError, DirectoryError, privileges.PrivilegeError) as error:
        raise StartError(str(error)) from None
    except KeyError as error:
        raise StartError(str(error.args[0])) from None
    return [*conf.warnings, *authentication.notices]


def _open_door(listener: Listener, conf: Configuration) -> Door:
    tls, profile = _tls_of(listener), _profile_of(listener, conf)
    sock = listeners.bind(listener, conf.get(ServerSettings).tcp_send_buffer)
    return Door(sock, listeners.domain_of(listener), profile, tls, listener.stls)


def _profile_of(listener: Listener, conf: Configuration) -> Profile:
    protocol = conf.get(ProtocolSettings)
    return Profile(
        texts=CATALOGS[listener.texts or protocol.texts],
        stls=listener.stls,
        apop_only=protocol.apop_only,
        password_tls_only=protocol.password_tls_only,
        mechanisms=protocol.sasl_mechanisms,
        token_check=bool(conf.get(TokenSettings).check),
        binding=end_point(listener.certificate) if listener.certificate else b"",
        permit_empty_password=protocol.empty_passwords,
        commit_on_early_close=not protocol.no_commit_on_early_close,
    )


def _tls_of(listener: Listener) -> Any:
    if not listener.certificate:
        return None
    try:
        return server_context(listener.certificate, listener.key)
    except OSError as error:
        raise StartError(
            f"listen-address {listener}: certificate or key: {error.strerror or error}"
        ) from None


def _announce(
    doors: Sequence[Door], addresses: Sequence[Listener], authentication: Authentication, log: Log
) -> None:
    """Write the paper's start-up lines."""
    for door, listener in zip(doors, addresses, strict=True):
        host, port = door.sock.getsockname()[:2]
        mode = "stls" if listener.stls else "immediate"
        tls = f"; TLS mode {mode}" if listener.certificate else ""
        log.notice(f"listening on address {host}, port {port}, domain {door.domain}{tls}")
    for notice in authentication.notices:
        log.warning(notice)
    log.notice(f"{authentication.drivers} authentication drivers successfully loaded")
    log.notice(f"net_loop: pypop3d version {__version__} successfully started")


def _roles(
    conf: Configuration, options: Options, doors: Sequence[Door], authentication: Authentication, log: Log
) -> list[Role]:
    server = conf.get(ServerSettings)
    count = server.worker_count
    link, board = AuthLink(count), Board(count)
    opener = Opener(conf.get(MaildropSettings), log)
    trace = Dialogue(log) if options.verbose else None
    habits = Habits(Timeouts(server.timeout_seconds, server.login_timeout_seconds), log, trace)
    admission = Admission(opener.open, board, server.max_children, log)
    plan = WorkerPlan(doors, admission, board, habits, 2 * server.max_children, server.threads, log)

    mail_root = conf.get(DirectorySettings).mail_root

    def work(slot: int) -> None:
        opener.set_aside(mail_root)
        gate: Gate[Connection] = Gate(
            link.requests_out, link.answers_in[slot], slot, server.auth_timeout, log
        )
        Worker(slot, gate, plan).run()

    def authenticate() -> None:
        for door in doors:
            door.sock.close()
        authenticator.serve(link, authentication.chain.decide, server.auth_timeout, log)

    def mourn(slot: int) -> None:
        board.clear(slot)
        link.drain(slot)

    gc.collect()
    gc.freeze()  # what was loaded so far is shared by all processes and never garbage
    roles = [Role(f"authenticator {n}", authenticate) for n in range(server.authenticator_count)]
    return roles + [
        Role(f"worker {n}", lambda n=n: work(n), lambda n=n: mourn(n))  # type: ignore[misc]
        for n in range(count)
    ]


def detach() -> None:
    """Leave the terminal: the shell sees success, because everything that can fail at start has not."""
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
    os.chdir("/")  # or the file system we were started in could not be unmounted
    sys.stdout.flush()
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)
