"""New forms for old passwords: when somebody logs in, his password is known, and can be stored anew.

``password-rehash`` says which forms are replaced:

- ``weak``: those that can be guessed by the thousand million a second.  A password stored as it is stays: its
  owner may need it for APOP or SCRAM, and losing those would look like a wrong password.
- ``all``: everything that is not of ``password-scheme`` and of today's cost, plain ones included.

The login is not held up: the new form is made and stored when the answer has been sent (`chores`).  It
is stored only where the old one still is (`LoginLookup.replace_password`): whoever changes a password in
the same moment wins.

When things fail: the first failure of a row is logged, and nothing is tried for a minute; a directory that we
may only read therefore costs one line in the log and a query each minute.
"""

from __future__ import annotations

import time
from typing import Protocol

from tpop3d_py.auth import passwords
from tpop3d_py.auth.chores import Chores
from tpop3d_py.directory.errors import DirectoryError
from tpop3d_py.log import Log, printable

_PAUSE = 60.0
#: The column of Vmail-SQL.
_LONGEST_FORM = 255


class Replaces(Protocol):
    """Where passwords are stored."""

    def replace_password(self, local_part: str, domain: str, old: str, new: str) -> None:
        """Store another form of a box's password, unless somebody has changed it meanwhile."""


class Rehash:
    """Replaces stored passwords of one driver.

    Args:
        which: as ``password-rehash`` has it: no, weak or all.
        scheme: as ``password-scheme`` has it.
        store: where they are stored.
        chores: what is done after the answer.
        log: told when it works and when it does not.
    """

    def __init__(self, which: str, scheme: str, store: Replaces, chores: Chores, log: Log) -> None:
        self._which = which
        self._scheme = scheme
        self._store = store
        self._chores = chores
        self._log = log
        self._resumes = 0.0
        self._failing = False

    def consider(self, local_part: str, domain: str, stored: str, password: bytes) -> None:
        """Have a password stored anew, if it is to be.

        Args:
            local_part: of the box.
            domain: of the box.
            stored: its form as it was found.
            password: which the client has sent, and which is right.
        """
        if self._is_wanted(stored) and time.monotonic() >= self._resumes:
            self._chores.add(lambda: self._replace(local_part, domain, stored, password))

    def _is_wanted(self, stored: str) -> bool:
        if self._which == "no":
            return False
        if self._which == "weak":
            return passwords.is_weak(stored)
        return not passwords.is_current(stored, self._scheme)

    def _replace(self, local_part: str, domain: str, stored: str, password: bytes) -> None:
        name = printable(f"{local_part}@{domain}".lower())
        try:
            new = passwords.make_hash(password.decode(), self._scheme)
            if len(new) > _LONGEST_FORM:
                raise ValueError(f"the new form would have more than {_LONGEST_FORM} characters")
        except ValueError as error:  # a password that the new scheme cannot hold: this one stays
            self._log.info(f"password-rehash: the password of {name} stays as it is: {error}")
            return
        try:
            self._store.replace_password(local_part, domain, stored, new)
        except DirectoryError as error:
            self._fail(str(error))
            return
        self._failing = False
        self._log.info(f"password-rehash: the password of {name} is stored as {self._scheme} now")

    def _fail(self, why: str) -> None:
        self._resumes = time.monotonic() + _PAUSE
        if not self._failing:
            self._failing = True
            self._log.warning(
                f"password-rehash: passwords stay as they are, which is tried again later: {why}"
            )
