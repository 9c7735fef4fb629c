"""Every conversation, fed whole, line by line, octet by octet, and with trailing data."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.pop3.fakes import MESSAGES, PASSWORD, STAMP, FakeMaildrop, Shell
from tpop3d_py.pop3 import POLISH, POLITE, Ending, Profile

FOLDER = Path(__file__).with_name("conversations")
LOGIN = (
    ("C", b"USER luser@klient1.pl"),
    ("S", b"+OK Tell me your password."),
    ("C", b"PASS " + PASSWORD),
    ("S", b"+OK Welcome aboard! You have 3 messages."),
)
DIGEST = hashlib.md5(b"<" + STAMP + b"@klient1.pl>" + PASSWORD).hexdigest().upper()


#: What ``@profile`` may say; ``secure`` begins inside TLS.
PROFILES: dict[str, dict[str, object]] = {
    "stls": {"stls": True},
    "apop-only": {"apop_only": True},
    "password-tls-only": {"password_tls_only": True},
    "empty": {"permit_empty_password": True},
    "scram": {"mechanisms": (b"SCRAM-SHA-256", b"PLAIN")},
    "plus": {"mechanisms": (b"SCRAM-SHA-256-PLUS", b"SCRAM-SHA-256"), "binding": b"\x05" * 32},
    "tokens": {"token_check": True},
    "polite": {"texts": POLITE},
    "polish": {"texts": POLISH},
    "secure": {},
}


@dataclass
class Conversation:
    """What a script says: client lines, all that the server answers, and the state at the end.

    The client's lines come in parts: one that says ``@then`` waits for the answers before it goes on.
    """

    maildrop: str = "three"
    profile: dict[str, object] = field(default_factory=dict)
    secure: bool = False
    parts: list[list[bytes]] = field(default_factory=lambda: [[]])
    server: list[bytes] = field(default_factory=lambda: [b"+OK <" + STAMP + b"@klient1.pl>"])
    facts: list[tuple[str, str]] = field(default_factory=list)

    @property
    def client(self) -> list[bytes]:
        return [line for part in self.parts for line in part]

    @property
    def input(self) -> list[bytes]:
        return [b"".join(line + b"\r\n" for line in part) for part in self.parts]

    @property
    def output(self) -> bytes:
        return b"".join(line + b"\r\n" for line in self.server)


def octets(text: str) -> bytes:
    """Read a line: ``\\x`` escapes, ``@DIGEST@``, ``@B64:...@`` in base64, and UTF-8 as it is."""
    text = text.replace("@DIGEST@", DIGEST)
    if not text.isascii():
        return text.encode()
    raw = text.encode("ascii").decode("unicode_escape").encode("latin-1")
    return re.sub(rb"@B64:(.*?)@(?= |$)", lambda found: base64.b64encode(found[1]), raw)


def read(path: Path) -> Conversation:
    conversation = Conversation()
    for line in path.read_text("utf-8").splitlines():
        kind, _, rest = line.partition(" ")
        match kind:
            case "C:":
                conversation.parts[-1].append(octets(rest))
            case "@then":
                conversation.parts.append([])
            case "@profile":
                for name in rest.split():
                    conversation.profile |= PROFILES[name]
                conversation.secure = "secure" in rest.split()
            case "S:":
                conversation.server.append(octets(rest))
            case "@maildrop":
                conversation.maildrop = rest
            case "@login":
                conversation.parts[-1] += [text for who, text in LOGIN if who == "C"]
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
    profile = Profile(**conversation.profile)  # type: ignore[arg-type]
    shell = Shell(FakeMaildrop(MESSAGES[conversation.maildrop]), profile, conversation.secure)
    *parts, last = conversation.input
    for part in parts:
        shell.feed([part] if feed is with_trailing_data else feed(part))
    shell.feed(feed(last))
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
    known = b"USER PASS APOP AUTH CAPA STLS UTF8 LANG QUIT STAT LIST UIDL RETR TOP DELE RSET NOOP LAST"
    assert {*known.split()} <= spoken
