"""The processes of separated mode: who runs as whom, and has what.

    master         root; starts the others and gives them their pools of mail processes; knows no secret
      worker       net-user; talks to clients until they are logged in; keys, no files
      authenticator  auth-user; checks passwords, writes tickets; the settings with their secrets
      mail         the owner of some mail; reads that mail for clients that have been let in
      monitor      net-user; answers operators

Each process closes what is not its own, becomes who it is, and then confines itself: see docs/security.md.

When things fail: `StartError` with what is wrong; nothing has been started then.  A process that cannot
become what it should be ends, and is tried again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pwd
import resource
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial

from tpop3d_py.assemble.certificates import laid_out
from tpop3d_py.assemble.doors import Threshold, bind_doors, furnish_doors, profile_of
from tpop3d_py.assemble.estate import End
from tpop3d_py.assemble.groups import Options, StartError, auth_settings, make_log
from tpop3d_py.assemble.monitoring import open_ears
from tpop3d_py.assemble.plant import Lasting, Opened, Plant
from tpop3d_py.assemble.processes import MARGIN, ask_for_descriptors, share_memory
from tpop3d_py.assemble.rehearsal import MISTAKES, Outcome, Secrets
from tpop3d_py.auth import passwords
from tpop3d_py.auth.cache import CacheSettings, LoginCache
from tpop3d_py.auth.commons import Arena
from tpop3d_py.auth.registry import Authentication, assemble_chain
from tpop3d_py.config import Configuration
from tpop3d_py.directory.engine import DirectorySettings
from tpop3d_py.log import Log
from tpop3d_py.maildrop.opener import MaildropSettings
from tpop3d_py.pop3.handover import Carried
from tpop3d_py.pop3.languages import CATALOGS
from tpop3d_py.pop3.profile import Profile
from tpop3d_py.server import authenticator, privileges, sandbox
from tpop3d_py.server.bounds import LimitSettings
from tpop3d_py.server.census import Part
from tpop3d_py.server.crew import Generation, Kind, Role
from tpop3d_py.server.ears import EarError
from tpop3d_py.server.lobby import Hall, NetWorker
from tpop3d_py.server.mailroom import MailPlan, MailWorker
from tpop3d_py.server.pools import Floor, Owner, Pool, Pools, Post
from tpop3d_py.server.remembering import Oblivion, Remembering
from tpop3d_py.server.sandbox import Files, SandboxUnavailable
from tpop3d_py.server.separation import Cast, SeparationSettings, cast_of
from tpop3d_py.server.settings import LogSettings, ServerSettings
from tpop3d_py.server.slots import Slot

#: Session threads of a process that reads one user's mail.
_FEW_THREADS = 3
#: What Python and the C library may look at in a process that may see hardly any file.
_PROGRAM = ("/usr", "/lib", "/lib64", "/etc", sys.prefix, sys.base_prefix)
#: What a descriptor can be kept in reserve with, and no more.
_NOTHING = {os.devnull: Files.READ}


def make_separated(outcome: Outcome, secrets: Secrets, options: Options, lasting: Lasting) -> Generation:
    """Open what the settings ask for and plan the processes; the listeners are in force when this returns.

    Args:
        outcome: of the rehearsal.
        secrets: what only some of the processes may know.
        options: of the command line.
        lasting: what outlives this reading.

    Raises:
        StartError: the settings cannot be obeyed.
    """
    conf = outcome.conf
    server, bounds = conf.get(ServerSettings), conf.get(LimitSettings)
    try:
        cast = cast_of(conf.get(SeparationSettings), server.run_as)
        log = make_log(conf.get(LogSettings), options, cast.mail.pw_uid)
        with lasting.sockets.claiming() as claims:
            threshold = bind_doors(conf, outcome.known, claims, log)
            ears = open_ears(conf, claims)
            files = ask_for_descriptors(bounds, log)
            opened = Opened(
                (), ears, threshold.expiry, outcome.mailboxes, files, server.worker_count, outcome.hears
            )
            plant = _SeparatedPlant(conf, options, lasting, opened, log)
            plant.furnish(outcome, secrets, threshold, cast)  # whose channels are the last to open
            claims.keep()
    except (*MISTAKES, EarError) as error:
        raise StartError(str(error)) from None
    _announce(outcome, threshold, log)
    share_memory()
    lasts = bounds.login_timeout_seconds + server.auth_timeout + MARGIN
    changed, missed = threshold.watch.changed, lasting.note_death
    # Few of them may open the log file again, and none that is confined: newer ones have it from the master.
    return Generation(plant.roles(), log, lasts, changed, missed, plant.pools, reopens=False)


def _announce(outcome: Outcome, threshold: Threshold, log: Log) -> None:
    for line in threshold.announcements:
        log.notice(line)
    for warning in (*outcome.conf.warnings, *threshold.warnings, *outcome.notices):
        log.warning(warning)
    for measure in outcome.unconfined:
        log.warning(f"processes are not confined as they could be: {measure}")
    log.notice(f"{len(outcome.drivers)} authentication drivers successfully loaded; privileges are separated")


class _SeparatedPlant(Plant):
    """The processes of one reading."""

    def furnish(self, outcome: Outcome, secrets: Secrets, threshold: Threshold, cast: Cast) -> None:
        """Say what there is beside what all modes have."""
        self._conf = conf = outcome.conf
        self._groups = outcome.groups
        self._known = outcome.known
        self._settings, self._keys = secrets.settings, secrets.keys
        self._threshold = threshold
        self._cast = cast
        self._oblivion = Oblivion()
        self._arena = Arena()
        self._profiles = _profiles(conf)
        self._mail_files = mail_files(conf, outcome.drivers)
        self._standing = Owner(cast.mail.pw_uid, cast.mail.pw_gid)
        settings = conf.get(SeparationSettings)
        staff = frozenset((cast.net.pw_uid, cast.auth.pw_uid))
        floor = Floor(settings.first_uid, self._standing, settings.mail_owners, staff)
        self.pools = Pools(floor, self._passing, self._log)
        for holder in (self._settings, self._keys, self.pools):
            self._lasting.estate.add(holder)

    def roles(self) -> list[Role]:
        """All processes that are always there, in the order they are to be started in."""
        workers, expect, gone = self._server.worker_count, self._expect, self._monitoring.gone
        pool = self.pools.standing
        read = partial(self._read_mail, self._standing, pool, True)
        roles = [Role(f"mail {n}", read, self._bury, Kind.MAIL, expect) for n in range(workers)]
        roles += [
            Role(f"authenticator {n}", self._authenticate, self._lose, born=self.pools.born)
            for n in range(self._server.authenticator_count)
        ]
        roles += [
            Role(f"worker {n}", partial(self._work, n), partial(self._mourn, n), Kind.WORKER, expect)
            for n in range(workers)
        ]
        if self._herald is not None:
            roles.append(Role("teller", self._tell_drivers, gone))
        if self._monitoring.wanted:
            roles.append(Role("monitor", self._watch, gone, Kind.MONITOR))
        return roles

    def _passing(self, owner: Owner, pool: Pool, ended: Callable[[], None]) -> Role:
        """Make the role of a process that is there as long as somebody needs it."""

        def mourn(slot: Slot) -> None:
            self._bury(slot)
            ended()

        read = partial(self._read_mail, owner, pool, False)
        return Role(f"mail of uid {owner.uid}", read, mourn, Kind.MAIL, self._expect, passing=True)

    def _lose(self, slot: Slot) -> None:
        self.pools.mourn(slot)
        self._monitoring.gone(slot)

    # --- in the processes ---------------------------------------------------

    def _work(self, number: int, slot: Slot) -> None:
        with laid_out(self._known, self._keys.open()) as known:
            entrance = furnish_doors(self._conf, self._threshold, known, self._log)
        link = self._link
        answers = link.answers_in[number]
        self._lasting.estate.leave((link.requests_out, answers))
        net = self._cast.net
        self._become(Owner(net.pw_uid, net.pw_gid), ())
        resolves = not all(door.domain for door in entrance.doors)
        plan = dataclasses.replace(self._watched(slot), doors=entrance.doors)
        _confine({**_NOTHING, **dict.fromkeys(_PROGRAM if resolves else (), Files.SEE)})
        entrance.start_resolver()
        hall = Hall(link.requests_out, answers, number, self._server.auth_timeout, self._log)
        hall.on_forget = self._oblivion.ask
        NetWorker(slot, hall, number, plan).run()

    def _authenticate(self, slot: Slot) -> None:
        link, standing = self._link, self.pools.standing.tickets_out
        asking = self.pools.handed_over(slot)
        herald = self._herald
        telling = (herald.outgoing,) if herald is not None else ()
        authentication = self._know_accounts(
            (link.requests_in, *link.answers_out, standing, asking, *telling)
        )
        decide = self._monitoring.in_authenticator(slot, authentication.decide)
        cache = self._conf.get(CacheSettings)
        if cache.enable:
            decide = Remembering(decide, partial(LoginCache, cache), self._oblivion)
        if herald is not None:
            decide = herald.watching(decide)
        post = Post(asking, self._standing, standing)
        timeout, chores = self._server.auth_timeout, authentication.chores
        authenticator.serve(link, decide, timeout, self._log, chores, post.deliver)
        authentication.stop()

    def _tell_drivers(self, _slot: Slot) -> None:
        assert self._herald is not None  # else there is no such process
        self._tell(self._know_accounts((self._herald.incoming,)))

    def _know_accounts(self, own: Collection[End]) -> Authentication:
        """Become who may read the secrets of the settings; `own` is what this process has of the master's."""
        with self._arena.dividing():
            authentication = assemble_chain(auth_settings(self._settings.open()), self._log)
        passwords.burn_time(b"")  # loads what the first login would wait for
        self._lasting.sockets.close_all()
        self._lasting.estate.leave(own)
        authentication.start()
        auth = self._cast.auth
        self._become(Owner(auth.pw_uid, auth.pw_gid), os.getgrouplist(auth.pw_name, auth.pw_gid))
        with contextlib.suppress(SandboxUnavailable):
            sandbox.hide_memory()
        authentication.settle()
        return authentication

    def _read_mail(self, owner: Owner, pool: Pool, stands_ready: bool, slot: Slot) -> None:
        self._lasting.sockets.close_all()
        self._lasting.estate.leave((pool.tickets_in, *self._link.answers_out))
        self._become(owner, self._groups_of(owner))
        if stands_ready:
            self._opener.set_aside(self._mail_root)
        plan = self._watched(slot, Part.MAIL)
        if not stands_ready:
            plan = dataclasses.replace(plan, threads=min(plan.threads, _FEW_THREADS))
        _confine(self._mail_files)
        mail = MailPlan(pool.tickets_in, self._link, self._profile_of, stands_ready)
        MailWorker(slot, mail, plan).run()

    def _watch(self, slot: Slot) -> None:
        self._link.drain(self._seat)
        self._monitoring.serve(slot, self._lasting.sockets.close_all, self._drop_monitor)

    def _drop_monitor(self) -> None:
        link, net = self._link, self._cast.net
        self._lasting.estate.leave((link.requests_out, link.answers_in[self._seat]))
        self._become(Owner(net.pw_uid, net.pw_gid), ())
        _confine(None)

    def _become(self, owner: Owner, groups: Iterable[int]) -> None:
        """Give root up; after that the kernel has to be told again whose death ends us."""
        master = os.getppid()
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        privileges.become(owner.uid, owner.gid, groups)
        privileges.die_with(master)

    def _groups_of(self, owner: Owner) -> set[int]:
        """Supplementary groups of who reads an owner's mail: for lock files in spools that are shared."""
        if owner == self._standing:
            mail = self._cast.mail
            return {*os.getgrouplist(mail.pw_name, mail.pw_gid), *self._groups}
        with contextlib.suppress(KeyError):
            return {owner.gid, pwd.getpwuid(owner.uid).pw_gid}
        return {owner.gid}

    def _profile_of(self, carried: Carried) -> Profile:
        found = self._profiles.get((carried.catalog, carried.bound))
        if found is None:
            raise ValueError("unknown words")
        return found


