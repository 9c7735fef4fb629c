"""A private OpenLDAP server, which speaks TLS too and counts wrong passwords."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

from tests.system.support.processes import Child, free_port, listens, program

ADMIN, SECRET = "cn=admin,dc=x", "se#kret"
_CONFIGURATION = """\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include /etc/ldap/schema/nis.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload ppolicy
pidfile {folder}/slapd.pid
TLSCertificateFile {certificate}
TLSCertificateKeyFile {certificate}
threads 4
database mdb
suffix dc=x
rootdn {admin}
rootpw "{secret}"
directory {folder}/data
dbnosync
index objectClass,mail,uid eq
access to attrs=userPassword by anonymous auth
access to * by dn.exact="cn=pop3,dc=x" read by anonymous auth
overlay ppolicy
ppolicy_default cn=policy,dc=x
"""


class Slapd:
    """A running server; its data stay when it is stopped and started.

    Attributes:
        port: for connections without TLS, or with StartTLS.
        tls_port: for those with TLS from the start.
        child: the process.
    """

    def __init__(self, folder: Path, certificate: Path, entries: str) -> None:
        """Start a server whose files are all in `folder`.

        Args:
            folder: to be made.
            certificate: file with a certificate for 127.0.0.1 and its key.
            entries: what is in it, as LDIF.
        """
        self.port, self.tls_port = free_port(), free_port()
        self._folder = folder
        (folder / "data").mkdir(parents=True)
        # From here, where the profile that AppArmor has for Debian's does not reach.
        self._program = str(shutil.copy(program("slapd"), folder / "slapd"))
        self._config = folder / "slapd.conf"
        self._config.write_text(
            _CONFIGURATION.format(folder=folder, certificate=certificate, admin=ADMIN, secret=SECRET)
        )
        add = [self._program, "-T", "add", "-f", str(self._config), "-q"]
        subprocess.run(add, input=entries, text=True, check=True, capture_output=True)
        self.start()

    def start(self) -> None:
        """Start it, again."""
        urls = f"ldap://127.0.0.1:{self.port} ldaps://127.0.0.1:{self.tls_port}"
        command = [self._program, "-f", str(self._config), "-h", urls, "-d", "stats"]
        self.child = Child(command, self._folder / "slapd.log")
        try:
            self.child.wait_until(lambda: listens(self.port) and listens(self.tls_port), "slapd")
        except Exception:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop it."""
        self.child.stop()

    def hang(self) -> None:
        """Stop it where it is."""
        os.kill(self.child.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on."""
        os.kill(self.child.pid, signal.SIGCONT)

    def log(self) -> str:
        """Return what it has done."""
        return (self._folder / "slapd.log").read_text()

    def contents(self) -> str:
        """Return what is in it, as LDIF, with what it has noted itself."""
        command = [self._program, "-T", "cat", "-f", str(self._config), "-o", "ldif-wrap=no"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
