"""The original `virtualemail` schema, as the paper's table 1 has it, and a few rows in it."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from sqlalchemy import Engine, text

#: Without keys that are unique over whole names: README.auth_mysql of tpop3d advised prefixes at most.
TABLES = (
    """CREATE TABLE domain (
        domain_name varchar(255) NOT NULL, unix_user varchar(255), password_hash varchar(255),
        path varchar(255), max_popbox int, PRIMARY KEY (domain_name))""",
    """CREATE TABLE popbox (
        domain_name varchar(255) NOT NULL, local_part varchar(255) NOT NULL,
        password_hash varchar(255), mbox_name varchar(255))""",
    """CREATE TABLE forwarder (
        domain_name varchar(255), local_part varchar(255), remote_name varchar(255))""",
    """CREATE TABLE web_session (
        domain_name varchar(255), session_id varchar(32), expires int)""",
)


class Directory:
    """The four tables in one database, and the mail root beside them."""

    def __init__(self, engine: Engine, root: Path, *, charset: str = "") -> None:
        """Create the tables.

        Args:
            engine: an empty database.
            root: folder for the domains; everybody must be able to enter it.
            charset: what follows the tables' definitions; empty: the database's default.
        """
        self.engine = engine
        self.root = root
        root.mkdir()
        root.chmod(0o755)
        with engine.begin() as connection:
            for table in TABLES:
                connection.execute(text(table + charset))

    def insert(self, table: str, *rows: tuple[str | None, ...]) -> None:
        """Insert rows of domain_name, and then: local_part and mbox_name, or local_part and remote_name."""
        column = {"popbox": "mbox_name", "forwarder": "remote_name"}[table]
        statement = text(f"INSERT INTO {table} (domain_name, local_part, {column}) VALUES (:d, :l, :v)")
        with self.engine.begin() as connection:
            for domain, local_part, value in rows:
                connection.execute(statement, {"d": domain, "l": local_part, "v": value})

    def add_domain(self, name: str, owner: pwd.struct_passwd) -> Path:
        """Add a domain and make its directory as VE-domain does."""
        path = self.root / name
        path.mkdir()
        path.chmod(0o750)
        os.chown(path, owner.pw_uid, owner.pw_gid)
        statement = text("INSERT INTO domain (domain_name, unix_user, path) VALUES (:d, :u, :p)")
        with self.engine.begin() as connection:
            connection.execute(statement, {"d": name, "u": owner.pw_name, "p": str(path)})
        return path
