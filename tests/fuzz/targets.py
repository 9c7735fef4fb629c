"""What is fuzzed: functions that take any octets and fail where a promise is broken.

Each knows the format so far that the fuzzer need not guess check sums and base64, and states promises that
hold whatever the octets are: no exception but those that callers expect, replies that a strict client can
read, sizes that are the sizes of what is sent.
"""

from __future__ import annotations

import atexit
import base64
import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tests.maildrop.kit import Recorder
from tests.pop3.client import read_answer, read_line
from tests.pop3.fakes import MESSAGES, PASSWORD, FakeMaildrop, Shell
from tpop3d_py.auth import answers, packets
from tpop3d_py.auth.accounts import Accounts, Owner
from tpop3d_py.auth.names import Attempt
from tpop3d_py.contracts import Identity, Verdict
from tpop3d_py.maildrop import maildir_index, mbox_index, mbox_scan, mbox_snapshot
from tpop3d_py.maildrop.files import Files
from tpop3d_py.maildrop.uidl import Style
from tpop3d_py.maildrop.wire import to_wire
from tpop3d_py.pop3 import POLISH, Profile
from tpop3d_py.server.authlink import pack_answer, unpack_answer

_MECHANISMS = (b"SCRAM-SHA-256-PLUS", b"SCRAM-SHA-256", b"PLAIN", b"LOGIN")
_PROFILES = (
    Profile(command_errors=50),
    Profile(command_errors=50, stls=True, token_check=True, binding=b"\5", mechanisms=_MECHANISMS),
    Profile(command_errors=5, stls=True, password_tls_only=True, texts=POLISH),
)
_BOXES = sorted(MESSAGES)
_NAMES = (*_MECHANISMS, b"XOAUTH2", b"OAUTHBEARER")
_SMALL_MBOX = b"From x Mon Jan  5 10:00:00 2026\n\nbody\n"
T = TypeVar("T")
_LOG = Recorder()
_READER = answers.Reader("other", Owner(Accounts()), _LOG)
_ATTEMPT = Attempt("jan@klient1.pl", "jan", "klient1.pl")
_USER = Identity("luser", "fuzz", os.geteuid(), os.getegid())


def lines(octets: bytes) -> None:
    """A session fed with anything, in pieces of any size; the first three octets choose the circumstances."""
    if len(octets) < 3:
        return
    circumstances, pieces, box = octets[0], octets[1] + 1, _BOXES[octets[2] % len(_BOXES)]
    shell = Shell(FakeMaildrop(MESSAGES[box]), _PROFILES[circumstances % 3], secure=bool(circumstances & 64))
    if circumstances & 128:
        shell.say(b"USER luser@klient1.pl", b"PASS " + PASSWORD)
    said = octets[3:]
    shell.feed(said[at : at + pieces] for at in range(0, len(said), pieces))
    _finish(shell)


def sasl(octets: bytes) -> None:
    """AUTH with responses of anything: the first octet chooses the mechanism, 0xFF parts the responses."""
    if len(octets) < 2:
        return
    name = _NAMES[octets[0] % len(_NAMES)]
    shell = Shell(FakeMaildrop(MESSAGES["one"]), _PROFILES[1], secure=True)
    first, *more = octets[2:].split(b"\xff")
    initial = octets[1] & 1
    shell.say(b"AUTH %b %b" % (name, base64.b64encode(first)) if initial else b"AUTH " + name)
    for response in more if initial else (first, *more):
        raw = octets[1] & 2
        shell.say(response if raw else base64.b64encode(response))
    for credentials in shell.login.asked:
        assert "\0" not in credentials.user
    _finish(shell)


def mbox(octets: bytes) -> None:
    """A mailbox file of anything: the messages cover it, their sizes are right, and blocks do not matter."""
    whole = _scanned(octets, 1 << 20)
    if whole is None:
        return
    _check_columns(octets, whole)
    for block in (1, 7, 64):
        assert _columns(_scanned(octets, block)) == _columns(whole), f"blocks of {block}"
    if not len(whole):
        return
    grown = _with_file(octets, lambda fd: mbox_scan.scan(fd, len(octets), whole))
    assert _columns(grown) == _columns(whole), "the scan that goes on from the first"


def maildir_index_file(octets: bytes) -> None:
    """An index of a maildir: whatever it holds, it is read or ignored."""
    path = _folder() / maildir_index.NAME
    path.write_bytes(_signed(maildir_index._MAGIC, octets))
    snapshot = maildir_index.load(Files(), str(path.parent), os.geteuid())
    if snapshot is not None:
        assert len(snapshot.places) == len(snapshot.sizes) == len(snapshot.stored) == len(snapshot.mtimes)
        assert len(list(snapshot.places)) == len(snapshot.sizes)


