"""The index file of a large mbox: its columns and digests, for a later process.

It lies beside the mailbox (``.NAME.pypop3d-index``) or where ``mailspool-index`` says.  Layout: magic with
version and byte order, SHA-256 of the rest, the mailbox's mark, counts, columns, digests.  The mailbox is
read again only from its last message on, if device and inode are the same, it is not shorter, and samples
of the content are where the index says; see `mbox`.

It is written under a second name and renamed, by whoever holds the session lock; nothing waits for the
disk, because a damaged file is noticed.  Small mailboxes get none: reading them is cheaper.

When things fail: nothing is raised.  A file that is missing, damaged, of another version, not the owner's
or not a regular file is no index; one that cannot be written is not written.
"""

from __future__ import annotations

import contextlib
import os
import sys
from array import array
from dataclasses import dataclass
from operator import add, sub
from typing import ClassVar

from tpop3d_py.contracts import Identity
from tpop3d_py.maildrop.checked import CheckedReader, write_checked
from tpop3d_py.maildrop.columns import Octets
from tpop3d_py.maildrop.files import Files, beside, give_to
from tpop3d_py.maildrop.mbox_snapshot import COLUMNS, Mark, MboxSnapshot
from tpop3d_py.maildrop.patterns import Place, read_parts
from tpop3d_py.maildrop.uidl import DIGEST, Style
from tpop3d_py.settings import Kind

#: Mailboxes below this many octets have no index.
WORTH_OCTETS = 1024 * 1024
_MAGIC = b"pypop3d mbox index 3 " + sys.byteorder.encode() + b"\n"
_STYLES = tuple(Style)
_NAMES = ("name", "path", "file", "escaped_name")
_TELLING = ("name", "file", "escaped_name")


@dataclass(frozen=True, slots=True)
class IndexPattern:
    """The value of ``mailspool-index``: where indexes lie.

    Args:
        text: as written.
        parts: literal text and variables in turn; none for beside the mailbox.
    """

    text: str
    parts: tuple[str | Place, ...]

    KIND: ClassVar[Kind[IndexPattern | None]]

    @classmethod
    def parse(cls, word: str) -> IndexPattern | None:
        """Read a pattern, or ``none``; `ValueError` says what is wrong with it."""
        if word in ("none", BESIDE.text):
            return BESIDE if word == BESIDE.text else None
        parts = tuple(read_parts(word, word, _NAMES))
        if not word.startswith(("/", "$(path)/", "$(name)")) or ".." in word.split("/"):
            raise ValueError(f"{word}: must be none, or an absolute path without ..")
        if not any(isinstance(part, Place) and part.name in _TELLING for part in parts):
            raise ValueError(f"{word}: must contain $(name), $(file) or $(escaped_name)")
        return cls(word, parts)

    def expand(self, mailbox: str) -> str:
        """Return where the index of a mailbox lies."""
        if not self.parts:
            return beside(mailbox, "index")
        folder, name = os.path.split(mailbox)
        escaped = mailbox.replace("%", "%25").replace("/", "%2f")
        values = {"name": mailbox, "path": folder, "file": name, "escaped_name": escaped}
        return "".join(part if isinstance(part, str) else part.pick(values[part.name]) for part in self.parts)

    def __str__(self) -> str:
        return self.text


#: The default: a hidden file beside the mailbox.
BESIDE = IndexPattern("$(path)/.$(file).pypop3d-index", ())
IndexPattern.KIND = Kind(
    "path with variables, or none", IndexPattern.parse, lambda value: "none" if value is None else str(value)
)


def load(files: Files, path: str, identity: Identity, style: Style) -> MboxSnapshot | None:
    """Return the snapshot in an index; None if there is no usable one."""
    try:
        fd = files.open(path)
    except (OSError, ValueError):
        return None
    try:
        return _read(CheckedReader(fd, _MAGIC, identity.uid), style)
    except (OSError, ValueError):
        return None
    finally:
        files.close(fd)


def save(files: Files, path: str, snapshot: MboxSnapshot, identity: Identity, style: Style) -> None:
    """Write an index, if possible; the session lock is held."""
    folder, name = os.path.split(path)
    temporary = f"{folder}/{name if name.startswith('.') else '.' + name}.new"
    with contextlib.suppress(OSError):
        with contextlib.suppress(FileNotFoundError):
            files.unlink(temporary)  # a killed session's
        fd = files.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            give_to(files, fd, identity.uid, identity.gid)
            write_checked(files, fd, _MAGIC, _encode(snapshot, style))
            files.rename(temporary, path)
        except OSError:
            files.unlink(temporary)
        finally:
            files.close(fd)


def drop(files: Files, path: str) -> None:
    """Remove an index that told something untrue, or that is not worth keeping."""
    with contextlib.suppress(OSError):
        files.unlink(path)


def _encode(snapshot: MboxSnapshot, style: Style) -> list[bytes | array[int]]:
    digests = snapshot.digests
    facts = array("Q", [*snapshot.mark, snapshot.is_proven, snapshot.length, len(snapshot)])
    facts.extend([_STYLES.index(style), len(digests), len(digests.blob), snapshot.are_unique])
    return [facts, *(getattr(snapshot, name) for name, _ in COLUMNS), digests.ends, digests.blob]


def _read(reader: CheckedReader, style: Style) -> MboxSnapshot:
    """Return the snapshot in an index file; ValueError if that is not a whole one."""
    facts = reader.column("Q", 12)
    snapshot = MboxSnapshot()
    snapshot.mark = Mark(*facts[:5])
    snapshot.is_proven, snapshot.length = bool(facts[5]), facts[6]
    for name, kind in COLUMNS:
        setattr(snapshot, name, reader.column(kind, facts[7]))
    ends = reader.column("I", facts[9] + 1)
    digests = Octets.joined(reader.octets(facts[10]), ends)
    reader.finish()
    if not _is_possible(snapshot):
        raise ValueError("no mailbox looks like that")
    if facts[8] != _STYLES.index(style) or not _are_possible(digests, len(snapshot)):
        raise ValueError("identifiers of another kind")
    snapshot.digests, snapshot.are_unique = digests, bool(facts[11])
    return snapshot


def _are_possible(digests: Octets, count: int) -> bool:
    """Tell whether these are the digests of so many messages."""
    return len(digests) == count and digests.ends == array("I", range(0, DIGEST * count + 1, DIGEST))


def _is_possible(snapshot: MboxSnapshot) -> bool:
    """Tell whether messages follow one another within the file: an owner may have forged his own index."""
    if not len(snapshot):
        return True
    starts, ends = snapshot.starts, snapshot.ends
    contents = map(sub, map(sub, ends, starts), map(add, snapshot.heads, snapshot.tails))
    return starts[1:] == ends[:-1] and ends[-1] == snapshot.length and min(contents) >= 0
