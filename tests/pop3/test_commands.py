from __future__ import annotations

import pytest

from tpop3d_py.pop3.commands import parse


@pytest.mark.parametrize(
    ("line", "verb", "rest", "words"),
    [
        (b"", b"", None, []),
        (b"NOOP", b"NOOP", None, []),
        (b"noop", b"NOOP", None, []),
        (b"  noop", b"NOOP", None, []),
        (b"noop  ", b"NOOP", b" ", []),
        (b"LIST 1", b"LIST", b"1", [b"1"]),
        (b"LIST 1  ", b"LIST", b"1  ", [b"1"]),
        (b"LIST  1", b"LIST", b" 1", [b"", b"1"]),
        (b"TOP 1  2", b"TOP", b"1  2", [b"1", b"", b"2"]),
        (b"PASS ", b"PASS", b"", []),
        (b"PASS  a b ", b"PASS", b" a b ", [b"", b"a", b"b"]),
        (b"pass \xff\x80", b"PASS", b"\xff\x80", [b"\xff\x80"]),
        (b"User \xc5\x82", b"USER", b"\xc5\x82", [b"\xc5\x82"]),
        (b"a:b c", b"A:B", b"c", [b"c"]),
    ],
)
def test_parse(line: bytes, verb: bytes, rest: bytes | None, words: list[bytes]) -> None:
    command = parse(line)
    assert command is not None
    assert (command.verb, command.rest, command.words) == (verb, rest, words)


@pytest.mark.parametrize("octet", [*range(32), 127])
@pytest.mark.parametrize("line", [b"%cPASS x", b"PA%cSS x", b"PASS%cx", b"PASS x%c", b"USER a%cb", b"%c"])
def test_control_octets_are_refused_everywhere(line: bytes, octet: int) -> None:
    assert parse(line % octet) is None


@pytest.mark.parametrize("octet", [0x80, 0x9F, 0xA0, 0xFF])
@pytest.mark.parametrize("line", [b"%c", b"LIST %c", b"LANG %c", b"PASS%c x", b"%cPASS x", b"NOOP %c"])
def test_octets_above_127_are_for_names_and_passwords_only(line: bytes, octet: int) -> None:
    assert parse(line % octet) is None
