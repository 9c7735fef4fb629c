"""The tpop3d.conf language: what is a directive, and where it stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from tpop3d_py.config.grammar import Reading, read


def reading(tmp_path: Path, text: str) -> Reading:
    file = tmp_path / "t.conf"
    file.write_text(text)
    return read(str(file))


def pairs(result: Reading) -> list[tuple[str, str]]:
    assert not result.problems
    return [(entry.name, entry.value) for entry in result.entries]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("a: b", [("a", "b")]),
        ("  name : value \t\n", [("name", "value")]),
        ("a: b # comment\n# c: d\n", [("a", "b")]),
        ("a: b:c\n", [("a", "b:c")]),
        ("a: b\r\nc: d\r\n", [("a", "b"), ("c", "d")]),
        ("a: one \\\n  two\n", [("a", "one   two")]),
        ("a: o\\\nn\\\ne\n", [("a", "one")]),
        ("# a comment that ends in \\\na: b\n", [("a", "b")]),
        ("a: b # so does this \\\nc: d\n", [("a", "b"), ("c", "d")]),
        ('a: "se#kret" # comment\n', [("a", "se#kret")]),
        ('a: "back\\\\slash and \\"quote\\""\n', [("a", 'back\\slash and "quote"')]),
        ('a: it"s # gone\n', [("a", 'it"s')]),
        ('a: "spaces kept "\n', [("a", "spaces kept ")]),
        ("a:\n", [("a", "")]),
        ('a: ""\n', [("a", "")]),
        ("a: b \\", [("a", "b")]),
    ],
)
def test_directives(tmp_path: Path, text: str, expected: list[tuple[str, str]]) -> None:
    assert pairs(reading(tmp_path, text)) == expected


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: b\nno colon here\n", 2, "name: value"),
        (": value\n", 1, "name: value"),
        ('a: "open\n', 1, "closing quote"),
        ('a: "x" y\n', 1, "behind the closing quote"),
        ("a: x\\\ny\n\nb\n", 4, "name: value"),
        ("a: b\0c\n", 1, "NUL"),
    ],
)
def test_mistakes_name_the_line(tmp_path: Path, text: str, line: int, words: str) -> None:
    (problem,) = reading(tmp_path, text).problems
    assert problem.place.line == line
    assert words in problem.text


def test_line_numbers_do_not_drift_after_a_continuation(tmp_path: Path) -> None:
    result = reading(tmp_path, "a: x \\\n y\n\nb: z\n")
    assert [entry.place.line for entry in result.entries] == [1, 4]


def test_include_reads_in_place_and_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "inner.conf").write_text("b: 2\n")
    result = reading(tmp_path, "a: 1\ninclude: inner.conf\nc: 3\n")
    assert pairs(result) == [("a", "1"), ("b", "2"), ("c", "3")]
    assert result.entries[1].place.file.endswith("inner.conf")


def test_include_of_itself_and_of_nothing(tmp_path: Path) -> None:
    result = reading(tmp_path, "include: t.conf\ninclude: missing.conf\n")
    assert [problem.place.line for problem in result.problems] == [1, 2]
    assert "includes itself" in result.problems[0].text
    assert "No such file" in result.problems[1].text


def test_comments_may_be_in_any_character_set_and_a_byte_order_mark_is_none_of_ours(tmp_path: Path) -> None:
    (tmp_path / "t.conf").write_bytes(b"\xef\xbb\xbfa: 1\n# domy\xb6lny plik\nb: 2 # te\xbf\n")
    assert pairs(read(str(tmp_path / "t.conf"))) == [("a", "1"), ("b", "2")]


def test_a_name_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "t.conf").write_bytes(b"\xb6: 1\n")
    (problem,) = read(str(tmp_path / "t.conf")).problems
    assert "name: value" in problem.text


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "t.conf").write_bytes(b"a: \xff\n")
    (problem,) = read(str(tmp_path / "t.conf")).problems
    assert "UTF-8" in problem.text
