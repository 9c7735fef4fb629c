"""The redo journal of an mbox expunge: two slots, of which the newest whole one counts.

The file ``.NAME.pypop3d-journal`` lies beside the mailbox and belongs to the mailbox's owner: so it is on
the same disk and survives with it, is found by whoever opens the mailbox next, and needs no other
writable folder.  Layout::

    magic, SHA-256 of the plan, plan (window, mailbox length, ranges to keep), padding
    slot 0: SHA-256, record, octets of one window
    slot 1: the same

The plan never changes; a record says how far its execution came.  Records go to the slots in turn, so a
torn write damages the older one only.  All space is reserved before the first record, so a disk
that fills up later cannot stop an expunge half way.  A journal on the reserve (see `reserve`) has the records
of earlier plans in its slots; a random number in each plan tells them apart.

When things fail: `OSError` goes up.  A file that holds no whole plan or no whole record reads as None:
nothing had been done under it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from tpop3d_py.contracts import Identity
from tpop3d_py.maildrop.files import Files, beside, give_to, is_owner, read_all, sync_folder, write_all
from tpop3d_py.maildrop.reserve import Reserve

_MAGIC = b"pyp3XJ2\n"
_DIGEST = 32
_PLAN = struct.Struct("<QQI16s")
_RANGE = struct.Struct("<QQ")
_RECORD = struct.Struct("<Q1sQQQQQI")
_ALIGN = 512
_LARGEST_WINDOW = 64 * 1024 * 1024


class State(Enum):
    """What the record's step does."""

    WINDOW = b"W"  # write the record's octets at `target`
    NEWLINES = b"N"  # overwrite what lies behind the final length with LF
    TRUNCATE = b"T"  # cut the mailbox to its final length


@dataclass(frozen=True, slots=True)
class Plan:
    """What stays of the mailbox, from the first deleted message on.

    Args:
        window: octets moved per step at most.
        length: the mailbox's length when the plan was made; mail appended later stays as well.
        ranges: (start, end) offsets of what stays, ascending and below `length`.
        nonce: 16 octets that no other plan has.
    """

    window: int
    length: int
    ranges: tuple[tuple[int, int], ...]
    nonce: bytes = bytes(16)

    def rest(self, source: int, length: int) -> Iterator[tuple[int, int]]:
        """Yield what stays from offset `source` on, in a mailbox that is now `length` octets long."""
        for start, end in (*self.ranges, (self.length, length)):
            if max(start, source) < end:
                yield max(start, source), end


@dataclass(frozen=True, slots=True)
class Record:
    """One step of the execution.

    Args:
        state: what the step does.
        inode: the mailbox's inode.
        length: the mailbox's length as far as the step knows.
        final: its length when all is done.
        target: where `data` goes.
        source: the first offset that is not moved yet, after this step.
        data: the octets of the window.
    """

    state: State
    inode: int
    length: int
    final: int
    target: int = 0
    source: int = 0
    data: bytes = b""


