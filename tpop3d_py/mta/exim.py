"""Exim's configuration for the directory's domains: facts in, text out.

The text comes in four sections, because exim.conf has them; a site includes
each where it belongs.  All four in one, with `begin` lines between them, are a
file that Exim accepts, and `standalone()` is one that a server can run on.

When things fail: `NotExpressible` says which fact Exim cannot be told.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Any

from tpop3d_py import __version__
from tpop3d_py.mta.facts import Database, MysqlServer, NotExpressible, SqliteFile
from tpop3d_py.mta.queries import MYSQL, SQLITE, exim_queries
from tpop3d_py.mta.templates import render

#: The sections in the order of the file; the first has no `begin` line.
SECTIONS = ("main", "acl", "routers", "transports")

_HOSTNAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*")


@dataclass(frozen=True, slots=True)
class Server:
    """What a standalone server needs beyond the directory.

    Args:
        hostname: the name it announces and puts into headers; empty: the machine's own.
        listen: the one IP address to listen on; empty: all of them.
        port: the TCP port, 1 to 65535.
    """

    hostname: str = ""
    listen: str = ""
    port: int = 25


def section(name: str, database: Database) -> str:
    """Print one of `SECTIONS`, without its `begin` line."""
    return render("exim", f"{name}.j2", _values(database))


def fragment(database: Database) -> str:
    """Print all sections, with `begin` lines."""
    return _joined({name: section(name, database) for name in SECTIONS})


def standalone(database: Database, server: Server) -> str:
    """Print a whole configuration.

    Raises:
        NotExpressible: the host name or the address is not one.
    """
    _check(server)
    texts = {name: section(name, database) for name in SECTIONS}
    for name in ("main", "routers", "transports", "retry"):
        texts[name] = texts.get(name, "") + render("exim", f"standalone-{name}.j2", {"server": server})
    return _joined(texts)


def _check(server: Server) -> None:
    if server.hostname and not _HOSTNAME.fullmatch(server.hostname):
        raise NotExpressible(f"{server.hostname!a} is not a host name")
    try:
        # Without a zone (fe80::1%eth0), in which the library would take anything.
        ipaddress.ip_address(server.listen.replace("%", " ") or "::")
    except ValueError:
        raise NotExpressible(f"{server.listen!a} is not an IP address") from None


def _joined(texts: dict[str, str]) -> str:
    return "\n".join(text if name == "main" else f"begin {name}\n\n{text}" for name, text in texts.items())


def _values(database: Database) -> dict[str, Any]:
    dialect = MYSQL if isinstance(database, MysqlServer) else SQLITE
    queries = exim_queries(dialect)
    return {
        "version": __version__,
        "lookup": dialect.lookup,
        "mysql_servers": _quoted(_mysql_server(database)) if isinstance(database, MysqlServer) else "",
        "sqlite_dbfile": _quoted(database.path) if isinstance(database, SqliteFile) else "",
        "domain_query": " ".join(queries.domain),
        "queries": (
            ("VMAIL_SQL_BOX", queries.box),
            ("VMAIL_SQL_FORWARD", queries.forward),
            ("VMAIL_SQL_CATCH_ALL", queries.catch_all),
        ),
    }


def _mysql_server(server: MysqlServer) -> str:
    """Write ``host:port/database/user/password`` as an item of a list whose separator is the colon."""
    host = f"localhost({server.socket})" if server.socket else f"{server.host}:{server.port}"
    return "/".join((host, server.database, server.user, server.password)).replace(":", "::")


def _quoted(value: str) -> str:
    """Quote an option's value, lest a backslash at its end swallow the next line."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
