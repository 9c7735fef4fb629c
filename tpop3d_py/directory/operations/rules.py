"""What several operations need: an existing domain, a usable password."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from sqlalchemy import Connection

from tpop3d_py.directory import statements
from tpop3d_py.directory.errors import NotFound, Refused
from tpop3d_py.log import printable

#: A command line is 255 octets with its end (RFC 2449 section 4); ``PASS`` and a blank go off.
LONGEST_PASSWORD = 248


@dataclass(frozen=True, slots=True)
class DomainRow:
    """A domain's row; NULL texts are empty, a limit of None is no limit."""

    name: str
    unix_user: str
    path: str
    max_popbox: int | None


def existing_domain(connection: Connection, name: str) -> DomainRow:
    """Read a domain that must exist.

    Raises:
        NotFound: it does not; the text names the nearest one.
    """
    return _domain(connection, name, lock=False)


def locked_domain(connection: Connection, name: str) -> DomainRow:
    """Like `existing_domain`, and nobody else can lock it until the transaction ends."""
    return _domain(connection, name, lock=True)


def _domain(connection: Connection, name: str, *, lock: bool) -> DomainRow:
    statement = statements.locked_domain(name) if lock else statements.one_domain(name)
    row = connection.execute(statement).first()
    if row is None:
        raise _no_domain(connection, name)
    return DomainRow(row.domain_name, row.unix_user or "", row.path or "", row.max_popbox)


def _no_domain(connection: Connection, name: str) -> NotFound:
    names = [row.domain_name for row in connection.execute(statements.domain_names())]
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean '{printable(near[0])}'?" if near else ""
    return NotFound(f"domain '{printable(name)}' does not exist{hint}")


def check_password(password: str) -> None:
    """Make sure that a password can be stored and sent by a POP3 client.

    Raises:
        Refused: it is empty, too long, has NUL or a line end, or is not text.
    """
    try:
        octets = password.encode("utf-8")
    except UnicodeEncodeError:
        raise Refused("the password is not UTF-8 text") from None
    if not octets:
        raise Refused("the password must not be empty")
    if any(c in octets for c in b"\0\r\n"):
        raise Refused("the password must not contain NUL or a line end")
    if len(octets) > LONGEST_PASSWORD:
        raise Refused(f"the password is longer than {LONGEST_PASSWORD} octets, the most that POP3 can send")
