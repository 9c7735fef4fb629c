"""The sample file and the reference page, written from the declarations themselves."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from tpop3d_py.settings import Declaration, declarations

_WIDTH = 100


def sample_file(title: str, groups: Sequence[type[Any]]) -> str:
    """Write a configuration file in which every directive stands as a comment with its default."""
    parts = [f"# {title}\n# Every directive is shown with its default; remove the # to change one.\n"]
    for group in groups:
        parts.append(f"\n# --- {group_heading(group)}\n")
        parts += [_sample_entry(d) for d in declarations(group)]
    return "".join(parts)


def _sample_entry(declaration: Declaration) -> str:
    summary = textwrap.fill(declaration.summary, _WIDTH, initial_indent="# ", subsequent_indent="# ")
    value = declaration.default_text or declaration.example
    return f"\n{summary}\n#{declaration.name}: {value}".rstrip() + "\n"


def reference_page(title: str, introduction: str, groups: Sequence[type[Any]]) -> str:
    """Write a Markdown page that describes every directive."""
    parts = [f"# {title}\n\n{introduction.strip()}\n"]
    for group in groups:
        parts.append(f"\n## {group_heading(group)}\n")
        parts += [_reference_entry(d) for d in declarations(group)]
    return "".join(parts)


def _reference_entry(declaration: Declaration) -> str:
    default = f"`{declaration.default_text}`" if declaration.default_text else "none"
    example = f" Example: `{declaration.name}: {declaration.example}`." if declaration.example else ""
    return (
        f"\n### `{declaration.name}`\n\n{declaration.summary}\n\n"
        f"Value: {declaration.kind.name}. Default: {default}.{example}\n"
    )


def group_heading(group: type[Any]) -> str:
    """Return the first sentence of a group's own description."""
    return (group.__doc__ or group.__name__).strip().splitlines()[0].rstrip(".")
