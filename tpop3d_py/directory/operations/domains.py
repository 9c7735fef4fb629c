"""Domains: add, limit, password, delete, list, show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from tpop3d_py.directory import addresses, files, statements
from tpop3d_py.directory.engine import Directory
from tpop3d_py.directory.errors import AlreadyThere, Refused
from tpop3d_py.directory.operations.rules import check_password, existing_domain, locked_domain
from tpop3d_py.log import printable

_LARGEST_LIMIT = 2**31 - 1  # what the column holds


@dataclass(frozen=True, slots=True)
class AddedDomain:
    """A new domain: its name in stored form, the owner of its mail, its directory."""

    name: str
    unix_user: str
    path: str


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain as it is shown.

    Args:
        max_popbox: None is no limit.
        popboxes: boxes it has.
        forwarders: targets of its forwarders.
    """

    name: str
    unix_user: str
    path: str
    max_popbox: int | None
    popboxes: int
    forwarders: int


@dataclass(frozen=True, slots=True)
class DeletedDomain:
    """A domain that is gone, with its boxes and forwarders; its files still lie in `path`."""

    name: str
    path: str
    popboxes: int
    forwarders: int


def add_domain(
    directory: Directory,
    name: str,
    *,
    unix_user: str | None = None,
    path: str | None = None,
    announce: Callable[[AddedDomain], None] = lambda _: None,
) -> AddedDomain:
    """Add a domain without a limit of boxes, and make its directory.

    Args:
        directory: where.
        name: the domain; a U-label is stored as its A-label.
        unix_user: who is to own the mail; None is the configured one.
        path: the domain's directory; None is ``mail-root``/NAME.
        announce: called with what will be done, once nothing speaks against it.

    Raises:
        Refused: bad name, existing domain, unknown user, or a directory that cannot be used.
        DirectoryUnavailable: the database failed; a directory just made is removed again.
    """
    name = addresses.domain_name(name)
    account = files.owner(unix_user or directory.settings.default_unix_user)
    path = addresses.directory_path(path or f"{directory.settings.mail_root}/{name}")
    added = AddedDomain(name, account.pw_name, path)
    with directory.reading() as connection:
        _refuse_existing(connection, added)
    announce(added)
    with files.domain_directory(path, account), directory.writing() as connection:
        _refuse_existing(connection, added)
        try:
            connection.execute(statements.add_domain(name, account.pw_name, path))
        except IntegrityError:  # somebody else was a moment faster
            raise AlreadyThere(f"domain '{name}' exists already") from None
    return added


def _refuse_existing(connection: Connection, new: AddedDomain) -> None:
    for row in connection.execute(statements.domains()):
        if row.domain_name == new.name:
            raise AlreadyThere(f"domain '{new.name}' exists already")
        if row.path and _overlap(row.path, new.path):
            other = printable(row.domain_name)
            raise Refused(f"directory '{printable(new.path)}' overlaps with that of domain '{other}'")


def _overlap(one: str, other: str) -> bool:
    # A box called like a directory below would be that directory.
    one, other = one.rstrip("/") + "/", other.rstrip("/") + "/"
    return one.startswith(other) or other.startswith(one)


def set_max_popbox(directory: Directory, name: str, limit: int | None) -> None:
    """Set how many boxes a domain may have; those it has already stay.

    Args:
        directory: where.
        name: the domain.
        limit: 0 or more; None is no limit.

    Raises:
        Refused: unknown domain or impossible limit.
    """
    name = addresses.domain_name(name)
    if limit is not None and not 0 <= limit <= _LARGEST_LIMIT:
        raise Refused(f"the limit must be between 0 and {_LARGEST_LIMIT}")
    with directory.writing() as connection:
        locked_domain(connection, name)
        connection.execute(statements.set_max_popbox(name, limit))


def set_domain_password(
    directory: Directory, name: str, password: str, make_hash: Callable[[str], str]
) -> None:
    """Set the password with which a domain is administered.

    Args:
        directory: where.
        name: the domain.
        password: in plain text.
        make_hash: turns it into its stored form; slow on purpose, so no lock is held meanwhile.

    Raises:
        Refused: unknown domain or unusable password.
    """
    name = addresses.domain_name(name)
    check_password(password)
    with directory.reading() as connection:
        existing_domain(connection, name)
    password_hash = make_hash(password)
    with directory.writing() as connection:
        locked_domain(connection, name)
        connection.execute(statements.set_domain_password(name, password_hash))


def delete_domain(directory: Directory, name: str) -> DeletedDomain:
    """Delete a domain with its boxes and forwarders; no file is touched.

    Raises:
        Refused: unknown domain.
    """
    name = addresses.domain_name(name)
    with directory.writing() as connection:
        row = locked_domain(connection, name)
        forwarders = connection.execute(statements.delete_forwarders(name)).rowcount
        popboxes = connection.execute(statements.delete_popboxes(name)).rowcount
        connection.execute(statements.delete_domain(name))
    return DeletedDomain(row.name, row.path, popboxes, forwarders)


def show_domain(directory: Directory, name: str) -> Domain:
    """Describe one domain.

    Raises:
        Refused: unknown domain.
    """
    name = addresses.domain_name(name)
    with directory.reading() as connection:
        row = existing_domain(connection, name)
        popboxes = connection.execute(statements.count_popboxes(name)).scalar_one()
        forwarders = connection.execute(statements.count_forwarders(name)).scalar_one()
    return Domain(row.name, row.unix_user, row.path, row.max_popbox, popboxes, forwarders)


def list_domains(directory: Directory) -> list[str]:
    """List the names of all domains in order."""
    with directory.reading() as connection:
        return sorted(row.domain_name for row in connection.execute(statements.domain_names()))
