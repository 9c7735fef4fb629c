"""Every SQL statement of the project.

Each function returns one SQLAlchemy Core statement with bound parameters; no
text from outside ever becomes SQL.  Names are given in stored form (see
`addresses`).  On an original database, whose collation takes ``LUSER`` or
``luser `` for ``luser``, a statement may find such rows too: who must know
better compares again, as `lookup` does.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Delete,
    Insert,
    Select,
    String,
    Update,
    bindparam,
    func,
    literal_column,
    select,
    text,
)
from sqlalchemy.sql.elements import TextClause

from tpop3d_py.directory.schema import KEYS, domain, forwarder, metadata, popbox, schema_version

# --- login -------------------------------------------------------------------


def login() -> Select[str, str, str, str, str, str]:
    """Find a box for a login; parameters ``local_part`` and ``domain_name``.

    The names come back too, because the collation of an original database matches more than them.
    """
    return (
        select(
            popbox.c.local_part,
            popbox.c.domain_name,
            domain.c.path,
            popbox.c.mbox_name,
            popbox.c.password_hash,
            domain.c.unix_user,
        )
        .select_from(popbox.join(domain, popbox.c.domain_name == domain.c.domain_name))
        .where(
            popbox.c.domain_name == bindparam("domain_name"), popbox.c.local_part == bindparam("local_part")
        )
    )


# --- domains -----------------------------------------------------------------


def domains() -> Select[str, str, str, int | None]:
    """List all domains: name, Unix user, path, limit."""
    c = domain.c
    return select(c.domain_name, c.unix_user, c.path, c.max_popbox).order_by(c.domain_name)


def domain_names() -> Select[str]:
    """List the names of all domains."""
    return select(domain.c.domain_name)


def one_domain(name: str) -> Select[str, str, str, int | None]:
    """Read one domain: name, Unix user, path, limit."""
    c = domain.c
    return select(c.domain_name, c.unix_user, c.path, c.max_popbox).where(c.domain_name == name)


def locked_domain(name: str) -> Select[str, str, str, int | None]:
    """Read one domain and keep its row locked until the transaction ends.

    Whoever adds or removes boxes and forwarders of a domain takes this lock first, and reads what its
    rule depends on afterwards.  SQLite has no row locks; there ``BEGIN IMMEDIATE`` does the same.
    """
    return one_domain(name).with_for_update()


def add_domain(name: str, unix_user: str, path: str) -> Insert:
    """Insert a domain without a limit and without a password."""
    return domain.insert().values(domain_name=name, unix_user=unix_user, path=path)


def set_max_popbox(name: str, limit: int | None) -> Update:
    """Set how many boxes a domain may have; None is no limit."""
    return domain.update().where(domain.c.domain_name == name).values(max_popbox=limit)


def set_domain_password(name: str, password_hash: str) -> Update:
    """Set the password with which a domain is administered."""
    return domain.update().where(domain.c.domain_name == name).values(password_hash=password_hash)


def delete_domain(name: str) -> Delete:
    """Delete a domain's row."""
    return domain.delete().where(domain.c.domain_name == name)


# --- boxes -------------------------------------------------------------------


def popboxes(name: str) -> Select[str, str, bool]:
    """List a domain's boxes: local part, mailbox name, whether a password is set."""
    c = popbox.c
    return (
        select(c.local_part, c.mbox_name, _is_set(c.password_hash))
        .where(c.domain_name == name)
        .order_by(c.local_part)
    )


def one_popbox(name: str, local_part: str) -> Select[str, str, bool]:
    """Read one box: local part, mailbox name, whether a password is set."""
    return popboxes(name).where(popbox.c.local_part == local_part)


def _is_set(column: ColumnElement[str]) -> ColumnElement[bool]:
    return func.coalesce(column, "") != ""


def count_popboxes(name: str) -> Select[int]:
    """Count a domain's boxes."""
    return select(func.count()).select_from(popbox).where(popbox.c.domain_name == name)


def popboxes_with_file(name: str, mbox_names: tuple[str, ...]) -> Select[str]:
    """List the boxes of a domain that keep their mail in one of these files."""
    return select(popbox.c.local_part).where(popbox.c.domain_name == name, popbox.c.mbox_name.in_(mbox_names))


