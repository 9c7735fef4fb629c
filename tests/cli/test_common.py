from __future__ import annotations

import pytest

from tests.cli.shell import COMMANDS, Shell

_PROGRAMS = list(COMMANDS)


@pytest.mark.parametrize("program", _PROGRAMS)
def test_without_arguments_there_is_help(bare: Shell, program: str) -> None:
    outcome = bare(program)
    assert outcome.code == 2
    assert outcome.out.startswith(f"usage: {program} ")
    assert "examples:" in outcome.out
    assert outcome.err == ""


@pytest.mark.parametrize("program", _PROGRAMS)
def test_help_and_version_are_no_errors(bare: Shell, program: str) -> None:
    assert bare(f"{program} --help").code == 0
    outcome = bare(f"{program} --version")
    assert (outcome.code, outcome.out.split()[0]) == (0, program)


@pytest.mark.parametrize(
    "line",
    [
        "VE-domain bogus",
        "VE-domain add",
        "VE-domain add a.pl b.pl",
        "VE-domain add a.pl --bogus",
        "VE-domain popboxes klient1.pl 50",
        "VE-domain popboxes klient1.pl min 50",
        "VE-domain popboxes klient1.pl max -1",
        "VE-domain popboxes klient1.pl max 1_0",
        "VE-domain popboxes klient1.pl max \u0661",
        "VE-domain popboxes klient1.pl max 99999999999",
        "VE-popbox add klient1.pl",
        "VE-popbox add klient1.pl x --type mbx",
        "VE-forwarder add klient1.pl info",
        "VE-passwd a b c",
        "vmail db",
        "vmail db drop",
    ],
)
def test_a_line_that_cannot_be_understood_is_a_usage_error(klient1: Shell, line: str) -> None:
    assert "--help" in klient1.refuses(line, code=2)


def test_what_was_typed_is_never_shown_raw(klient1: Shell) -> None:
    for word in ("\x1b]0;x\x07", "a\nb", "\udcff"):
        klient1.refuses("VE-domain", word, code=2)
        klient1.refuses("VE-domain add", word)
        klient1.refuses("VE-domain add x.pl", word, code=2)


def test_the_file_is_f_then_the_environment_then_the_system(
    bare: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = bare.folder / "other.conf"
    other.write_text((bare.folder / "vmail.conf").read_text().replace("vmail.db", "other.db"))
    assert "other.db" in bare(f"vmail -f {other} db init").out
    assert "no tables" not in bare(f"VE-domain -f {other} list").err
    assert "vmail.db" in bare("VE-domain list").err
    monkeypatch.setenv("VMAIL_CONFIG", str(other))
    assert bare("VE-domain list").code == 0
    monkeypatch.delenv("VMAIL_CONFIG")
    monkeypatch.setattr("tpop3d_py.cli.common.DEFAULT_CONFIG", "/nonexistent/vmail.conf")
    assert "/nonexistent/vmail.conf" in bare.refuses("VE-domain list")


def test_mistakes_in_the_file_are_told(bare: Shell) -> None:
    (bare.folder / "vmail.conf").write_text("database-url: sqlite:///relative.db\nmail-rot: /x\n")
    outcome = bare("VE-domain list")
    assert outcome.code == 1
    assert "absolute path" in outcome.err
    assert "mail-root" in outcome.err


def test_a_database_that_is_down_is_one_line(bare: Shell) -> None:
    url = "mysql+pymysql://vmail@127.0.0.1:1/virtualemail"
    (bare.folder / "vmail.conf").write_text(f"database-url: {url}\n")
    for line in (
        "VE-domain list",
        "VE-popbox add klient1.pl luser",
        "VE-passwd klient1.pl x",
        "vmail db status",
    ):
        assert "virtualemail at 127.0.0.1:1" in bare.refuses(line)


@pytest.mark.parametrize("line", ["VE-domain -f {} list", "VE-domain list -f {}", "vmail db -f {} status"])
def test_the_file_may_be_named_anywhere(bare: Shell, line: str) -> None:
    missing = str(bare.folder / "missing.conf")
    outcome = bare(line.format(missing))
    assert outcome.code == 1
    assert f"{missing}: cannot be read: No such file" in outcome.err
