"""Forwarders: add, delete, list.

A forwarder beats a box of the same name; a target that is the box itself keeps
a copy.  ``_default_`` is asked last.  A chain that leads back to where it began
is refused; a chain across domains that two people close at the same moment is
not seen here, and the MTA refuses it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Row, Select
from sqlalchemy.exc import IntegrityError

from tpop3d_py.directory import addresses, statements
from tpop3d_py.directory.addresses import CATCH_ALL, Address
from tpop3d_py.directory.engine import Directory
from tpop3d_py.directory.errors import AlreadyThere, NotFound, Refused
from tpop3d_py.directory.operations.rules import existing_domain, locked_domain


@dataclass(frozen=True, slots=True)
class Forwarder:
    """A forwarder with all its targets, as they are stored."""

    address: str
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AddedForwarder:
    """Targets that were added.

    Args:
        address: the forwarder.
        targets: the new ones, in stored form.
        bypassed: a box of this name exists and no longer gets a copy.
    """

    address: str
    targets: tuple[str, ...]
    bypassed: bool


def add_forwarder(
    directory: Directory, domain: str, local_part: str, targets: Sequence[str]
) -> AddedForwarder:
    """Add one or several targets to a forwarder, all or none.

    Args:
        directory: where.
        domain: an existing domain.
        local_part: the part before ``@``, or ``_default_`` for what nothing else takes.
        targets: addresses; a name without ``@`` is in the same domain.

    Raises:
        Refused: bad name or target, unknown domain, target that is there already, or a loop.
    """
    source = addresses.forwarder(local_part, domain)
    wanted = [addresses.target(target, source.domain) for target in targets]
    if not wanted:
        raise Refused("name at least one target")
    with directory.writing() as connection:
        locked_domain(connection, source.domain)
        routes = _Routes(connection)
        stored = tuple(dict.fromkeys(routes.stored(target) for target in wanted))
        for target in stored:
            _add(connection, routes, source, target)
        bypassed = routes.has_box(source) and source not in routes.rows(source)
    return AddedForwarder(str(source), tuple(map(str, stored)), bypassed)


def _add(connection: Connection, routes: _Routes, source: Address, target: Address) -> None:
    if target in routes.rows(source):
        raise AlreadyThere(f"'{source}' is forwarded to '{target}' already")
    if target == source:
        if not routes.has_box(source):
            raise Refused(f"'{source}' would be forwarded to itself, and there is no such box to keep a copy")
    elif routes.lead_back(source, target):
        raise Refused(f"'{target}' leads back to '{source}': mail would go round for ever")
    try:
        connection.execute(statements.add_forwarder(source.domain, source.local_part, str(target)))
    except IntegrityError:
        raise AlreadyThere(f"'{source}' is forwarded to '{target}' already") from None


def delete_forwarder(
    directory: Directory, domain: str, local_part: str, targets: Sequence[str] = ()
) -> Forwarder:
    """Delete some targets of a forwarder, all or none, or the whole forwarder if none is named.

    Raises:
        Refused: unknown domain, forwarder or target.
    """
    source = addresses.forwarder(local_part, domain)
    wanted = [addresses.target(target, source.domain) for target in targets]
    with directory.writing() as connection:
        locked_domain(connection, source.domain)
        present = [row.remote_name for row in connection.execute(_targets(source))]
        if not present:
            raise NotFound(f"forwarder '{source}' does not exist")
        gone = tuple(_choose(source, present, wanted)) if wanted else tuple(present)
        for remote_name in gone:
            connection.execute(statements.delete_target(source.domain, source.local_part, remote_name))
    return Forwarder(str(source), gone)


def _choose(source: Address, present: Sequence[str], wanted: Sequence[Address]) -> list[str]:
    # An original database has targets without a domain, and in any case.
    known = {str(_parsed(text, source.domain)).lower(): text for text in present}
    chosen = []
    for target in wanted:
        if str(target).lower() not in known:
            raise NotFound(f"'{source}' is not forwarded to '{target}'")
        chosen.append(known[str(target).lower()])
    return list(dict.fromkeys(chosen))


def list_forwarders(directory: Directory, domain: str, local_part: str | None = None) -> list[Forwarder]:
    """List a domain's forwarders in order, or one of them.

    Raises:
        Refused: unknown domain or forwarder.
    """
    with directory.reading() as connection:
        if local_part is None:
            row = existing_domain(connection, addresses.domain_name(domain))
            return _grouped(row.name, connection.execute(statements.forwarders(row.name)).all())
        source = addresses.forwarder(local_part, domain)
        existing_domain(connection, source.domain)
        found = _grouped(source.domain, connection.execute(_targets(source)).all())
    if not found:
        raise NotFound(f"forwarder '{source}' does not exist")
    return found


def _grouped(domain: str, rows: Sequence[Row[str, str]]) -> list[Forwarder]:
    by_name: dict[str, list[str]] = {}
    for local_part, remote_name in rows:
        by_name.setdefault(local_part, []).append(remote_name)
    return [Forwarder(f"{name}@{domain}", tuple(targets)) for name, targets in by_name.items()]


def _targets(source: Address) -> Select[str, str]:
    return statements.targets(source.domain, source.local_part)


def _parsed(remote_name: str, domain: str) -> Address:
    # Not checked: it stands in the database already, and the MTA will read it in the same way.
    local, at, where = remote_name.rpartition("@")
    return Address(local, where.lower()) if at else Address(remote_name, domain)


class _Routes:
    """Where the directory sends an address, as the MTA will see it, inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._ours: dict[str, bool] = {}

    def stored(self, target: Address) -> Address:
        """Fold the local part if the domain is ours; elsewhere its case may matter."""
        return Address(target.local_part.lower(), target.domain) if self._is_ours(target.domain) else target

    def rows(self, source: Address) -> set[Address]:
        """Return the targets of a forwarder, an empty set if there is none."""
        rows = self._connection.execute(_targets(source))
        return {self.stored(_parsed(row.remote_name, source.domain)) for row in rows}

    def has_box(self, address: Address) -> bool:
        """Tell whether mail for this address can be kept."""
        statement = statements.one_popbox(address.domain, address.local_part)
        return self._connection.execute(statement).first() is not None

    def lead_back(self, source: Address, start: Address) -> bool:
        """Tell whether mail that arrives at `start` comes to `source` again."""
        seen: set[Address] = set()
        waiting = [start]
        while waiting:
            address = waiting.pop()
            forwarder, following = self._next(address)
            if source in (address, forwarder):
                return True
            seen.add(address)
            waiting += following - seen
        return False

    def _next(self, address: Address) -> tuple[Address, set[Address]]:
        """Return the forwarder that takes mail for an address, and its targets other than the address."""
        if not self._is_ours(address.domain):
            return address, set()
        rows = self.rows(address)
        if rows or self.has_box(address):
            return address, rows - {address}
        default = Address(CATCH_ALL, address.domain)
        return default, self.rows(default)

    def _is_ours(self, domain: str) -> bool:
        if domain not in self._ours:
            found = self._connection.execute(statements.one_domain(domain)).first()
            self._ours[domain] = found is not None
        return self._ours[domain]
