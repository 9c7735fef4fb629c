"""Reading the settings without knowing their secrets: a short-lived process does it.

The master of separated mode lives long and is copied into every other process, so it must never have held a
database password or a key.  A child reads and assembles everything as a rehearsal, tells the master what
came out, and dies: the settings with secrets left out, the whole settings in a memory file that only
authentication processes read, or the mistakes.

When things fail: `StartError` with what the child said.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import os
import pickle
import socket
import sys
import traceback
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from tpop3d_py.assemble.certificates import Known
from tpop3d_py.assemble.doors import inspect_doors
from tpop3d_py.assemble.groups import StartError, auth_settings, daemon_groups
from tpop3d_py.auth.plugin import DriverError
from tpop3d_py.auth.registry import NoDrivers, assemble_chain
from tpop3d_py.auth.tokens import TokenCheckError
from tpop3d_py.config import ConfigError, Configuration
from tpop3d_py.directory.errors import DirectoryError
from tpop3d_py.log import Log, one_line
from tpop3d_py.maildrop.patterns import Pattern
from tpop3d_py.server import certificates, sandbox
from tpop3d_py.server.certificates import CertificateError
from tpop3d_py.server.listeners import ListenError
from tpop3d_py.server.privileges import PrivilegeError
from tpop3d_py.server.sandbox import SandboxUnavailable
from tpop3d_py.server.separation import SeparationSettings, cast_of
from tpop3d_py.server.settings import ServerSettings
from tpop3d_py.settings import declarations

T = TypeVar("T")

#: Everything that may be wrong with settings, with a text for the operator.
MISTAKES = (
    *(NoDrivers, DriverError, TokenCheckError, ListenError, CertificateError, DirectoryError, PrivilegeError),
    *(ConfigError, StartError),
)


class Sealed(Generic[T]):
    """A value in memory that has no name; closed by whoever must not read it.

    Args:
        fd: a memory file.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        # Each reading of the settings makes one; of those before only the number would be left.
        self._close = weakref.finalize(self, os.close, fd)
        self._close.atexit = False

    def open(self) -> T:
        """Read it."""
        octets = os.pread(self._fd, os.fstat(self._fd).st_size, 0)
        found: T = pickle.loads(octets)  # noqa: S301 - written by a child of ours, and by nobody else
        return found

    def close(self) -> None:
        """Make it unreadable for this process."""
        self._close()
        self._fd = -1

    def everything(self) -> Iterator[Sealed[T]]:
        """Be a holder of itself; see `estate`."""
        yield self