def add_popbox(name: str, local_part: str, mbox_name: str) -> Insert:
    """Insert a box without a password."""
    return popbox.insert().values(domain_name=name, local_part=local_part, mbox_name=mbox_name)


def set_popbox_password(name: str, local_part: str, password_hash: str) -> Update:
    """Set a box's password."""
    return popbox.update().where(*_box(name, local_part)).values(password_hash=password_hash)


def replace_popbox_password(dialect: str) -> Update:
    """Set a box's password if it still is what it was; parameters local_part, domain_name, old, new.

    Args:
        dialect: MySQL's collations take one hash for another that differs in capitals.
    """
    c = popbox.c
    stored: ColumnElement[str] = c.password_hash
    if dialect == "mysql":
        stored = literal_column("BINARY popbox.password_hash", String())
    return (
        popbox.update()
        .where(
            c.domain_name == bindparam("domain_name"),
            c.local_part == bindparam("local_part"),
            stored == bindparam("old"),
        )
        .values(password_hash=bindparam("new"))
    )


def delete_popbox(name: str, local_part: str) -> Delete:
    """Delete one box."""
    return popbox.delete().where(*_box(name, local_part))


def delete_popboxes(name: str) -> Delete:
    """Delete all boxes of a domain."""
    return popbox.delete().where(popbox.c.domain_name == name)


def _box(name: str, local_part: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return popbox.c.domain_name == name, popbox.c.local_part == local_part


# --- forwarders --------------------------------------------------------------


def forwarders(name: str) -> Select[str, str]:
    """List a domain's forwarders: local part, target."""
    c = forwarder.c
    return (
        select(c.local_part, c.remote_name).where(c.domain_name == name).order_by(c.local_part, c.remote_name)
    )


def targets(name: str, local_part: str) -> Select[str, str]:
    """List the targets of one local part: local part, target."""
    return forwarders(name).where(forwarder.c.local_part == local_part)


def count_forwarders(name: str) -> Select[int]:
    """Count a domain's forwarders, one for each target."""
    return select(func.count()).select_from(forwarder).where(forwarder.c.domain_name == name)


def add_forwarder(name: str, local_part: str, remote_name: str) -> Insert:
    """Insert one target of a forwarder."""
    return forwarder.insert().values(domain_name=name, local_part=local_part, remote_name=remote_name)


def delete_forwarder(name: str, local_part: str) -> Delete:
    """Delete all targets of one local part."""
    return forwarder.delete().where(forwarder.c.domain_name == name, forwarder.c.local_part == local_part)


def delete_target(name: str, local_part: str, remote_name: str) -> Delete:
    """Delete one target of one local part."""
    return delete_forwarder(name, local_part).where(forwarder.c.remote_name == remote_name)


def delete_forwarders(name: str) -> Delete:
    """Delete all forwarders of a domain."""
    return forwarder.delete().where(forwarder.c.domain_name == name)


# --- reports -----------------------------------------------------------------


def stored_passwords(table_name: str) -> Select[str]:
    """Read the stored password of every row."""
    return select(metadata.tables[table_name].c.password_hash)


# --- migrations --------------------------------------------------------------


def applied_versions() -> Select[int]:
    """List the migrations that have run."""
    return select(schema_version.c.version).order_by(schema_version.c.version)


def every_row(table_name: str) -> Select[Any]:
    """Read the columns of all rows that adopting an original database looks at."""
    table = metadata.tables[table_name]
    extra = {"domain": ("unix_user", "path"), "popbox": ("mbox_name",), "web_session": ("domain_name",)}
    return select(*(table.c[name] for name in (*KEYS[table_name], *extra.get(table_name, ()))))


def take_schema_lock() -> TextClause:
    """Keep a second ``vmail db`` command out (MariaDB: its DDL takes no part in transactions)."""
    return text("SELECT GET_LOCK(CONCAT('vmail_schema_', LEFT(DATABASE(), 40)), 10)")


def wait_for_schema_lock() -> TextClause:
    """Do the same on PostgreSQL: a second command waits until the first one's transaction ends."""
    return text("SELECT pg_advisory_xact_lock(hashtext('vmail_schema'))")
