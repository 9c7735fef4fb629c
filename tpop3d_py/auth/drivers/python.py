"""``auth-python``: a class of the site's own decides, written in Python; the successor of ``auth-perl``.

The class derives from `program.AuthDriver`.  It is looked at in the master without being run, and loaded in
each authentication process when that has given root up: site code never runs as root.  It shares the
process with the other drivers, their secrets included; what should not can be run by ``auth-other``.

When things fail: whatever a method raises costs one login, which is answered as a temporary failure, and so
do answers that make no sense.  A class that cannot be loaded, or whose `start` fails, costs every login
until the process is replaced.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
import os
import re
import stat
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tpop3d_py.auth import answers, program
from tpop3d_py.auth.names import Attempt
from tpop3d_py.auth.plugin import (
    Driver,
    DriverError,
    LoggedIn,
    Plugin,
    Tools,
    enable_setting,
    mail_group_setting,
    mailbox_setting,
)
from tpop3d_py.auth.program import AuthDriver
from tpop3d_py.contracts import Credentials, Decision, Verdict
from tpop3d_py.log import INFO, Log, printable
from tpop3d_py.maildrop.patterns import Pattern
from tpop3d_py.settings import Kind, setting

NAME = "python"
#: Entry points that name classes.
ENTRY_POINTS = "tpop3d_py.auth.python"
_FILE = re.compile(r"(/.+\.py):([A-Za-z_]\w*)")
_MODULE = re.compile(r"([A-Za-z_][\w.]*):([A-Za-z_]\w*)")
_ENTRY = re.compile(r"[A-Za-z_][\w.-]*")
#: What the module of a file is called.
_MODULE_NAME = "tpop3d_py_site"


def _source(text: str) -> str:
    if not any(form.fullmatch(text) for form in (_FILE, _MODULE, _ENTRY)):
        raise ValueError("must be /PATH/FILE.py:CLASS, MODULE:CLASS or the name of an entry point")
    return text


@dataclass(frozen=True, slots=True)
class PythonSettings:
    """Logins that a Python class decides about (auth-python)."""

    enable: bool = enable_setting(NAME, "Have a Python class decide about logins.")
    source: str = setting(
        "auth-python-class",
        Kind("/PATH/FILE.py:CLASS, MODULE:CLASS or an entry point", _source),
        default=None,
        summary="The class, derived from tpop3d_py.auth.program.AuthDriver: see drivers.md. Entry points are "
        f"looked for in {ENTRY_POINTS}.",
        example="/usr/local/lib/tpop3d_auth.py:Accounts",
    )
    mailbox: tuple[Pattern, ...] = mailbox_setting(NAME)
    mail_group: str = mail_group_setting(NAME)

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Yield what is missing when the driver is on."""
        if self.enable and not self.source:
            yield "auth-python-class", "required when auth-python-enable is on"


class Python:
    """The driver."""

    name = NAME

    def __init__(self, source: str, reader: answers.Reader, log: Log) -> None:
        self._source = source
        self._reader = reader
        self._log = log
        self._site: AuthDriver | None = None

    def settle(self) -> None:
        """Load the class and make its object."""
        os.environ["TPOP3D_CONTEXT"] = f"auth_{NAME}"
        with _blamed(self._source):
            site = _load(self._source)()
            if not isinstance(site, AuthDriver):
                raise TypeError("is not derived from tpop3d_py.auth.program.AuthDriver")
            site.print_log = self._print_log  # type: ignore[method-assign]
            site.start()
        self._site = site

    def stop(self) -> None:
        """Let the object clean up."""
        if self._site is not None:
            with _blamed(self._source):
                self._site.finish()

    def check(self, attempt: Attempt, credentials: Credentials) -> Decision:
        """Ask the object about one reading of a login."""
        question = answers.question(attempt, credentials)
        if question is None:
            return Decision(Verdict.NOT_MINE)
        return self._reader.decide(attempt, self._ask(question))

    def logged_in(self, login: LoggedIn) -> None:
        """Tell the object of a login."""
        self._reader.repeat(self._ask(answers.notice(login)))

    def _ask(self, question: dict[bytes, bytes]) -> dict[bytes, bytes]:
        if self._site is None:
            raise DriverError(f"{self._source} could not be loaded")
        with _blamed(self._source):
            return program.octets(program.answer(self._site, program.texts(question)))

    def _print_log(self, text: str) -> None:
        self._log.write(INFO, f"auth-{NAME}: {printable(text)}")


@contextlib.contextmanager
def _blamed(source: str) -> Iterator[None]:
    """Turn whatever site code raises, a wish to exit included, into a `DriverError` that says where."""
    try:
        yield
    except (Exception, SystemExit) as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{last.filename}, line {last.lineno}"
        raise DriverError(f"{source}: {type(error).__name__}: {error} ({place})") from error


def _load(source: str) -> Any:
    """Return what the source names, loaded."""
    if found := _FILE.fullmatch(source):
        spec = importlib.util.spec_from_file_location(_MODULE_NAME, found[1])
        if spec is None or spec.loader is None:
            raise ImportError(found[1])
        module = importlib.util.module_from_spec(spec)
        sys.modules[_MODULE_NAME] = module
        spec.loader.exec_module(module)
        return getattr(module, found[2])
    if found := _MODULE.fullmatch(source):
        return getattr(importlib.import_module(found[1]), found[2])
    return _entry(source).load()


def _entry(name: str) -> importlib.metadata.EntryPoint:
    found = tuple(importlib.metadata.entry_points(group=ENTRY_POINTS, name=name))
    if len(found) != 1:
        raise DriverError(f"auth-python-class: {len(found)} entry points of {ENTRY_POINTS} are called {name}")
    return found[0]


def _inspect(source: str) -> None:
    """Find mistakes that show without running anything."""
    if found := _FILE.fullmatch(source):
        _inspect_file(found[1])
    elif found := _MODULE.fullmatch(source):
        if importlib.util.find_spec(found[1].partition(".")[0]) is None:
            raise DriverError(f"auth-python-class: {source}: there is no such module")
    else:
        _entry(source)


def _inspect_file(path: str) -> None:
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_mode & stat.S_IWOTH:
                raise DriverError(f"auth-python-class: {path}: everybody may change it")
            compile(file.read(), path, "exec")
    except OSError as error:
        raise DriverError(f"auth-python-class: {path}: {error.strerror}") from None
    except (SyntaxError, ValueError) as error:
        raise DriverError(f"auth-python-class: {error}") from None


def make(settings: PythonSettings, tools: Tools) -> Driver:
    """Make the driver.

    Raises:
        DriverError: there is no such class, as far as can be told without loading it.
        KeyError: there is no such group.
    """
    _inspect(settings.source)
    reader = answers.Reader(NAME, tools.owner(settings.mail_group), tools.log)
    return Python(settings.source, reader, tools.log)


PLUGIN = Plugin(NAME, PythonSettings, make)
