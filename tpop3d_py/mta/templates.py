"""The templates of generated MTA files.

Exim's own language is made of braces, so ours has angle brackets: ``<<name>>``
prints a value, ``<% if %>`` decides.  A template has no logic beyond `if` and
`for`; every decision was taken when the facts were made.

When things fail: a name that a template uses and nobody gave, or a value with a
line end or another control character (which could begin a directive of its own),
is an exception and no text at all.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2

import tpop3d_py


class UnsafeValue(ValueError):
    """A value that would not stay on its line."""


def _one_line(value: Any) -> Any:
    if isinstance(value, str) and any(c < " " or c == "\x7f" for c in value):
        raise UnsafeValue(f"a value with a line end or control character: {value[:40]!a}")
    return value


def folder(name: str) -> Path:
    """Find a folder of templates: inside the installed package, or beside it in a checkout."""
    package = Path(tpop3d_py.__file__).parent
    installed = package / "data" / name
    return installed if installed.is_dir() else package.parent / name


def environment(loader: jinja2.BaseLoader) -> jinja2.Environment:
    """Make an environment with our delimiters and strictness."""
    # Nothing to escape: the text is not HTML, and `_one_line` keeps values from breaking out of their lines.
    return jinja2.Environment(  # noqa: S701
        loader=loader,
        variable_start_string="<<",
        variable_end_string=">>",
        block_start_string="<%",
        block_end_string="%>",
        comment_start_string="<#",
        comment_end_string="#>",
        undefined=jinja2.StrictUndefined,
        finalize=_one_line,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def render(name: str, template: str, values: dict[str, Any]) -> str:
    """Fill in one template.

    Args:
        name: the folder, for example ``exim``.
        template: the file in it.
        values: everything the template may name.

    Raises:
        UnsafeValue: a value contains a line end or another control character.
        jinja2.UndefinedError: the template names something else.
    """
    return environment(jinja2.FileSystemLoader(folder(name))).get_template(template).render(values)
