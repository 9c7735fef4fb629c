"""Manual pages in roff, out of a small part of Markdown.

What is understood: ``##`` and ``###`` headings, paragraphs, ``- `` lists, definition lists (a term, then
lines that begin with ``: ``), examples (indented by four blanks, or between fences), and in running text
`code`, which becomes bold, and links, of which the text is kept.

The macros are those of man(7), which groff and mandoc have in common.  Every hyphen is written as a minus
sign, so that a directive can be searched for and copied as it is typed.

When things fail: nothing can; what is not understood is a paragraph.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence

#: What roff takes for something else: an escape, a quotation mark, or what becomes a typographic one.
_SPECIAL = str.maketrans(
    {"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti", '"': r"\(dq"}
)
_CODE = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"\[([^]]+)\]\([^)]*\)")
_FENCE = re.compile(r"^```[a-z]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: A paragraph right behind a heading begins by itself.
_SUPERFLUOUS = re.compile(r"^(\.S[HS] .*\n)\.PP\n", re.MULTILINE)
_WIDTH = 78


def header(name: str, section: int, summary: str, source: str, manual: str) -> str:
    """Begin a page; no date, because a page is as old as its version.

    Args:
        name: as the page is called.
        section: of the manual.
        summary: what `whatis` shows.
        source: package and version, for the foot.
        manual: title of the manual, for the head.
    """
    title = f'.TH {escape(name.upper())} {section} "" "{escape(source)}" "{escape(manual)}"'
    return f"{title}\n.nh\n.ad l\n.SH NAME\n{escape(name)} \\- {escape(summary)}\n"


def tidied(text: str) -> str:
    """Take the requests out of a whole page that do nothing."""
    return _SUPERFLUOUS.sub(r"\1", text)


def escape(text: str) -> str:
    """Write plain text so that roff shows exactly it, in the middle of a line."""
    written = text.translate(_SPECIAL)
    return "".join(c if c.isascii() else f"\\[u{ord(c):04X}]" for c in written)


def inline(text: str) -> str:
    """Write running text: code becomes bold, of a link the text is kept."""
    text = _LINK.sub(r"\1", text)
    return "".join(
        f"\\fB{escape(part)}\\fR" if at % 2 else escape(part) for at, part in enumerate(_CODE.split(text))
    )


def section(title: str) -> str:
    """Begin a section."""
    return f".SH {escape(title.upper())}\n"


def paragraph(text: str) -> str:
    """Write a paragraph of running text."""
    return f".PP\n{_filled(text)}"


def term(name: str, text: str) -> str:
    """Write a tagged paragraph; the tag is running text too."""
    return f".TP\n{_safe(inline(name))}\n{_filled(text)}"


def example(text: str) -> str:
    """Show lines as they are."""
    lines = "".join(f"{_safe(escape(line))}\n" for line in textwrap.dedent(text).strip("\n").splitlines())
    return f".PP\n.RS 4\n.EX\n{lines}.EE\n.RE\n"


def from_markdown(text: str) -> str:
    """Translate a text of several blocks."""
    # An indented example is the same as a fenced one, and neither is touched by what follows.
    indented = _FENCE.sub(lambda fence: textwrap.indent(fence[1], "    ", lambda _line: True), text)
    return "".join(_block(block) for block in _blocks(indented))


def _blocks(text: str) -> Iterator[str]:
    """Split at empty lines, but not between two lines of one example."""
    parts = [part for part in re.split(r"\n(?:\n)+", text.strip("\n")) if part.strip()]
    held = ""
    for part in parts:
        if held and not part.startswith("    "):
            yield held
            held = ""
        if part.startswith("    "):
            held = f"{held}\n\n{part}" if held else part
        else:
            yield part
    if held:
        yield held


def _block(block: str) -> str:
    lines = block.splitlines()
    if block.startswith("### "):
        return f".SS {_safe(inline(block[4:]))}\n"
    if block.startswith("## "):
        return section(block[3:])
    if block.startswith("    "):
        return example(block)
    if block.startswith("- "):
        return "".join(f".IP \\(bu 2\n{_filled(item)}" for item in _items(lines, "- "))
    if len(lines) > 1 and lines[1].startswith(": "):
        return term(lines[0], "\n".join(line.removeprefix(": ").strip() for line in lines[1:]))
    return paragraph(block)


def _items(lines: Sequence[str], mark: str) -> list[str]:
    items: list[str] = []
    for line in lines:
        if line.startswith(mark):
            items.append(line.removeprefix(mark))
        else:
            items[-1] += f" {line.strip()}"
    return items


def _filled(text: str) -> str:
    """Write running text in short lines."""
    words = " ".join(inline(text).split())
    lines = textwrap.wrap(words, _WIDTH, break_long_words=False, break_on_hyphens=False)
    return "".join(f"{_safe(line)}\n" for line in lines)


def _safe(line: str) -> str:
    """Keep a line that begins with a dot from being a request."""
    return f"\\&{line}" if line.startswith(".") else line
