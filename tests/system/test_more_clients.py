"""More real clients, octet for octet: getmail, mpop, mutt and Perl's Net::POP3, on a maildir and on an mbox.

Each fetches everything and leaves it on the server, comes again and gets nothing twice (mutt, which keeps no
memory, gets the same again), and then fetches with deletion.  Messages are as awkward as these programs can
store without changing them: they keep lines with LF, so what they stored is compared with CRLF put back.
"""

from __future__ import annotations

import os
import pty
import pwd
import re
import shutil
import subprocess
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conformance.messages import Message, awkward
from tests.conformance.prepare import Maildir, Mbox
from tests.system.support.pop3d import Telnet
from tests.system.support.processes import program
from tests.system.support.small import SmallSite

KINDS = ("maildir", "bsd")
CLIENTS = ("getmail", "mpop", "mutt", "netpop3")
#: Not among them: what is no mail (NUL, bare CR, no header), which these programs mend in ways of their own.
NAMES = (
    "plain", "twin", "dots", "dotsonly", "dotfirst", "emptybody", "emptylines", "nolineend",
    "nolineenddot", "utf8", "crlf", "mixed", "line998", "longheader", "manylines", "chunks", "big", "status",
    "from", "utf8head",
)  # fmt: skip
ACCOUNT = "vmail"
#: getmail folds long header fields anew; mutt keeps Status in the file's name.
NOT_FOR = {"getmail": {"longheader"}, "mutt": {"status"}}
#: What they put into a message on purpose.
ADDITIONS = {"getmail": rb"\AReturn-Path: <unknown>\r\n", "mutt": rb"^Content-Length: \d+\r\nLines: \d+\r\n"}

#: Fetches what it has not seen, as `read --keep` of many scripts does; then deletes if told to.
NETPOP3 = r"""
use strict; use warnings; use Net::POP3;
my ($port, $user, $password, $folder, $delete) = @ARGV;
my $seen = "$ENV{HOME}/seen";
my %seen; if (open my $in, '<', $seen) { while (<$in>) { chomp; $seen{$_} = 1 } }
my $pop = Net::POP3->new('127.0.0.1', Port => $port, Timeout => 20) or die "no connection\n";
defined $pop->login($user, $password) or die "no login\n";
my $list = $pop->list or die "no list\n"; my $ids = $pop->uidl or die "no uidl\n";
for my $number (sort { $a <=> $b } keys %$list) {
    if (!$seen{$ids->{$number}}++) {
        my $lines = $pop->get($number) or die "no message\n";
        open my $out, '>', "$folder/$number" or die $!; binmode $out;
        print $out @$lines; close $out or die $!;
    }
    if ($delete) { $pop->delete($number) or die "no delete\n" }
}
$pop->quit or die "no quit\n";
open my $out, '>', $seen or die $!; print $out map { "$_\n" } keys %seen; close $out or die $!;
"""


