"""A mail site: two domains with ordinary and hostile rows, and an Exim that serves them."""

from __future__ import annotations

import grp
import pwd
import stat
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import create_engine
from sqlalchemy.engine import make_url

from tests.system.support.exim import Exim
from tests.system.support.paper import Directory
from tpop3d_py.mta import exim as generator
from tpop3d_py.mta.facts import database_of

#: Starts an Exim with the configuration that the given function returns for a port.
StartExim = Callable[[Callable[[int], str]], Exim]

OURS = "klient1.pl"
OTHER = "drugi.klient.pl"
#: What a hostile row or name would make, if anybody obeyed it.
TRAP = Path("/tmp/tpop3d-hostile")

BOXES = (
    (OURS, "luser", "luser"),
    (OURS, "jan", "jan/"),
    (OURS, "keep", "keep"),
    (OURS, "one", "one"),
    (OURS, "two", "two"),
    (OURS, "both", "both"),
    (OURS, "o'hara", "o'hara"),
    (OURS, "a%b", "a%b"),
    (OURS, "a+b", "a+b"),
    (OURS, "a b", "a b"),
    (OURS, "żółw", "żółw/"),
    (OURS, "Upper", "upper"),
    (OTHER, "luser", "luser"),
    (OTHER, "catcher", "catcher/"),
    # Rows of a domain's owner who would like to have more.
    (OURS, "up", "../drugi.klient.pl/luser"),
    (OURS, "upup", ".."),
    (OURS, "updir", "../"),
    (OURS, "dots", "a..b"),
    (OURS, "dot", "."),
    (OURS, "deep", "sub/box"),
    (OURS, "deepdir", "sub/box/"),
    (OURS, "root", "/etc/passwd"),
    (OURS, "slash", "/"),
    (OURS, "hidden", ".luser"),
    (OURS, "empty", ""),
    (OURS, "null", None),
    (OURS, "_default_", "luser"),
)

FORWARDERS = (
    (OURS, "alias", f"luser@{OURS}"),
    (OURS, "bare", "luser"),
    (OURS, "many", f"one@{OURS}"),
    (OURS, "many", f"two@{OURS}"),
    (OURS, "list", f"one@{OURS}, two@{OURS}"),
    (OURS, "keep", f"keep@{OURS}"),
    (OURS, "keep", f"one@{OURS}"),
    (OURS, "both", f"two@{OURS}"),
    (OURS, "across", f"catcher@{OTHER}"),
    (OURS, "halfbad", f"luser@{OURS}"),
    (OURS, "halfbad", f"|/usr/bin/touch {TRAP}"),
    (OTHER, "_default_", f"catcher@{OTHER}"),
    (OURS, "loop1", f"loop2@{OURS}"),
    (OURS, "loop2", f"loop1@{OURS}"),
    (OURS, "dead", f"nobody@{OURS}"),
    # Rows of a domain's owner who would like to have more.
    (OURS, "pipe", f"|/usr/bin/touch {TRAP}"),
    (OURS, "blankpipe", f" |/usr/bin/touch {TRAP}"),
    (OURS, "secondpipe", f"one@{OURS}, |/usr/bin/touch {TRAP}"),
    (OURS, "linepipe", f"one@{OURS}\n|/usr/bin/touch {TRAP}"),
    (OURS, "quotedpipe", f'"|/usr/bin/touch {TRAP}"'),
    (OURS, "file", f"{TRAP}"),
    (OURS, "blankfile", f" {TRAP}"),
    (OURS, "secondfile", f"one@{OURS},  {TRAP}"),
    (OURS, "tabfile", f"\t{TRAP}"),
    (OURS, "include", ":include:/etc/passwd"),
    (OURS, "fail", ":fail: go away"),
    (OURS, "defer", ":defer: later"),
    (OURS, "blackhole", ":blackhole:"),
    (OURS, "comment", "#nothing"),
    (OURS, "wholedomain", f"@{OTHER}"),
    (OURS, "nothing", ""),
    (OURS, "blank", " "),
    (OURS, "noforward", None),
)


class Site:
    """The database, the mail root and the server, as tests use them.

    Attributes:
        directory: the tables.
        exim: the server.
        ours, other: the directories of the two domains.
    """

    def __init__(
        self,
        url: str,
        root: Path,
        start: StartExim,
        *owners: pwd.struct_passwd,
        charset: str = "",
        change: Callable[[str], str] = str,
    ) -> None:
        """Fill an empty database and start Exim on it.

        Args:
            url: the database, with its password.
            root: a folder to be made for the domains.
            start: the `exim` fixture.
            owners: of the first domain and of the second.
            charset: for the tables' definitions.
            change: applied to the generated configuration.
        """
        self.directory = Directory(create_engine(url), root, charset=charset)
        self.ours = self.directory.add_domain(OURS, owners[0])
        self.other = self.directory.add_domain(OTHER, owners[-1])
        self.directory.insert("popbox", *BOXES)
        self.directory.insert("forwarder", *FORWARDERS)
        facts = database_of(make_url(url))

        def configuration(port: int) -> str:
            return change(generator.standalone(facts, generator.Server("mail.klient1.pl", "127.0.0.1", port)))

        self.exim = start(configuration)

    def clean(self) -> None:
        """Remove all mail."""
        for path in (*self.ours.rglob("*"), *self.other.rglob("*")):
            if path.is_file():
                path.unlink()

    def since_now(self) -> Callable[[str], bool]:
        """Return a function that tells whether Exim's logs have a text, in what they gain from now on."""
        start = len(self.exim.log())
        return lambda text: text in self.exim.log()[start:]

    def is_safe(self) -> None:
        """Assert what must hold after every test: Exim trusted every query and path, nobody was obeyed."""
        log = self.exim.log()
        assert "not properly quoted" not in log
        assert "tainted" not in log.lower()
        assert not TRAP.exists()

    def close(self) -> None:
        """Close the database's connections."""
        self.directory.engine.dispose()


def messages(maildir: Path) -> list[Path]:
    """List the new messages of a maildir, which need not exist."""
    return sorted((maildir / "new").iterdir()) if (maildir / "new").is_dir() else []


def filled(box: Path) -> bool:
    """Tell whether an mbox file has mail in it; Exim makes the file before it writes."""
    return box.exists() and box.stat().st_size > 0


def permissions(path: Path) -> tuple[str, str, str]:
    """Return mode, owner and group as ls shows them."""
    status = path.stat()
    return (
        stat.filemode(status.st_mode),
        pwd.getpwuid(status.st_uid).pw_name,
        grp.getgrgid(status.st_gid).gr_name,
    )