def mbox_index_file(octets: bytes) -> None:
    """An index of an mbox: whatever it holds, it is read or ignored."""
    path = _folder() / "index"
    path.write_bytes(_signed(mbox_index._MAGIC, octets))
    snapshot = mbox_index.load(Files(), str(path), _USER, next(iter(Style)))
    if snapshot is not None:
        columns = [getattr(snapshot, name) for name, _ in mbox_snapshot.COLUMNS]
        assert all(len(column) == len(snapshot) for column in columns)
        with contextlib.suppress(OSError):  # it may end behind the end of this mailbox
            _with_file(_SMALL_MBOX, lambda fd: mbox_scan.seems_to_fit(fd, snapshot))


def program_answer(octets: bytes) -> None:
    """What an auth-other program may say: it is obeyed or refused, and leaves one clean line in the log."""
    try:
        words = packets.unpack(octets)
    except packets.BadPacket:
        return
    if words is None:
        return
    assert packets.unpack(packets.pack(words)) == words
    with contextlib.suppress(answers.BadAnswer):
        decision = _READER.decide(_ATTEMPT, words)
        assert (decision.verdict is Verdict.GRANTED) == (words[b"result"] == b"YES")
        assert len(_LOG.lines) < 2
        assert unpack_answer(pack_answer(1, decision))[0] == 1
    assert all(line.isprintable() for line in _LOG.lines)
    _LOG.lines.clear()


TARGETS: dict[str, Callable[[bytes], None]] = {
    "lines": lines,
    "sasl": sasl,
    "mbox": mbox,
    "maildir_index": maildir_index_file,
    "mbox_index": mbox_index_file,
    "program_answer": program_answer,
}


def _finish(shell: Shell) -> None:
    """Read all that was sent as a strict client does, then end the session."""
    sent, at = bytes(shell.output), 0
    for reply in shell.replies:
        if reply.challenge:
            line, at = read_line(sent, at)
            assert line.startswith(b"+ ")
            base64.b64decode(line[2:], validate=True)
        elif reply.text:
            multi_line = reply.listing is not None or reply.body is not None
            answer, at = read_answer(sent, at, multi_line=multi_line)
            assert answer.ok is reply.ok
    assert at == len(sent)
    logged_in = shell.session.logged_in
    shell.session.connection_lost()
    assert bool(shell.maildrop.closed) is logged_in
    assert all(body.closed for body in shell.maildrop.bodies)


def _scanned(octets: bytes, block: int) -> mbox_snapshot.MboxSnapshot | None:
    mbox_scan._BLOCK = block
    try:
        return _with_file(octets, lambda fd: mbox_scan.scan(fd, len(octets)))
    except mbox_scan.NotMboxError:
        return None
    finally:
        mbox_scan._BLOCK = 1 << 18


def _with_file(octets: bytes, use: Callable[[int], T]) -> T:
    fd = os.memfd_create("mbox")
    try:
        os.write(fd, octets)
        return use(fd)
    finally:
        os.close(fd)


def _columns(snapshot: mbox_snapshot.MboxSnapshot | None) -> object:
    if snapshot is None:
        return None
    return [list(getattr(snapshot, name)) for name, _ in mbox_snapshot.COLUMNS]


def _check_columns(octets: bytes, snapshot: mbox_snapshot.MboxSnapshot) -> None:
    at = snapshot.starts[0] if len(snapshot) else 0  # the first message may be hidden
    for index in range(len(snapshot)):
        assert snapshot.starts[index] == at, "a gap between messages"
        begin = at + snapshot.heads[index]
        content = octets[begin : begin + snapshot.content_length(index)]
        assert len(to_wire(content)) == snapshot.sizes[index], "a wrong size"
        at = snapshot.ends[index]
    assert not len(snapshot) or at == len(octets), "octets behind the last message"


def _signed(magic: bytes, rest: bytes) -> bytes:
    return magic + hashlib.sha256(rest).digest() + rest


_made: list[Path] = []


def _folder() -> Path:
    """Return a folder for this process; made once, for the fuzzer runs thousands of inputs a second."""
    if not _made:
        kept = tempfile.TemporaryDirectory(prefix="tpop3d-fuzz-")
        atexit.register(kept.cleanup)
        _made.append(Path(kept.name))
    return _made[0]
