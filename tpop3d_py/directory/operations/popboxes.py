"""Boxes: add, password, delete, list, show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection, Row
from sqlalchemy.exc import IntegrityError

from tpop3d_py.directory import addresses, files, statements
from tpop3d_py.directory.engine import Directory
from tpop3d_py.directory.errors import AlreadyThere, LimitReached, NotFound, Refused
from tpop3d_py.directory.operations.rules import DomainRow, check_password, existing_domain, locked_domain
from tpop3d_py.log import printable

MAILBOX_TYPES = ("bsd", "maildir")


@dataclass(frozen=True, slots=True)
class AddedPopbox:
    """A new box.

    Args:
        address: in stored form.
        mbox_name: file below the domain's directory; a final slash is a maildir.
        path: where its mail will lie.
        forwarded: a forwarder of the same name exists, which takes the mail instead.
    """

    address: str
    mbox_name: str
    path: str
    forwarded: bool


@dataclass(frozen=True, slots=True)
class Popbox:
    """A box as it is shown; `path` is empty if the row says none."""

    address: str
    mbox_name: str
    path: str
    has_password: bool

    @property
    def mailbox_type(self) -> str:
        """``bsd`` or ``maildir``, told by the final slash."""
        return MAILBOX_TYPES[self.mbox_name.endswith("/")]


def add_popbox(
    directory: Directory,
    domain: str,
    local_part: str,
    *,
    mailbox_type: str | None = None,
    adopt: bool = False,
    announce: Callable[[str, str], None] = lambda *_: None,
) -> AddedPopbox:
    """Add a box without a password: mail is taken at once, and nobody can log in yet.

    Args:
        directory: where.
        domain: an existing domain.
        local_part: the part before ``@``; also the name of the file.
        mailbox_type: ``bsd`` or ``maildir``; None is the configured one.
        adopt: hand over mail that lies there from an earlier box of this name.
        announce: called with address and mailbox name, once nothing speaks against it.

    Raises:
        Refused: bad name, unknown or full domain, existing box, or mail of an earlier one.
    """
    address = addresses.join(local_part, domain)
    mbox_name = _mbox_name(address, mailbox_type or directory.settings.default_mailbox_type)
    with directory.writing() as connection:
        row = locked_domain(connection, address.domain)
        _refuse_taken(connection, address, mbox_name)
        _refuse_full(connection, row)
        if not adopt:
            files.refuse_old_mail(row.path, mbox_name)
        announce(str(address), mbox_name)
        try:
            connection.execute(statements.add_popbox(address.domain, address.local_part, mbox_name))
        except IntegrityError:
            raise AlreadyThere(f"box '{address}' exists already") from None
        forwarded = (
            connection.execute(statements.targets(address.domain, address.local_part)).first() is not None
        )
    return AddedPopbox(str(address), mbox_name, files.mailbox_path(row.path, mbox_name), forwarded)


def _mbox_name(address: addresses.Address, mailbox_type: str) -> str:
    if mailbox_type not in MAILBOX_TYPES:
        raise Refused(f"mailbox type must be one of: {', '.join(MAILBOX_TYPES)}")
    return addresses.mbox_name(address.local_part + ("/" if mailbox_type == "maildir" else ""))


def _refuse_taken(connection: Connection, address: addresses.Address, mbox_name: str) -> None:
    if connection.execute(statements.one_popbox(address.domain, address.local_part)).first() is not None:
        raise AlreadyThere(f"box '{address}' exists already")
    file = mbox_name.rstrip("/")
    other = connection.execute(statements.popboxes_with_file(address.domain, (file, f"{file}/"))).first()
    if other is not None:
        raise AlreadyThere(
            f"box '{printable(other.local_part)}@{address.domain}' keeps its mail in '{file}' already"
        )


def _refuse_full(connection: Connection, row: DomainRow) -> None:
    if row.max_popbox is None:
        return
    # Counted after the domain's row was locked, so nobody adds a box between the count and the commit.
    count = connection.execute(statements.count_popboxes(row.name)).scalar_one()
    if count >= row.max_popbox:
        raise LimitReached(f"domain '{row.name}' is full: it has {count} of {row.max_popbox} boxes")


def set_password(directory: Directory, address: str, password: str, make_hash: Callable[[str], str]) -> None:
    """Set a box's password; it holds from the next login on.

    Args:
        directory: where.
        address: ``LOCAL@DOMAIN``.
        password: in plain text.
        make_hash: turns it into its stored form; slow on purpose, so no lock is held meanwhile.

    Raises:
        Refused: unknown box or unusable password.
    """
    box = addresses.address(address)
    check_password(password)
    with directory.reading() as connection:
        _existing(connection, box)
    password_hash = make_hash(password)
    with directory.writing() as connection:
        statement = statements.set_popbox_password(box.domain, box.local_part, password_hash)
        if connection.execute(statement).rowcount == 0:
            raise NotFound(f"box '{box}' does not exist")


def delete_popbox(directory: Directory, domain: str, local_part: str) -> Popbox:
    """Delete a box; its mail stays where it is.

    Raises:
        Refused: unknown domain or box.
    """
    box = addresses.join(local_part, domain)
    with directory.writing() as connection:
        locked_domain(connection, box.domain)
        gone = _existing(connection, box)
        connection.execute(statements.delete_popbox(box.domain, box.local_part))
    return gone


def show_popbox(directory: Directory, domain: str, local_part: str) -> Popbox:
    """Describe one box.

    Raises:
        Refused: unknown domain or box.
    """
    with directory.reading() as connection:
        return _existing(connection, addresses.join(local_part, domain))


def list_popboxes(directory: Directory, domain: str) -> list[Popbox]:
    """List a domain's boxes in order.

    Raises:
        Refused: unknown domain.
    """
    with directory.reading() as connection:
        row = existing_domain(connection, addresses.domain_name(domain))
        return [_popbox(row, box) for box in connection.execute(statements.popboxes(row.name))]


def _existing(connection: Connection, box: addresses.Address) -> Popbox:
    row = existing_domain(connection, box.domain)
    found = connection.execute(statements.one_popbox(box.domain, box.local_part)).first()
    if found is None:
        raise NotFound(f"box '{box}' does not exist")
    return _popbox(row, found)


def _popbox(domain: DomainRow, row: Row[str, str, bool]) -> Popbox:
    local_part, mbox_name, has_password = row
    mbox_name = mbox_name or ""
    path = files.mailbox_path(domain.path, mbox_name)
    return Popbox(f"{local_part}@{domain.name}", mbox_name, path, bool(has_password))