class Journal:
    """An open journal."""

    def __init__(self, files: Files, path: str, fd: int, plan: Plan, sequence: int = 0) -> None:
        self.plan = plan
        self._files = files
        self._path = path
        self._fd = fd
        self._sequence = sequence
        self._plan_digest, self._start = _layout(plan)
        self._stride = _DIGEST + _RECORD.size + plan.window

    @classmethod
    def create(cls, files: Files, mailbox: str, identity: Identity, plan: Plan) -> Journal:
        """Make a journal for a plan, all its space reserved and its name on the disk.

        Its octets get there with the first record, whose `put` waits before the mailbox is touched.

        Raises:
            OSError: there is no room, or the folder cannot be written; nothing is left behind.
        """
        path = beside(mailbox, "journal")
        fd = files.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            journal = cls(files, path, fd, plan)
            give_to(files, fd, identity.uid, identity.gid)
            files.fallocate(fd, journal._start + 2 * journal._stride)
            write_all(files, fd, _encode(plan), 0)
            sync_folder(files, os.path.dirname(path))
        except OSError:
            files.close(fd)
            with contextlib.suppress(OSError):
                files.unlink(path)
            raise
        return journal

    @classmethod
    def on_reserve(cls, reserve: Reserve, files: Files, mailbox: str, plan: Plan, error: OSError) -> Journal:
        """Make a journal of the reserve, for a plan that fits it.

        Raises:
            OSError: `error` if there is no reserve.
        """
        path = beside(mailbox, "journal")
        fd = reserve.take(path, error)
        try:
            write_all(files, fd, _encode(plan), 0)
            sync_folder(files, os.path.dirname(path))
        except OSError:
            files.close(fd)
            with contextlib.suppress(OSError):
                reserve.release(path)
            raise
        return cls(files, path, fd, plan)

    @classmethod
    def load(cls, files: Files, mailbox: str, identity: Identity) -> Journal | None:
        """Open what an interrupted expunge left; None if it holds no whole plan."""
        path = beside(mailbox, "journal")
        fd = files.open(path, os.O_RDWR)
        st = os.fstat(fd)
        plan = None
        if stat.S_ISREG(st.st_mode) and is_owner(st.st_uid, identity.uid):
            plan = _decode(read_all(fd, st.st_size, 0))
        if plan is None:
            files.close(fd)
            return None
        return cls(files, path, fd, plan)

    def put(self, record: Record) -> None:
        """Write a record; return when it is on the disk."""
        self._sequence += 1
        fields = (record.length, record.final, record.target, record.source, len(record.data))
        octets = _RECORD.pack(self._sequence, record.state.value, record.inode, *fields) + record.data
        digest = self._digest(octets)
        write_all(self._files, self._fd, digest + octets, self._slot(self._sequence))
        self._files.fsync(self._fd)

    def latest(self) -> Record | None:
        """Return the newest whole record and go on counting from it; None if there is none."""
        found = [pair for slot in (0, 1) if (pair := self._read(slot)) is not None]
        if not found:
            return None
        self._sequence, record = max(found, key=lambda pair: pair[0])
        return record

    def close(self) -> None:
        """Close the file and leave it where it is."""
        if self._fd >= 0:
            self._files.close(self._fd)
            self._fd = -1

    def _slot(self, sequence: int) -> int:
        return self._start + (sequence % 2) * self._stride

    def _digest(self, octets: bytes) -> bytes:
        # The plan's digest is mixed in: a record never goes with another plan.
        return hashlib.sha256(self._plan_digest + octets).digest()

    def _read(self, slot: int) -> tuple[int, Record] | None:
        octets = read_all(self._fd, self._stride, self._slot(slot))
        if len(octets) < _DIGEST + _RECORD.size:
            return None
        sequence, state, inode, length, final, target, source, size = _RECORD.unpack_from(octets, _DIGEST)
        end = _DIGEST + _RECORD.size + size
        if size > self.plan.window or self._digest(octets[_DIGEST:end]) != octets[:_DIGEST]:
            return None
        data = octets[_DIGEST + _RECORD.size : end]
        return sequence, Record(State(state), inode, length, final, target, source, data)


def capacity(size: int, window: int) -> int:
    """Return how many ranges a plan may have in a journal of so many octets, with windows of that size."""
    slots = 2 * (_DIGEST + _RECORD.size + window)
    return max(0, (size - slots - _ALIGN - len(_MAGIC) - _DIGEST - _PLAN.size) // _RANGE.size)


def _layout(plan: Plan) -> tuple[bytes, int]:
    """Return the plan's digest and where the slots begin."""
    encoded = _encode(plan)
    aligned = -(-len(encoded) // _ALIGN) * _ALIGN
    return encoded[len(_MAGIC) : len(_MAGIC) + _DIGEST], aligned


def _encode(plan: Plan) -> bytes:
    body = _PLAN.pack(plan.window, plan.length, len(plan.ranges), plan.nonce)
    body += b"".join(_RANGE.pack(*pair) for pair in plan.ranges)
    return _MAGIC + hashlib.sha256(body).digest() + body


def _decode(data: bytes) -> Plan | None:
    start = len(_MAGIC) + _DIGEST
    if len(data) < start + _PLAN.size or not data.startswith(_MAGIC):
        return None
    window, length, count, nonce = _PLAN.unpack_from(data, start)
    body = data[start : start + _PLAN.size + count * _RANGE.size]
    if hashlib.sha256(body).digest() != data[len(_MAGIC) : start] or window > _LARGEST_WINDOW:
        return None
    return Plan(window, length, tuple(_RANGE.iter_unpack(body[_PLAN.size :])), nonce)
