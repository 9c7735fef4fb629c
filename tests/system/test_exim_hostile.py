"""Rows and local parts made to break out: Exim must take them for unknown users, or for plain names."""

from __future__ import annotations

import pwd
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.system.support.mariadb import Mariadb
from tests.system.support.processes import wait_for
from tests.system.support.site import BOXES, OTHER, OURS, TRAP, Site, StartExim, filled, messages

UNKNOWN = "550 5.1.1 Unknown user"

BAD_BOXES = (
    *("up", "upup", "updir", "dots", "dot", "deep", "deepdir"),
    *("root", "slash", "hidden", "empty", "null", "_default_"),
)
BAD_FORWARDERS = (
    *("pipe", "blankpipe", "secondpipe", "linepipe", "quotedpipe"),
    *("file", "blankfile", "secondfile", "tabfile", "include", "fail", "defer", "blackhole"),
    *("comment", "wholedomain", "nothing", "blank", "noforward", "loop1", "dead"),
)

INJECTIONS = (
    "\"x' or '1'='1\"",
    '"x\' or 1=1 limit 1 #"',
    '"x\' or 1=1 -- "',
    '"x\'/**/or/**/1=1/**/#"',
    "x'or'1'='1",
    "x'||'1",
    "'",
    "''",
    r"\'",
    r'"\\\'"',
    r'"x\\' + "' or 1=1 -- \"",
    r'"\\"',
    r'"x\\"',
    r'"a\"b"',
    '"x\'; delete from popbox; -- "',
    "\"x' union select path,unix_user,'luser' from domain -- \"",
    '"x\' or sleep(4) -- "',
)
OTHER_SPELLINGS = (
    *("%", "_ser", "luse_", "l%", "*", '"luser "', '" luser"', '"luser\t"', "lúser", "ĺuser"),
    *("luser%klient1.pl", "nobody"),
)
OTHER_LANGUAGES = (
    f"${{run{{/usr/bin/touch$value{TRAP}}}}}",
    f'"${{run{{/usr/bin/touch {TRAP}}}}}"',
    '"${lookup mysql{DELETE FROM popbox}}"',
    f'"|/usr/bin/touch {TRAP}"',
    f'"{TRAP}"',
    '":include:/etc/passwd"',
    ":blackhole:",
    '"../../etc/passwd"',
    '"../drugi.klient.pl/luser"',
    *("$local_part", '"%s"', '"%u@%d"', "{", "}}", '"{"', '"}}{"', '"a, b"'),
)
HOSTILE = (*INJECTIONS, *OTHER_SPELLINGS, *OTHER_LANGUAGES)


@pytest.fixture
def site(mail_site: Site) -> Iterator[Site]:
    mail_site.clean()
    yield mail_site
    mail_site.is_safe()


def boxes(site: Site) -> int:
    with site.directory.engine.begin() as connection:
        return int(connection.execute(text("SELECT COUNT(*) FROM popbox")).scalar_one())


def test_bad_rows_are_unknown_users(site: Site) -> None:
    answers = site.exim.answers(f"{name}@{OURS}" for name in (*BAD_BOXES, *BAD_FORWARDERS))
    assert {address: reply for address, reply in answers.items() if reply != UNKNOWN} == {}


def test_hostile_local_parts_are_unknown_users(site: Site) -> None:
    before = boxes(site)
    answers = site.exim.answers(f"{name}@{OURS}" for name in HOSTILE)
    # Some are no addresses in SMTP either: 501.  The point is that the others are asked for, and not found.
    others = {address: reply for address, reply in answers.items() if reply != UNKNOWN}
    assert {reply[:4] for reply in others.values()} <= {"501 "}
    assert len(others) < len(HOSTILE) / 4, others
    assert boxes(site) == before


def test_hostile_local_parts_at_the_command_line(site: Site) -> None:
    for name in INJECTIONS:
        done = site.exim.command("-bt", f"{name}@{OURS}")
        assert done.returncode == 2, done
        assert "quoted" not in done.stderr
        assert "virtual_localuser" not in done.stdout


def test_catch_all_takes_hostile_local_parts_as_names(site: Site) -> None:
    answers = site.exim.answers(f"{name}@{OTHER}" for name in HOSTILE)
    assert {reply[:4] for reply in answers.values()} <= {"250 ", "501 "}
    site.exim.send([f'"|/usr/bin/touch {TRAP}"@{OTHER}', f'"../luser"@{OTHER}'])
    wait_for(lambda: messages(site.other / "catcher"), "the catch-all's mail")
    assert not (site.other / "luser").exists()


def test_good_row_beside_a_bad_one_works(site: Site) -> None:
    site.exim.send([f"halfbad@{OURS}"])
    wait_for(lambda: filled(site.ours / "luser"), "the mail")


def test_ancient_character_set(
    area: Path, mariadb: Mariadb, exim: StartExim, vmail: pwd.struct_passwd
) -> None:
    """An original database is often latin1: it folds case and accents, and cannot hold every address."""
    # Of the rows only one cannot be stored: its name is Polish.
    polish = [row for row in BOXES if not row[1].isascii()]
    assert len(polish) == 1
    url = mariadb.url("ancient")
    mariadb.execute("ALTER DATABASE ancient CHARACTER SET latin1 COLLATE latin1_swedish_ci")
    mariadb.execute("SET GLOBAL sql_mode = ''")  # as it was: what does not fit is stored as question marks
    try:
        site = Site(url, area / "ancient", exim, vmail)
    finally:
        mariadb.execute("SET GLOBAL sql_mode = DEFAULT")
    good = site.exim.answers(f"{name}@{OURS}" for name in ("luser", "LUSER", "upper", "o'hara", "many"))
    assert set(good.values()) == {"250 Accepted"}
    bad = site.exim.answers(f"{name}@{OURS}" for name in (*HOSTILE, "łuser", "żółw", "☃"))
    assert {reply[:4] for reply in bad.values()} == {"550 ", "501 "}, bad
    assert site.exim.answer("luser@żółw.pl") == "550 5.7.1 Relaying not permitted"
    site.is_safe()
    site.close()