class Fetcher:
    """One account, and a home for the clients that fetch it.

    Attributes:
        site: the server.
        box: the account.
        home: of the client.
    """

    def __init__(self, site: SmallSite, box: str, home: Path) -> None:
        self.site = site
        self.box = box
        self.home = home
        self.took = home / "took"
        for part in ("new", "cur", "tmp"):
            (self.took / part).mkdir(parents=True)
        for path in (home, *home.rglob("*")):
            shutil.chown(path, ACCOUNT)

    def fetch(self, client: str, *, delete: bool) -> list[bytes]:
        """Let a client fetch; return what it stored this time, with CRLF, sorted."""
        {"getmail": self._getmail, "mpop": self._mpop, "mutt": self._mutt, "netpop3": self._netpop3}[client](
            delete
        )
        files = [path for path in self.took.rglob("*") if path.is_file()]
        texts = [_without_additions(client, file.read_bytes()) for file in files]
        for file in files:
            file.unlink()
        return sorted(texts)

    def count(self) -> str:
        """Ask the server what is left."""
        client = Telnet(self.site.port)
        client.read()
        client.type(f"USER {self.site.user(self.box)}")
        client.type(f"PASS {self.site.password(self.box)}")
        answer = client.type("STAT")
        client.type("QUIT")
        client.close()
        return answer

    def _as_user(self, command: tuple[str, ...]) -> tuple[list[str], dict[str, str]]:
        """Return a command for `ACCOUNT`, since getmail delivers nothing for root, and its environment."""
        environment = {"HOME": str(self.home), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TERM": "vt100"}
        switch = [program("setpriv"), "--reuid", ACCOUNT, "--regid", "nogroup", "--clear-groups"]
        return [*switch, program(command[0]), *command[1:]], environment

    def _write(self, name: str, text: str) -> str:
        path = self.home / name
        path.write_text(text)
        path.chmod(0o600)
        shutil.chown(path, ACCOUNT)
        return str(path)

    def _run(self, *command: str) -> None:
        words, environment = self._as_user(command)
        done = subprocess.run(words, env=environment, capture_output=True, timeout=120, check=False)
        assert done.returncode == 0, (done.stdout + done.stderr).decode("utf-8", "replace")[-3000:]

    def _getmail(self, delete: bool) -> None:
        self._write(
            "getmailrc",
            "[retriever]\ntype = SimplePOP3Retriever\nserver = 127.0.0.1\n"
            f"port = {self.site.port}\nusername = {self.site.user(self.box)}\n"
            f"password = {self.site.password(self.box)}\n"
            f"[destination]\ntype = Maildir\npath = {self.took}/\n[options]\nread_all = false\n"
            f"delete = {'true' if delete else 'false'}\ndelivered_to = false\nreceived = false\n",
        )
        self._run("getmail", "--getmaildir", str(self.home), "--rcfile", "getmailrc")

    def _mpop(self, delete: bool) -> None:
        control = self._write(
            "mpoprc",
            f"account box\nhost 127.0.0.1\nport {self.site.port}\nuser {self.site.user(self.box)}\n"
            f"password {self.site.password(self.box)}\nauth user\ntls off\nkeep {'off' if delete else 'on'}\n"
            f"received_header off\ndelivery maildir {self.took}\nuidls_file {self.home}/uidls\n",
        )
        self._run("mpop", "--file", control, "box")

    def _netpop3(self, delete: bool) -> None:
        script = self._write("fetch.pl", NETPOP3)
        site, box = self.site, self.box
        folder = str(self.took / "new")
        command = ["perl", script, str(site.port), site.user(box), site.password(box), folder]
        self._run(*command, *(["delete"] if delete else []))

    def _mutt(self, delete: bool) -> None:
        """Open the POP folder, copy (or save, which deletes) everything into a maildir, and quit."""
        control = self._write(
            "muttrc",
            f'set pop_host="pop://{self.site.user(self.box)}@127.0.0.1:{self.site.port}"\n'
            f'set pop_pass="{self.site.password(self.box)}"\nset pop_authenticators="user"\n'
            f"set folder={self.home} ssl_starttls=no ssl_force_tls=no\n"
            "set mbox_type=Maildir confirmappend=no confirmcreate=no\n"
            "set delete=yes pop_reconnect=no quit=yes wait_key=no sort=mailbox-order copy=no\n"
            f'push "<tag-pattern>~A<enter><tag-prefix><{"save" if delete else "copy"}-message>'
            f'<kill-line>{self.took}<enter><sync-mailbox><exit>"\n',
        )
        self._on_a_terminal("mutt", "-n", "-F", control, "-f", self._pop_folder())

    def _pop_folder(self) -> str:
        return f"pop://{self.site.user(self.box).replace('@', '%40')}@127.0.0.1:{self.site.port}/"

    def _on_a_terminal(self, *command: str) -> None:
        master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (24, 80))
        words, environment = self._as_user(command)
        process = subprocess.Popen(words, env=environment, stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)
        shown = b""
        try:
            while chunk := os.read(master, 65_536):
                shown += chunk
        except OSError:  # EIO: the program has gone
            pass
        finally:
            os.close(master)
        assert process.wait(60) == 0, shown[-2000:]


def _without_additions(client: str, stored: bytes) -> bytes:
    """Put CRLF back, and take out what the client added."""
    texts = re.sub(rb"(?<!\r)\n", b"\r\n", stored)
    pattern = ADDITIONS.get(client)
    return re.sub(pattern, b"", texts, count=1, flags=re.MULTILINE) if pattern else texts


def _messages(client: str) -> list[Message]:
    names = set(NAMES) - NOT_FOR.get(client, set())
    return [message for message in awkward("clients") if message.name in names]


@pytest.fixture(scope="module")
def site(area: Path, vmail: pwd.struct_passwd) -> Iterator[SmallSite]:
    boxes = {f"{client}-{kind}": kind for client in CLIENTS for kind in KINDS}
    running = SmallSite(area / "more-clients", vmail, boxes)
    for box, kind in boxes.items():
        fill: Callable[[Path], Maildir | Mbox] = Maildir if kind == "maildir" else Mbox
        fill(running.path(box)).deliver(_messages(box.partition("-")[0]))
    yield running
    running.stop()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("client", CLIENTS)
def test_everything_arrives_once_and_unchanged(site: SmallSite, client: str, kind: str) -> None:
    fetcher = Fetcher(site, f"{client}-{kind}", site.root.parents[1] / f"home-{client}-{kind}")
    wanted, left = sorted(message.wire for message in _messages(client)), fetcher.count()
    assert fetcher.fetch(client, delete=False) == wanted
    assert fetcher.count() == left
    assert fetcher.fetch(client, delete=False) == (wanted if client == "mutt" else [])
    assert fetcher.count() == left
    again = fetcher.fetch(client, delete=True)
    assert again == (wanted if client == "mutt" else [])
    assert fetcher.count() == "+OK 0 0"
