"""Markdown becomes roff that shows exactly what was written."""

from __future__ import annotations

import pytest

from tpop3d_py.config import roff


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("max-children", r"max\-children"),
        ("\\", r"\e"),
        ("it's `x`", r"it\(aqs \(gax\(ga"),
        ('"~^', r"\(dq\(ti\(ha"),
        ("żółw", r"\[u017C]\[u00F3]\[u0142]w"),
    ],
)
def test_plain_text_is_escaped(text: str, written: str) -> None:
    assert roff.escape(text) == written


def test_code_is_bold_and_of_a_link_the_text_is_kept() -> None:
    assert roff.inline("see [the `-f` option](x.md)") == r"see the \fB\-f\fR option"


def test_a_line_that_begins_with_a_dot_is_no_request() -> None:
    assert roff.paragraph(".so /etc/passwd") == ".PP\n\\&.so /etc/passwd\n"
    assert (
        roff.example(".so /etc/passwd\n'so x") == ".PP\n.RS 4\n.EX\n\\&.so /etc/passwd\n\\(aqso x\n.EE\n.RE\n"
    )
    long = "word " * 30
    assert all(line.startswith((".PP", "\\&.", "w")) for line in roff.paragraph(f"{long} .x").splitlines())


def test_every_kind_of_block() -> None:
    made = roff.from_markdown(
        "## Files\n\nA line\ngoes on.\n\n`-f FILE`\n: a file,\n: read\n\n- one\n  more\n- two\n\n### Below\n"
    )
    assert made == (
        ".SH FILES\n.PP\nA line goes on.\n.TP\n\\fB\\-f FILE\\fR\na file, read\n"
        ".IP \\(bu 2\none more\n.IP \\(bu 2\ntwo\n.SS Below\n"
    )


def test_an_example_keeps_its_lines_however_it_is_written() -> None:
    fenced = roff.from_markdown("```conf\na:  1\n\n  b\n```\n")
    indented = roff.from_markdown("    a:  1\n\n      b\n")
    assert fenced == indented == ".PP\n.RS 4\n.EX\na:  1\n\n  b\n.EE\n.RE\n"


def test_a_paragraph_behind_a_heading_begins_by_itself() -> None:
    assert roff.tidied(".SH A\n.PP\nx\n.PP\ny\n.SS B C\n.PP\nz\n") == ".SH A\nx\n.PP\ny\n.SS B C\nz\n"
