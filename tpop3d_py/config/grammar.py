"""From the text of a tpop3d.conf file to a list of directives with their places.

The language is the ancestor's: ``name: value``, blanks around both, ``#``
starts a comment, a final backslash continues the line with the next one's
leading blanks kept.  Deliberate differences, each of which tpop3d got silently
wrong: a value may be put in double quotes (then ``#`` is an ordinary character,
``\\"`` and ``\\\\`` are escapes); a comment that ends in a backslash does not
swallow the next line; a line without ``:`` is a mistake; lines have no length
limit; line numbers are those an editor shows; ``include: FILE`` reads another
file in its place.

When things fail: nothing is raised.  Every mistake becomes a `Problem`, and
reading goes on, so that all of them are reported at once.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_DEEPEST_INCLUDE = 10
_ESCAPED = re.compile(r'\\(["\\])')


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a configuration, for the operator."""

    place: Place
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


@dataclass(frozen=True, slots=True)
class Entry:
    """One directive as written."""

    name: str
    value: str
    place: Place


@dataclass(slots=True)
class Reading:
    """What came out of a file and the files it includes."""

    entries: list[Entry] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    #: Whether every file could be read, so that what is missing was not written anywhere.
    complete: bool = True


def read(path: str) -> Reading:
    """Read a configuration file and everything it includes."""
    reading = Reading()
    _read_file(path, reading, (), Place(path, 0))
    return reading


def _read_file(path: str, reading: Reading, parents: tuple[str, ...], place: Place) -> None:
    if os.path.realpath(path) in parents:
        reading.problems.append(Problem(place, f"{path} includes itself"))
        return
    if len(parents) >= _DEEPEST_INCLUDE:
        reading.problems.append(Problem(place, f"more than {_DEEPEST_INCLUDE} files include each other"))
        return
    try:
        # Comments of 2001 are in any character set; values are looked at one by one.
        with open(path, encoding="utf-8-sig", errors="surrogateescape") as file:
            lines = file.read().split("\n")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        # Of an included file both names are wanted: that of the line, and its own.
        what = f"cannot read {path}: {reason}" if parents else f"cannot be read: {reason}"
        reading.problems.append(Problem(place, what))
        reading.complete = False
        return
    reading.files.append(path)
    for entry in _entries(path, lines, reading.problems):
        if entry.name == "include":
            inner = os.path.join(os.path.dirname(path), entry.value)
            _read_file(inner, reading, (*parents, os.path.realpath(path)), entry.place)
        else:
            reading.entries.append(entry)


def _entries(path: str, lines: list[str], problems: list[Problem]) -> Iterator[Entry]:
    for number, text in _logical_lines(lines):
        place = Place(path, number)
        if not text.strip():
            continue
        name, colon, value = text.partition(":")
        if not colon or not name.strip() or not _is_text(name):
            problems.append(Problem(place, "a directive is written as name: value"))
            continue
        try:
            yield Entry(name.strip(), _unquoted(value.strip(" \t")), place)
        except ValueError as error:
            problems.append(Problem(place, f"{name.strip()}: {error}"))


def _logical_lines(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Yield (number of its first line, text without comment) for each line with its continuations."""
    start, text = 0, ""
    for number, line in enumerate(lines, 1):
        start = start or number
        text += line.rstrip("\r")
        code = _without_comment(text)
        if code.endswith("\\") and len(code) == len(text):
            text = text[:-1]
            continue
        yield start, code
        start, text = 0, ""
    if text:
        yield start, _without_comment(text)


def _without_comment(text: str) -> str:
    mark = text.find("#")
    if mark < 0:
        return text
    colon = text.find(":")
    value = text[colon + 1 :].lstrip(" \t")
    if 0 <= colon < mark and value.startswith('"'):
        after = _closing_quote(value) + len(text) - len(value)
        mark = text.find("#", after)
        return text if mark < 0 else text[:mark]
    return text[:mark]


def _closing_quote(value: str) -> int:
    """Return the index behind the closing quote of a value that begins with one, or its length."""
    index = 1
    while index < len(value):
        if value[index] == '"':
            return index + 1
        index += 2 if value[index] == "\\" else 1
    return len(value)


def _is_text(value: str) -> bool:
    return value.isascii() or not any("\udc80" <= c <= "\udcff" for c in value)


def _unquoted(value: str) -> str:
    if "\0" in value:
        raise ValueError("the value contains a NUL")
    if not _is_text(value):
        raise ValueError("the value is not UTF-8")
    if not value.startswith('"'):
        return value
    end = _closing_quote(value)
    if end < 2 or value[end - 1] != '"':
        raise ValueError("the closing quote is missing")
    if value[end:].strip():
        raise ValueError("there is something behind the closing quote")
    return _ESCAPED.sub(r"\1", value[1 : end - 1])
