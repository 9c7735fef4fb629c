"""Manual pages: prose by a person, directives and command lines from their declarations.

A source is Markdown (see `roff`).  Its first line is ``# NAME(SECTION): SUMMARY``, and a line ``{{WORD}}``
stands for what is generated: ``synopsis``, ``commands`` and ``options`` of a command, ``directives`` of a
configuration file, or a text that several pages share.

When things fail: a source without its first line is a `ValueError`, an unknown word a `KeyError`; both are
mistakes of whoever changes the sources and are found when the pages are written.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tpop3d_py.config import roff
from tpop3d_py.config.documents import group_heading
from tpop3d_py.settings import Declaration, declarations

_FIRST = re.compile(r"# ([A-Za-z][A-Za-z0-9.-]*)\(([1-8])\): (.+)\n")
_WORD = re.compile(r"^\{\{([a-z]+)\}\}$", re.MULTILINE)
_MANUALS = {5: "Configuration files of tpop3d_py", 8: "Administration of tpop3d_py"}
#: Options that every command has; they are described once and stand in no synopsis.
_COMMON = ("help", "version", "config")
#: Wider than any usage: a manual page is not as wide as the terminal of whoever generated it.
_NO_LIMIT = 10_000


@dataclass(frozen=True, slots=True)
class Page:
    """A finished page: the name of its file, the section of the manual it belongs to, and its text."""

    file: str
    section: int
    text: str


def page(source: str, version: str, generated: Mapping[str, str]) -> Page:
    """Make a page out of its source.

    Args:
        source: Markdown with placeholders.
        version: of the package, for the foot of the page.
        generated: roff for each word that may be used as a placeholder.
    """
    first = _FIRST.match(source)
    if first is None:
        raise ValueError("the first line is not '# NAME(SECTION): SUMMARY'")
    name, number, summary = first[1], int(first[2]), first[3]
    pieces = _WORD.split(source[first.end() :])
    body = "".join(
        generated[piece] if at % 2 else roff.from_markdown(piece) for at, piece in enumerate(pieces)
    )
    head = roff.header(name, number, summary, f"tpop3d_py {version}", _MANUALS[number])
    return Page(f"{name}.{number}", number, roff.tidied(head + body))


# --- configuration files -----------------------------------------------------


def directives(groups: Sequence[type[Any]]) -> str:
    """Describe every directive, under a heading for each group."""
    parts = []
    for group in groups:
        parts.append(roff.from_markdown(f"### {group_heading(group)}"))
        parts += [_directive(declaration) for declaration in declarations(group)]
    return "".join(parts)


def _directive(declaration: Declaration) -> str:
    default = f"`{declaration.default_text}`" if declaration.default_text else "none"
    example = f" Example: `{declaration.name}: {declaration.example}`." if declaration.example else ""
    return roff.term(
        f"`{declaration.name}`",
        f"{declaration.summary} Value: {declaration.kind.name}. Default: {default}.{example}",
    )


# --- commands ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Leaf:
    """A command line that does something: its parser, its words, its label with aliases, its sentence."""

    parser: argparse.ArgumentParser
    words: str
    label: str = ""
    help: str = ""


def command(parser: argparse.ArgumentParser) -> dict[str, str]:
    """Return what a page about a command may use: its synopsis, its subcommands, its options."""
    leaves = list(_leaves(_Leaf(parser, parser.prog)))
    below = [leaf for leaf in leaves if leaf.parser is not parser]
    own = [action for action in _visible(parser) if not isinstance(action, argparse._SubParsersAction)]
    return {
        "synopsis": roff.section("Synopsis") + _synopsis(leaves),
        "commands": roff.section("Commands") * bool(below) + "".join(map(_subcommand, below)),
        "options": "".join(_argument(action, parser) for action in own),
    }


def _leaves(root: _Leaf) -> Iterator[_Leaf]:
    """Walk through the tree of subcommands; a command that needs none of them is a leaf itself."""
    # argparse has no public way to read a parser.
    groups = [action for action in root.parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not any(group.required for group in groups):
        yield root
    for group in groups:
        for choice in group._choices_actions:
            words, label = f"{root.words} {choice.dest}", f"{root.label} {choice.metavar}"
            yield from _leaves(_Leaf(group.choices[choice.dest], words, label.strip(), choice.help or ""))


def _visible(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [action for action in parser._actions if action.help is not argparse.SUPPRESS]


def _synopsis(leaves: Sequence[_Leaf]) -> str:
    lines = [f"\\fB{roff.escape(leaf.words)}\\fR {roff.escape(_usage(leaf.parser))}" for leaf in leaves]
    return "".join(f".PP\n{line.rstrip()}\n" for line in lines)


def _usage(parser: argparse.ArgumentParser) -> str:
    """Return a command's arguments in one line, without those that every command has."""
    formatter = argparse.HelpFormatter(prog="", width=_NO_LIMIT)
    own = [
        action
        for action in _visible(parser)
        if action.dest not in _COMMON and not isinstance(action, argparse._SubParsersAction)
    ]
    formatter.add_usage(None, own, parser._mutually_exclusive_groups, prefix="")
    return formatter.format_help().strip()


def _subcommand(leaf: _Leaf) -> str:
    usage = _usage(leaf.parser)
    told = [a for a in _visible(leaf.parser) if a.help and a.dest not in _COMMON]
    arguments = "".join(_argument(action, leaf.parser) for action in told)
    inner = f".RS\n{arguments}.RE\n" if arguments else ""
    return roff.term(f"`{leaf.label}` {usage}".strip(), _sentence(leaf.help)) + inner


def _argument(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    """Describe one option or argument."""
    formatter = argparse.HelpFormatter(prog=parser.prog, width=_NO_LIMIT)
    value = "" if action.nargs == 0 else formatter._format_args(action, _metavar(action))
    names = ", ".join(f"`{name}`" for name in action.option_strings)
    text = formatter._expand_help(action) if action.help else ""
    return roff.term(f"{names} {value}".strip(), _sentence(text))


def _metavar(action: argparse.Action) -> str:
    if action.choices is not None and action.metavar is None:
        return "{" + ",".join(map(str, action.choices)) + "}"
    return action.dest.upper()


def _sentence(text: str) -> str:
    """Make a sentence of the note that argparse shows; a file's name keeps its first letter."""
    first = text.split(" ", 1)[0].rstrip(",:;")
    return f"{text[:1].upper() if first.isalpha() else text[:1]}{text[1:]}." if text else text
