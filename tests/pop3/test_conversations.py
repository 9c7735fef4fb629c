"""Every conversation, fed whole, line by line, octet by octet, and with trailing data."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.pop3.fakes import MESSAGES, PASSWORD, STAMP, FakeMaildrop, Shell
from tpop3d_py.pop3 import Ending

FOLDER = Path(__file__).with_name("conversations")
LOGIN = (
    ("C", b"USER luser@klient1.pl"),
    ("S", b"+OK Tell me your password."),
    ("C", b"PASS " + PASSWORD),
    ("S", b"+OK Welcome aboard! You have 3 messages."),
)
DIGEST = hashlib.md5(b"<" + STAMP + b"@klient1.pl>" + PASSWORD).hexdigest().upper()


@dataclass
class Conversation:
    """What a script says: client lines, all that the server answers, and the state at the end."""

    maildrop: str = "three"
    client: list[bytes] = field(default_factory=list)
    server: list[bytes] = field(default_factory=lambda: [b"+OK <" + STAMP + b"@klient1.pl>"])
    facts: list[tuple[str, str]] = field(default_factory=list)

    @property
    def input(self) -> bytes:
        return b"".join(line + b"\r\n" for line in self.client)

    @property
    def output(self) -> bytes:
        return b"".join(line + b"\r\n" for line in self.server)


def octets(text: str) -> bytes:
    return text.replace("@DIGEST@", DIGEST).encode("ascii").decode("unicode_escape").encode("latin-1")


def read(path: Path) -> Conversation:
    conversation = Conversation()
    for line in path.read_text("ascii").splitlines():
        kind, _, rest = line.partition(" ")
        match kind:
            case "C:":
                conversation.client.append(octets(rest))
            case "S:":
                conversation.server.append(octets(rest))
            case "@maildrop":
                conversation.maildrop = rest
            case "@login":
                conversation.client += [text for who, text in LOGIN if who == "C"]
                conversation.server += [text for who, text in LOGIN if who == "S"]
            case "#":
                pass
            case _:
                assert kind.startswith("@"), line
                conversation.facts.append((kind, rest))
    return conversation


def numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",") if word]


def check(shell: Shell, facts: Iterable[tuple[str, str]]) -> None:
    maildrop = shell.maildrop
    for kind, rest in facts:
        match kind:
            case "@closed":
                assert shell.closed
                assert shell.session.ending is not None
            case "@open":
                assert not shell.closed
                assert shell.session.ending is None
            case "@delays":
                assert [r.delay for r in shell.replies if r.delay] == [float(word) for word in rest.split()]
            case "@commit":
                deleted, retrieved = (word.partition("=")[2] for word in rest.split(" "))
                assert maildrop.commits == [(numbers(deleted), numbers(retrieved))]
                assert maildrop.closed
            case "@commit-none":
                assert maildrop.commits == []
                assert maildrop.closed
            case "@never-opened":
                assert not maildrop.closed
                assert not shell.session.logged_in
            case "@idle":
                assert shell.session.ending is Ending.IDLE
            case "@lost":
                assert shell.session.ending is Ending.LOST
            case _:
                pytest.fail(f"unknown fact {kind}")


def whole(script: bytes) -> list[bytes]:
    return [script]


def by_line(script: bytes) -> list[bytes]:
    return script.splitlines(keepends=True)


def by_octet(script: bytes) -> list[bytes]:
    return [script[at : at + 1] for at in range(len(script))]


def with_trailing_data(script: bytes) -> list[bytes]:
    return [script + b"QUI"]


def with_lone_lf(script: bytes) -> list[bytes]:
    return [script.replace(b"\r\n", b"\n")]


@pytest.mark.parametrize("feed", [whole, by_line, by_octet, with_trailing_data, with_lone_lf])
@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda path: path.stem)
def test_conversation(path: Path, feed: Callable[[bytes], list[bytes]]) -> None:
    conversation = read(path)
    shell = Shell(FakeMaildrop(MESSAGES[conversation.maildrop]))
    shell.feed(feed(conversation.input))
    events = [kind for kind, _ in conversation.facts]
    if "@idle" in events:
        shell.time_out()
    if "@lost" in events:
        shell.session.connection_lost()
    assert bytes(shell.output) == conversation.output
    if feed is with_trailing_data and not shell.closed:
        assert shell.lines.pending == len("QUI")
    check(shell, conversation.facts)


def test_all_commands_have_a_conversation() -> None:
    spoken = {
        line.strip().partition(b" ")[0].upper() for path in FOLDER.glob("*.txt") for line in read(path).client
    }
    assert {*b"USER PASS APOP CAPA STLS QUIT STAT LIST UIDL RETR TOP DELE RSET NOOP LAST".split()} <= spoken
