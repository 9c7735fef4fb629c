"""From one reading of the settings to the processes that obey it.

When things fail: `StartError` with what is wrong; nothing has been started then, and of the listening sockets
those that were open stay as they were.
"""

from __future__ import annotations

import dataclasses
import gc
import os
from functools import partial

from tpop3d_py.assemble.doors import Entrance, announcement, open_doors
from tpop3d_py.assemble.groups import Options, StartError, auth_settings, make_log
from tpop3d_py.assemble.monitoring import open_ears
from tpop3d_py.assemble.plant import Lasting, Opened, Plant
from tpop3d_py.auth.cache import CacheSettings, LoginCache
from tpop3d_py.auth.plugin import DriverError
from tpop3d_py.auth.registry import Authentication, NoDrivers, assemble_chain
from tpop3d_py.auth.tokens import TokenCheckError
from tpop3d_py.config import Configuration
from tpop3d_py.directory.errors import DirectoryError
from tpop3d_py.log import Log
from tpop3d_py.server import authenticator, privileges
from tpop3d_py.server.bounds import LimitSettings
from tpop3d_py.server.certificates import CertificateError
from tpop3d_py.server.connection import Connection
from tpop3d_py.server.crew import Generation, Kind, Role
from tpop3d_py.server.ears import EarError
from tpop3d_py.server.gate import Gate
from tpop3d_py.server.listeners import ListenError
from tpop3d_py.server.separation import SeparationSettings
from tpop3d_py.server.settings import LogSettings, ServerSettings
from tpop3d_py.server.slots import Slot
from tpop3d_py.server.worker import Worker

#: Seconds that helpers serve longer than the last login of their generation can take.
MARGIN = 5.0


def make_generation(conf: Configuration, options: Options, lasting: Lasting) -> Generation:
    """Open what the settings ask for and plan the processes; the listeners are in force when this returns.

    Raises:
        StartError: the settings cannot be obeyed.
    """
    server, bounds = conf.get(ServerSettings), conf.get(LimitSettings)
    try:
        account = privileges.check_account(server.run_as)
        log = make_log(conf.get(LogSettings), options, account.pw_uid if account else None)
        for warning in conf.warnings:
            log.warning(warning)
        if conf.get(SeparationSettings).enable:
            log.warning("privilege-separation: started without root, there is nothing to separate")
        authentication = assemble_chain(auth_settings(conf), log)
        with lasting.contexts.reading() as selection, lasting.sockets.claiming() as claims:
            entrance = open_doors(conf, claims, selection, log)
            ears = open_ears(conf, claims)
            files = ask_for_descriptors(bounds, log)
            opened = Opened(
                entrance.doors,
                ears,
                entrance.expiry,
                authentication.mailboxes,
                files,
                hears=authentication.hear,
            )
            plant = _PlainPlant(conf, options, lasting, opened, log)  # whose channels are the last to open
            claims.keep()
    except (
        NoDrivers,
        DriverError,
        TokenCheckError,
        ListenError,
        EarError,
        CertificateError,
        DirectoryError,
        privileges.PrivilegeError,
    ) as error:
        raise StartError(str(error)) from None
    except KeyError as error:
        raise StartError(str(error.args[0])) from None
    _announce(entrance, authentication, log)
    plant.furnish(entrance, authentication, conf.get(CacheSettings))
    share_memory()
    lasts = bounds.login_timeout_seconds + server.auth_timeout + MARGIN
    return Generation(plant.roles(), log, lasts, entrance.watch.changed, lasting.note_death)


def share_memory() -> None:
    """Have what was loaded so far shared by all processes: it is never garbage."""
    gc.unfreeze()  # what an earlier reading left, cycles of the libraries with our log in them
    gc.collect()
    gc.freeze()


def ask_for_descriptors(bounds: LimitSettings, log: Log) -> int:
    """Return how many files a process may have open."""
    wanted = bounds.files
    limit = privileges.raise_descriptor_limit(wanted)
    if limit < wanted:
        log.warning(
            f"open files are limited to {limit}; max-children and max-connections may need {wanted} "
            "(ulimit -n, LimitNOFILE=)"
        )
    return limit


def _announce(entrance: Entrance, authentication: Authentication, log: Log) -> None:
    """Write the paper's start-up lines."""
    for door in entrance.doors:
        log.notice(announcement(door.sock, door.tls is not None, door.stls, door.stands_for))
    for notice in (*entrance.warnings, *authentication.notices):
        log.warning(notice)
    log.notice(f"{len(authentication.drivers)} authentication drivers successfully loaded")


class _PlainPlant(Plant):
    """The processes of one reading in plain mode: workers serve clients to the end."""

    def furnish(self, entrance: Entrance, authentication: Authentication, cache: CacheSettings) -> None:
        """Say what there is beside what all modes have."""
        self._entrance = entrance
        self._authentication = authentication
        self._cache = cache

    def roles(self) -> list[Role]:
        """All processes, in the order they are to be started in."""
        gone = self._monitoring.gone
        roles = [
            Role(f"authenticator {n}", self._authenticate, gone)
            for n in range(self._server.authenticator_count)
        ]
        roles += [
            Role(f"worker {n}", partial(self._work, n), partial(self._mourn, n), Kind.WORKER, self._expect)
            for n in range(self._server.worker_count)
        ]
        if self._herald is not None:
            roles.append(Role("teller", self._tell_drivers, gone))
        if self._monitoring.wanted:
            roles.append(Role("monitor", self._watch, gone, Kind.MONITOR))
        return roles

    def _work(self, number: int, slot: Slot) -> None:
        self._drop()
        self._opener.set_aside(self._mail_root)
        self._entrance.start_resolver()
        link = self._link
        memory = LoginCache(self._cache) if self._cache.enable else None
        gate: Gate[Connection] = Gate(
            link.requests_out, link.answers_in[number], number, self._server.auth_timeout, self._log, memory
        )
        tell = self._herald.tell if self._herald is not None else None
        Worker(slot, gate, dataclasses.replace(self._watched(slot), tell=tell)).run()

    def _authenticate(self, slot: Slot) -> None:
        self._lasting.sockets.close_all()
        self._authentication.start()
        self._drop()
        self._authentication.settle()
        authentication = self._authentication
        decide = self._monitoring.in_authenticator(slot, authentication.decide)
        authenticator.serve(self._link, decide, self._server.auth_timeout, self._log, authentication.chores)
        authentication.stop()

    def _tell_drivers(self, _slot: Slot) -> None:
        self._lasting.sockets.close_all()
        self._authentication.start()
        self._drop()
        self._authentication.settle()
        self._tell(self._authentication)

    def _watch(self, slot: Slot) -> None:
        self._link.drain(self._seat)
        self._monitoring.serve(slot, self._lasting.sockets.close_all, self._drop)

    def _drop(self) -> None:
        """Give root up; after that the kernel has to be told again whose death ends us."""
        master = os.getppid()
        privileges.drop_for_good(self._server.run_as, self._authentication.groups)
        privileges.die_with(master)
