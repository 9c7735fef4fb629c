"""The tables of the directory, as SQLAlchemy sees them.

Names and columns are those of Vmail-SQL 0.3; the files under ``sql/`` are what
really creates the tables.  Nothing here may be needed that an original database
does not have: keys, collations and `schema_version` exist only after
``vmail db upgrade``, and the statements must work before it.
"""

from __future__ import annotations

from sqlalchemy import Column, DateTime, Integer, MetaData, String, Table

metadata = MetaData()

domain = Table(
    "domain",
    metadata,
    Column("domain_name", String(255), primary_key=True),
    Column("unix_user", String(255)),
    Column("password_hash", String(255)),
    Column("path", String(255)),
    Column("max_popbox", Integer),
)

popbox = Table(
    "popbox",
    metadata,
    Column("domain_name", String(255), primary_key=True),
    Column("local_part", String(255), primary_key=True),
    Column("password_hash", String(255)),
    Column("mbox_name", String(255)),
)

forwarder = Table(
    "forwarder",
    metadata,
    Column("domain_name", String(255), primary_key=True),
    Column("local_part", String(255), primary_key=True),
    Column("remote_name", String(255), primary_key=True),
)

web_session = Table(
    "web_session",
    metadata,
    Column("domain_name", String(255)),
    Column("session_id", String(32), primary_key=True),
    Column("expires", Integer),
)

schema_version = Table(
    "schema_version",
    metadata,
    Column("version", Integer, primary_key=True),
    Column("name", String(64)),
    Column("applied", DateTime),
)

#: The four tables of the paper, parents first, with the columns that identify a row.
KEYS: dict[str, tuple[str, ...]] = {
    "domain": ("domain_name",),
    "popbox": ("domain_name", "local_part"),
    "forwarder": ("domain_name", "local_part", "remote_name"),
    "web_session": ("session_id",),
}