@dataclass(frozen=True, slots=True)
class Secrets:
    """What only some processes may know.

    Args:
        settings: all of them, for those that check passwords.
        keys: the files of all certificates, for those that talk to clients.
    """

    settings: Sealed[Configuration]
    keys: Sealed[Mapping[str, bytes]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a rehearsal has found.

    Args:
        conf: the settings without secrets.
        drivers: names of the authentication drivers.
        notices: what the operator should hear of them.
        hears: whether any driver wants to know of logins.
        groups: ids of the groups that sessions work with.
        mailboxes: each driver's own patterns for mailboxes.
        known: of the certificates.
        modules: what had to be loaded.
        unconfined: why processes will not be confined as they should be.
    """

    conf: Configuration
    drivers: Sequence[str]
    notices: Sequence[str]
    hears: bool
    groups: Sequence[int]
    mailboxes: Mapping[str, Sequence[Pattern]]
    known: Known
    modules: Sequence[str]
    unconfined: Sequence[str]


def rehearse(read: Callable[[], Configuration]) -> tuple[Outcome, Secrets] | None:
    """Read the settings in a child; None if they do not ask for separated mode.

    Args:
        read: reads them.

    Raises:
        StartError: they cannot be obeyed.
    """
    ours, theirs = socket.socketpair()
    with ours:
        pid = os.fork()
        if pid == 0:
            ours.close()
            _be_the_child(theirs, read)
        theirs.close()
        try:
            said, descriptors = _hear(ours)
        finally:
            os.waitpid(pid, 0)
    if not said:
        raise StartError("the settings could not be read: the process that read them has died")
    answer = pickle.loads(said)  # noqa: S301 - from a child of ours that has read no octet of a client
    if isinstance(answer, str):
        raise StartError(answer)
    if answer is None:
        return None
    for name in answer.modules:
        # What authentication needs, so that its processes share the code; a driver's own folder may be gone.
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    return answer, Secrets(Sealed(descriptors[0]), Sealed(descriptors[1]))


def _hear(sock: socket.socket) -> tuple[bytes, list[int]]:
    parts: list[bytes] = []
    descriptors: list[int] = []
    while True:
        part, found, _, _ = socket.recv_fds(sock, 1 << 16, 2, socket.MSG_CMSG_CLOEXEC)
        descriptors += found
        if not part:
            return b"".join(parts), descriptors
        parts.append(part)


def _be_the_child(sock: socket.socket, read: Callable[[], Configuration]) -> None:
    code = 1
    try:
        before = set(sys.modules)
        answer, *secrets = _rehearse(read, before)
        octets = pickle.dumps(answer)
        if secrets:
            socket.send_fds(sock, [octets[:1]], [_seal(secret) for secret in secrets])
            octets = octets[1:]
        sock.sendall(octets)
        code = 0
    except Exception:  # a fault of ours must be told by somebody who lives
        sock.sendall(pickle.dumps(f"internal error: {one_line(traceback.format_exc())}"))
    finally:
        os._exit(code)


def _seal(secret: object) -> int:
    fd = os.memfd_create("pypop3d-secret", os.MFD_CLOEXEC)
    with os.fdopen(os.dup(fd), "wb") as file:
        pickle.dump(secret, file)
    return fd


def _rehearse(read: Callable[[], Configuration], before: set[str]) -> tuple[object, ...]:
    """Return the outcome, behind it the settings and the keys; or a mistake, or nothing, and no more."""
    try:
        conf = read()
        separation = conf.get(SeparationSettings)
        if not separation.wanted:
            return (None,)
        cast_of(separation, conf.get(ServerSettings).run_as)
        authentication = assemble_chain(auth_settings(conf), Log("pypop3d", to_stderr=False))
        known = inspect_doors(conf)
        keys = dict(_contents(known))
    except (*MISTAKES, OSError) as error:  # the latter from a key that has just gone
        return (str(error),)
    except KeyError as error:  # an account or a group
        return (str(error.args[0]),)
    loaded = [name for name in sys.modules if name not in before and "__" not in name]
    return (
        Outcome(
            without_secrets(conf),
            [driver.name for driver in authentication.drivers],
            authentication.notices,
            authentication.hear,
            authentication.groups,
            authentication.mailboxes,
            known,
            loaded,
            list(_try_confinement()),
        ),
        conf,
        keys,
    )


def _contents(known: Known) -> Iterator[tuple[str, bytes]]:
    """Yield the files of certificates, as they were when they were looked at."""
    for pair, certificate in known.certificates.items():
        for path in (pair.certificate, pair.key):
            with open(path, "rb") as file:
                yield path, file.read()
        if certificates.stamps_of((pair.certificate, pair.key)) != certificate.stamps:
            raise CertificateError(f"{pair.certificate}: changed while being read")


def without_secrets(conf: Configuration) -> Configuration:
    """Leave out every setting that is declared as secret."""
    groups: dict[type[Any], Any] = {}
    for group in daemon_groups():
        secrets = {d.field: d.default for d in declarations(group) if d.secret}
        groups[group] = dataclasses.replace(conf.get(group), **secrets) if secrets else conf.get(group)
    return Configuration(groups, conf.warnings, conf.files)


def _try_confinement() -> Iterator[str]:
    """Find out on this process, which has nothing left to do, what the kernel offers."""
    for measure in (sandbox.deny_calls, sandbox.hide_memory, lambda: sandbox.allow_files({})):
        try:
            measure()
        except SandboxUnavailable as error:
            yield str(error)
