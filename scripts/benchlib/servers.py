"""The servers that are compared, each on a free port of 127.0.0.1, all on the same directory.

Dovecot is set up for speed, not as Debian ships it: login processes serve one
connection after the other (``service_count = 0``) and so do mail processes, 16
of which stand ready; no index of new mail by a second look at ``cur``
(``maildir_very_dirty_syncs``), no flag updates.  Its cache of logins is on in
one instance and off in another.  It works on its own copy of the maildirs,
because it writes index files.

When things fail: a server that does not answer is a `RuntimeError` with the end
of its log.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchlib import meter
from benchlib.mailhost import DATABASE, Mailhost
from tests.system.support.mariadb import PASSWORD as SQL_PASSWORD
from tests.system.support.mariadb import USER as SQL_USER
from tests.system.support.processes import Child, free_port

#: Directives of separated mode, with accounts that every Debian has.
SEPARATED = ("privilege-separation: yes", "net-user: nobody", "auth-user: daemon", "first-uid: 100")
#: Dovecot processes that wait for a session, as many as there are clients.
_READY = 16


@dataclass(frozen=True, slots=True)
class Server:
    """A running POP3 server.

    Args:
        name: for the report.
        port: of 127.0.0.1.
        tls_port: the same, with TLS from the first octet.
        child: its first process.
        holds: how many idle sessions to hold on it when memory is measured.
    """

    name: str
    port: int
    tls_port: int
    child: Child
    holds: int

    def pids(self) -> list[int]:
        """List its processes."""
        return meter.tree(self.child.pid)

    def roles(self) -> dict[str, list[int]]:
        """List pypop3d's processes by what they do: only workers have threads, only the master children."""
        master, *others = self.pids()
        workers = [pid for pid in others if meter.threads(pid) > 1]
        return {
            "master": [master],
            "workers": workers,
            "authenticators": [pid for pid in others if pid not in workers],
        }


def pypop3d(host: Mailhost, name: str, tree: Path, holds: int, directives: Sequence[str] = ()) -> Server:
    """Start pypop3d.

    Args:
        host: what it serves.
        name: for the report, and for its files.
        tree: checkout whose code runs.
        holds: idle sessions it must allow.
        directives: more lines for its configuration.
    """
    port, tls_port = free_port(), free_port()
    configuration = host.base / f"{name}.conf"
    tls = f"127.0.0.1:{tls_port}(md5.bench.test);tls=immediate,{host.certificate}"
    lines = [
        f"listen-address: 127.0.0.1:{port}(md5.bench.test) {tls}",
        f"run-as: {host.owner.pw_name}",
        f"max-children: {holds + 1000}",
        "timeout-seconds: 3600",
        "auth-directory-enable: yes",
        f"include: {host.vmail_conf}",
        *directives,
    ]
    configuration.write_text("".join(f"{line}\n" for line in lines))
    # -P: the folder this benchmark is run from must not stand before the tree.
    command = ["env", f"PYTHONPATH={tree}", sys.executable, "-P", "-m", "tpop3d_py.cli.pypop3d"]
    child = Child([*command, "-d", "-f", str(configuration)], host.base / f"{name}.log")
    return _answering(Server(name, port, tls_port, child, holds))


def dovecot_missing(host: Mailhost) -> str:
    """Say why Dovecot cannot be measured; empty if it can."""
    if os.geteuid() != 0:
        return "starting Dovecot takes root"
    if shutil.which("dovecot") is None:
        return "Dovecot is not installed (apt-get install dovecot-pop3d dovecot-mysql)"
    if host.mariadb is None:
        return "Dovecot is measured with MariaDB only"
    return ""


def dovecot_version() -> str:
    """Name the version that is installed."""
    done = subprocess.run(["dovecot", "--version"], capture_output=True, text=True, check=True)  # noqa: S607
    return done.stdout.split()[0]


def dovecot(host: Mailhost, name: str, mail: Path, holds: int, *, cache: bool) -> Server:
    """Start Dovecot in the foreground, with a configuration and a base directory of its own.

    Args:
        host: whose directory it reads.
        name: for the report, and for its files.
        mail: its copy of the maildirs.
        holds: idle sessions it must allow, a process each.
        cache: remember logins for an hour.
    """
    port, tls_port = free_port(), free_port()
    folder = host.base / name
    folder.mkdir()
    (folder / "sql.conf").write_text(_dovecot_sql(host, mail))
    (folder / "sql.conf").chmod(0o600)
    configuration = folder / "dovecot.conf"
    configuration.write_text(_dovecot_configuration(host, folder, (port, tls_port), holds, cache))
    child = Child(["dovecot", "-F", "-c", str(configuration)], folder / "out")
    child.logs.append(folder / "log")
    return _answering(Server(name, port, tls_port, child, holds))


def _dovecot_sql(host: Mailhost, mail: Path) -> str:
    """Ask the same two tables for the same row; a stored form without prefix is a hexadecimal MD5."""
    assert host.mariadb is not None  # dovecot_missing said so
    # Dovecot quotes what it puts in for %d and %n; in its files a backslash continues a line.
    return f"""
driver = mysql
connect = host={host.mariadb.socket} dbname={DATABASE} user={SQL_USER} password={SQL_PASSWORD}
default_pass_scheme = PLAIN-MD5
password_query = SELECT CONCAT(p.local_part, '@', p.domain_name) AS user, p.password_hash AS password, \\
  CONCAT('maildir:{mail}/', p.mbox_name) AS userdb_mail, d.path AS userdb_home, \\
  {host.owner.pw_uid} AS userdb_uid, {host.owner.pw_gid} AS userdb_gid \\
  FROM popbox p JOIN domain d ON p.domain_name = d.domain_name \\
  WHERE p.domain_name = '%d' AND p.local_part = '%n'
"""  # noqa: S608


def _dovecot_configuration(
    host: Mailhost, folder: Path, ports: tuple[int, int], holds: int, cache: bool
) -> str:
    return f"""
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
protocols = pop3
listen = 127.0.0.1
ssl = yes
ssl_cert = <{host.certificate}
ssl_key = <{host.certificate}
disable_plaintext_auth = no
auth_mechanisms = plain
auth_cache_size = {"10 M" if cache else "0"}
first_valid_uid = {host.owner.pw_uid}
maildir_very_dirty_syncs = yes
pop3_no_flag_updates = yes
mail_max_userip_connections = 0
passdb {{
  driver = sql
  args = {folder}/sql.conf
}}
userdb {{
  driver = prefetch
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {ports[0]}
  }}
  inet_listener pop3s {{
    port = {ports[1]}
  }}
  service_count = 0
  process_min_avail = 2
  client_limit = {holds + 1000}
}}
service pop3 {{
  service_count = 0
  process_min_avail = {_READY}
  process_limit = {holds + 200}
}}
service auth {{
  client_limit = {holds + 2000}
}}
service anvil {{
  client_limit = {holds + 2000}
}}
"""


def _answering(server: Server) -> Server:
    try:
        server.child.wait_until(lambda: _greets(server.port), server.name)
    except Exception:
        server.child.stop()
        raise
    return server


def _greets(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as probe:
            return probe.recv(3) == b"+OK"
    except OSError:
        return False
