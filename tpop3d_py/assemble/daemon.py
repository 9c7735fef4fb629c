"""The life of the daemon: check, start, serve, read the settings again, stop.

When things fail: `StartError` with one line (or several) for the operator, before anything has been served;
after that the log.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

from tpop3d_py import __version__
from tpop3d_py.assemble.doors import check_doors
from tpop3d_py.assemble.groups import Options, StartError, auth_settings
from tpop3d_py.assemble.plant import Lasting
from tpop3d_py.assemble.processes import make_generation
from tpop3d_py.assemble.rehearsal import rehearse
from tpop3d_py.assemble.separated import make_separated
from tpop3d_py.auth import passwords
from tpop3d_py.auth.plugin import DriverError
from tpop3d_py.auth.registry import NoDrivers, assemble_chain
from tpop3d_py.auth.tokens import TokenCheckError
from tpop3d_py.config import ConfigError, Configuration
from tpop3d_py.directory.errors import DirectoryError
from tpop3d_py.log import Log
from tpop3d_py.server import privileges
from tpop3d_py.server.certificates import CertificateError
from tpop3d_py.server.crew import Generation
from tpop3d_py.server.listeners import ListenError
from tpop3d_py.server.notify import Notifier
from tpop3d_py.server.pidfile import PidFile, PidFileError
from tpop3d_py.server.separation import SeparationSettings, cast_of
from tpop3d_py.server.settings import LogSettings, ServerSettings
from tpop3d_py.server.supervisor import NotReloaded, Supervisor


def serve(read: Callable[[], Configuration], options: Options) -> int:
    """Run the POP3 daemon until it is told to stop; return the exit code.

    Args:
        read: reads the settings; raises `ConfigError`.
        options: the command line.

    Raises:
        StartError: it cannot start.
    """
    notifier = Notifier()
    pid_file = _claim(options.pid_file)
    try:
        lasting = Lasting()
        conf, first = _generation(read, options, lasting)
        passwords.burn_time(b"")  # loads what every process would load for itself later
        note = pid_file.write if pid_file is not None else lambda _pid: None
        if options.foreground or conf.get(LogSettings).no_detach or notifier.listening:
            note(os.getpid())
        else:
            detach(note)
            first.log.reopen()  # the terminal is not ours any more
        first.log.notice(f"net_loop: pypop3d version {__version__} successfully started")

        def again() -> Generation:
            try:
                _, newer = _generation(read, options, lasting)
            except (ConfigError, StartError) as error:
                lasting.note_reading("failed")
                raise NotReloaded(str(error)) from None
            lasting.note_reading("ok")
            return newer

        return Supervisor(first, again, notifier, lasting.slots).run()
    finally:
        if pid_file is not None:
            pid_file.remove()


def _generation(
    read: Callable[[], Configuration], options: Options, lasting: Lasting
) -> tuple[Configuration, Generation]:
    """Read the settings, in a process of its own where privileges may have to be separated."""
    rehearsed = rehearse(read) if os.geteuid() == 0 else None
    if rehearsed is not None:
        outcome, secrets = rehearsed
        return outcome.conf, make_separated(outcome, secrets, options, lasting)
    conf = read()
    return conf, make_generation(conf, options, lasting)


def _claim(path: str) -> PidFile | None:
    try:
        return PidFile(path) if path else None
    except PidFileError as error:
        raise StartError(str(error)) from None


@dataclass(frozen=True, slots=True)
class Findings:
    """What `check` found: nothing that keeps the server from starting.

    Args:
        warnings: what the operator should look at.
        drivers: names of the authentication drivers that are on, in the order in which they are asked.
    """

    warnings: tuple[str, ...]
    drivers: tuple[str, ...]


def check(conf: Configuration) -> Findings:
    """Look for what would keep the server from starting, without binding or connecting.

    Raises:
        StartError: it would not start.
    """
    server = conf.get(ServerSettings)
    file = conf.get(LogSettings).file
    if file and not os.path.isdir(os.path.dirname(file)):
        raise StartError(f"log-file {file}: there is no such folder")
    try:
        privileges.check_account(server.run_as)
        if (separation := conf.get(SeparationSettings)).wanted:
            cast_of(separation, server.run_as)
        authentication = assemble_chain(auth_settings(conf), Log("pypop3d", to_stderr=False))
        warnings = check_doors(conf)
    except (
        NoDrivers,
        DriverError,
        TokenCheckError,
        ListenError,
        CertificateError,
        DirectoryError,
        privileges.PrivilegeError,
    ) as error:
        raise StartError(str(error)) from None
    except KeyError as error:
        raise StartError(str(error.args[0])) from None
    names = tuple(driver.name for driver in authentication.drivers)
    return Findings((*conf.warnings, *warnings, *authentication.notices), names)


def detach(note: Callable[[int], None]) -> None:
    """Leave the terminal: the shell sees success, because everything that can fail at start has not.

    Args:
        note: told the new process id before the shell goes on, so that the pid file has it by then.
    """
    if between := os.fork():
        os.waitpid(between, 0)
        os._exit(0)
    os.setsid()
    if pid := os.fork():
        note(pid)
        os._exit(0)
    os.chdir("/")  # or the file system we were started in could not be unmounted
    sys.stdout.flush()
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)
