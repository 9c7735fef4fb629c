"""Manual pages say what the parsers and the declarations say."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import pytest

from tpop3d_py.config import manpages
from tpop3d_py.settings import TEXT, integer, setting


@dataclass(frozen=True, slots=True)
class Group:
    """Example.

    Not shown.
    """

    size: int = setting("max-size", integer(1, 9, "octets"), default=3, summary="How much.")
    name: str | None = setting("name", TEXT, default=None, summary="Who.", example="a b")


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="tool", description="Does it.")
    made.add_argument("-f", dest="config", metavar="FILE", help="tool.conf, else none")
    commands = made.add_subparsers(metavar="COMMAND", required=True)
    add = commands.add_parser("add", aliases=["a"], help="add a %(prog)s")
    add.add_argument("name", metavar="NAME")
    add.add_argument("--type", choices=["x", "y"], default="x", help="kind (%(default)s)")
    add.add_argument("--secret", help=argparse.SUPPRESS)
    area = commands.add_parser("db", help="tables")
    area.add_subparsers(metavar="WHAT", required=True).add_parser("init", help="make them")
    return made


def test_a_page_is_put_together() -> None:
    page = manpages.page("# a.conf(5): a thing\n\n## Text\n\n{{x}}\n\nMore.\n", "1.2", {"x": ".XX\n"})
    assert (page.file, page.section) == ("a.conf.5", 5)
    assert page.text == (
        '.TH A.CONF 5 "" "tpop3d_py 1.2" "Configuration files of tpop3d_py"\n.nh\n.ad l\n'
        ".SH NAME\na.conf \\- a thing\n.SH TEXT\n.XX\n.PP\nMore.\n"
    )


def test_mistakes_of_sources_are_found() -> None:
    with pytest.raises(ValueError, match="first line"):
        manpages.page("## Text\n", "1", {})
    with pytest.raises(KeyError, match="nothing"):
        manpages.page("# a(8): b\n{{nothing}}\n", "1", {})


def test_directives_have_value_default_and_example() -> None:
    made = manpages.directives([Group])
    assert made == (
        ".SS Example\n.TP\n\\fBmax\\-size\\fR\nHow much. Value: whole number of octets, 1 to 9. Default: "
        "\\fB3\\fR.\n.TP\n\\fBname\\fR\nWho. Value: text. Default: none. Example: \\fBname: a b\\fR.\n"
    )


def test_each_subcommand_has_its_line_in_the_synopsis() -> None:
    assert manpages.command(parser())["synopsis"] == (
        ".SH SYNOPSIS\n.PP\n\\fBtool add\\fR [\\-\\-type {x,y}] NAME\n.PP\n\\fBtool db init\\fR\n"
    )


def test_subcommands_have_aliases_and_arguments_but_no_secrets() -> None:
    made = manpages.command(parser())["commands"]
    assert ".TP\n\\fBadd (a)\\fR [\\-\\-type {x,y}] NAME\n" in made
    assert ".RS\n.TP\n\\fB\\-\\-type\\fR {x,y}\nKind (x).\n.RE\n" in made
    assert ".TP\n\\fBdb init\\fR\nMake them.\n" in made
    assert "secret" not in made


def test_a_command_without_subcommands_has_arguments_and_options() -> None:
    made = argparse.ArgumentParser(prog="tool")
    made.add_argument("name", metavar="NAME", nargs="?", help="who")
    words = manpages.command(made)
    assert words["synopsis"] == ".SH SYNOPSIS\n.PP\n\\fBtool\\fR [NAME]\n"
    assert words["commands"] == ""
    assert ".TP\n[NAME]\nWho.\n" in words["options"]
    assert ".TP\n\\fB\\-h\\fR, \\fB\\-\\-help\\fR\n" in words["options"]


def test_a_command_that_needs_no_subcommand_has_a_line_of_its_own() -> None:
    made = argparse.ArgumentParser(prog="tool")
    made.add_argument("-d", action="store_true", help="stay")
    made.add_subparsers(metavar="COMMAND").add_parser("status", help="tell")
    assert manpages.command(made)["synopsis"] == (
        ".SH SYNOPSIS\n.PP\n\\fBtool\\fR [\\-d]\n.PP\n\\fBtool status\\fR\n"
    )