def _profiles(conf: Configuration) -> Mapping[tuple[int, bool], Profile]:
    """Make the settings of sessions behind their login: there listeners differ in nothing else."""
    any_listener = conf.get(ServerSettings).listen_address[0]
    base = profile_of(any_listener, conf, b"")
    return {
        (number, bound): dataclasses.replace(base, texts=texts, binding=b"bound" if bound else b"")
        for number, texts in enumerate(CATALOGS.values())
        for bound in (False, True)
    }


def mail_files(conf: Configuration, drivers: Iterable[str]) -> Mapping[str, Files] | None:
    """Tell what a process that reads mail may touch; None: what the owner may touch.

    Args:
        conf: the settings.
        drivers: names of those that say where mail lies.
    """
    folders = conf.get(SeparationSettings).mail_folders
    directory_only = list(drivers) == ["directory"] and not conf.get(MaildropSettings).mailbox
    if not folders and directory_only:
        folders = (conf.get(DirectorySettings).mail_root,)
    if not folders:
        return None
    if "c-client" in conf.get(MaildropSettings).methods:
        folders = (*folders, "/tmp")  # noqa: S108 - where c-client has its locks
    return {**_NOTHING, **dict.fromkeys(_PROGRAM, Files.SEE), **dict.fromkeys(folders, Files.CHANGE)}


def _confine(allowed: Mapping[str, Files] | None) -> None:
    """Confine this process, as far as the kernel knows how: the master has told what it does not.

    Args:
        allowed: files; None: all that its user may touch.
    """
    with contextlib.suppress(SandboxUnavailable):
        sandbox.hide_memory()
    if allowed is not None:
        with contextlib.suppress(SandboxUnavailable):
            sandbox.allow_files(allowed)
    with contextlib.suppress(SandboxUnavailable):
        sandbox.deny_calls()
